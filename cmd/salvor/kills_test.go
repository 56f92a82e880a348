// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/store/load"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/test/contract"
)

const (
	// killsAStore is how often the process of one store is killed before another store
	// is begun.
	killsAStore = 20
	// killsWithin is the time, from the first acknowledgement, in which it is killed: some
	// checkpoints and some hundred segments.
	killsWithin = 300 * time.Millisecond
	// leastRate is how many acknowledgements a second make a loaded store.
	leastRate = 1000
	// leastInside is how many kills have to meet a rotation, and a checkpoint.
	leastInside = 50
)

// tally is what the kills in one mode came to.
type tally struct {
	kills, rotating, publishing, acked, unsure int
	under                                      time.Duration
}

func (c *tally) add(o tally) {
	c.kills, c.rotating, c.publishing = c.kills+o.kills, c.rotating+o.rotating, c.publishing+o.publishing
	c.acked, c.unsure, c.under = c.acked+o.acked, c.unsure+o.unsure, c.under+o.under
}

func (c tally) rate() float64 { return float64(c.acked) / max(c.under.Seconds(), 1e-9) }

func (c tally) String() string {
	return fmt.Sprintf("%d kills, %d of them in a rotation, %d in a checkpoint; %d acknowledged in %s, %.0f a second; %d without an answer; 0 lost",
		c.kills, c.rotating, c.publishing, c.acked, c.under.Round(time.Millisecond), c.rate(), c.unsure)
}

// A real store process under load is killed by SIGKILL again and again, at moments that
// nobody chose, in every sync mode, on directories and on an S3 server. After every one
// of them the log holds each acknowledged transaction once, at its position, in one
// stretch, and nothing that was not sent; the next process serves exactly that, and
// answers what was left unanswered once; the root is whole, and nothing stays pending.
func TestAcknowledgedWritesSurviveSIGKILL(t *testing.T) {
	contract.Row(t, 42, 46, 53, 55, 57)
	kills, binary := contract.Scale(t, "kills", 12, 500), ""
	each := min(killsAStore, kills/3)
	if contract.Full() {
		binary = build(t)
	}
	seed := uint64(time.Now().UnixNano())
	chance := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	modes := []log.SyncMode{log.SyncCommit, log.SyncInterval, log.SyncNone}
	by, all := map[log.SyncMode]*tally{}, tally{}
	for i, mode := range modes {
		c := &tally{}
		by[mode] = c
		share := (kills + i) / len(modes) // a third of them
		for n := 0; c.kills < share; n++ {
			root := []string{"a directory", "an S3 server"}[(n+i)%2]
			t.Run(fmt.Sprintf("%s %d", mode, n), func(t *testing.T) {
				v := newVictim(t, mode, root, binary, chance)
				for range min(each, share-c.kills) {
					c.add(v.life())
				}
				v.rest()
			})
			if t.Failed() {
				t.FailNow()
			}
			if c.kills == 0 {
				break // somebody has asked for other modes only; the sum says so
			}
			t.Logf("%s, on %s: %s", mode, root, c)
		}
		all.add(*c)
	}
	t.Logf("all: %s", all)
	contract.Count(t, "acknowledged", all.acked)
	contract.Count(t, "kills in a rotation", all.rotating)
	contract.Count(t, "kills in a checkpoint", all.publishing)
	contract.Count(t, "acknowledged a second", int(all.rate()))
	if all.kills != kills || all.rotating+all.publishing == 0 {
		t.Errorf("%d kills, %d of them in a rotation and %d in a checkpoint; want %d, and some of both", all.kills, all.rotating, all.publishing, kills)
	}
	if !contract.Full() {
		return
	}
	if all.rotating < leastInside || all.publishing < leastInside {
		t.Errorf("%d kills met a rotation, %d a checkpoint; want %d of each", all.rotating, all.publishing, leastInside)
	}
	for mode, c := range by {
		if c.kills > 0 && c.rate() < leastRate {
			t.Errorf("%s: %.0f acknowledged a second, want %d", mode, c.rate(), leastRate)
		}
	}
}

// build is the binary as it is released.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "salvor")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// victim is a store whose process is killed again and again.
type victim struct {
	*ledger
	t       *testing.T
	mode    log.SyncMode
	dir     string
	binary  string
	args    []string
	root    string
	bucket  objstore.Bucket // the root
	chance  *rand.Rand
	pod     *pod
	pending []string // what the kill before left in the root
	http    *http.Client
}

func newVictim(t *testing.T, mode log.SyncMode, on, binary string, chance *rand.Rand) *victim {
	v := &victim{t: t, mode: mode, dir: t.TempDir(), binary: binary, chance: chance, ledger: newLedger()}
	v.root = rootOf(v.dir)
	if on != "a directory" {
		v.root = newObjectStore(t).root()
	}
	// Where nobody waits for a sync, a flush is smaller, and it is the rotation that syncs.
	v.args = []string{
		"--root", v.root, "--recover", "self", "--sync", mode.String(), "--sync-interval", "20ms",
		"--checkpoint-interval", "30ms", "--segment-size", map[bool]string{true: "16384", false: "262144"}[mode == log.SyncCommit],
	}
	var err error
	if v.bucket, err = rooturl.Open(t.Context(), v.root, rooturl.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.bucket.Close() })
	v.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}, Timeout: 10 * time.Second}
	v.pod = serveIn(t, binary, v.dir, v.args...)
	return v
}

// workers send at the same time, each one transaction after the other, of two tables.
const (
	workers  = 64
	ofTables = 2
	keys     = 4 // of each worker and run
)

// life puts load on the process until it is killed, and looks at what is left: on the
// disk, and then in the next process.
func (v *victim) life() tally {
	v.t.Helper()
	before := v.size()
	ctx, stop := context.WithCancel(v.t.Context())
	first, ended := make(chan struct{}), make(chan error, 1)
	began := time.Now()
	go func() {
		_, err := load.Run(ctx, load.Options{
			Targets: []string{"http://" + v.pod.api}, Concurrency: workers, Tables: ofTables, Keys: keys, HTTP: v.http,
			NewID: func() string { id := newID(); v.ran(id); return id },
			Trace: func(tr load.Trace) {
				if v.acknowledged(tr.Token, tr.Position) == before+1 {
					began = time.Now()
					close(first)
				}
			},
		})
		ended <- err
	}()
	select {
	case <-first:
	case err := <-ended:
		v.t.Fatalf("the load ended by itself: %v", err)
	case <-time.After(patience):
		v.t.Fatalf("nothing was acknowledged in %s", patience)
	}
	time.Sleep(time.Duration(v.chance.Int64N(int64(killsWithin)))) // the kill is at no moment that anybody chose
	v.pod.kill()
	c := tally{kills: 1, under: time.Since(began)}
	stop()
	if err := <-ended; err != nil {
		v.t.Fatalf("the load: %v", err)
	}
	v.http.CloseIdleConnections()
	c.acked = v.size() - before

	left := v.remains()
	if left.rotating {
		c.rotating++
	}
	if v.pending = v.pendingNow(); len(v.pending) > 0 {
		c.publishing++
	}
	v.inLog(left)
	if v.chance.IntN(8) == 0 {
		v.stillborn()
		left = v.remains() // it may have come as far as to publish and cut the log: with a record its id is forgotten
		v.inLog(left)
	}
	v.pod = serveIn(v.t, v.binary, v.dir, v.args...)
	c.unsure = v.settle(left)
	v.same("served", v.served())
	v.eventuallySettled()
	return c
}

// stillborn is a process that is killed while it starts.
func (v *victim) stillborn() {
	v.t.Helper()
	cmd := command(v.t, v.binary, append([]string{
		"store", "serve", "--data-dir", filepath.Join(v.dir, "data"), "--writer", "ledger-0", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0",
	}, v.args...)...)
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	time.Sleep(time.Duration(v.chance.Int64N(int64(100 * time.Millisecond))))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// rest ends the store in order, and compares the root with what was acknowledged.
func (v *victim) rest() {
	v.t.Helper()
	if code := v.pod.terminate(); code != 0 {
		v.t.Fatalf("SIGTERM: exit %d", code)
	}
	v.same("published", v.dumped())
	if left := v.pendingNow(); len(left) > 0 {
		v.t.Fatalf("left pending at the end: %q", left)
	}
	for _, args := range [][]string{
		{"manifest", "verify", "--root", v.root, "--deep"},
		{"audit", "verify", "--root", v.root, "--keys", filepath.Join(v.dir, "data", "audit-keys")},
	} {
		if out, errs, code := run(v.t, args...); code != 0 {
			v.t.Fatalf("salvor %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
		}
	}
}

// eventuallySettled waits until what the kill left pending has an outcome and no object.
func (v *victim) eventuallySettled() {
	v.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		now := v.pendingNow()
		if !slices.ContainsFunc(v.pending, func(op string) bool { return slices.Contains(now, op) }) {
			break
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("%q was left pending by the kill, and %q still is", v.pending, now)
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, op := range v.pending {
		if n := v.outcomes(op); n != 1 {
			v.t.Fatalf("operation %s has %d outcomes", op, n)
		}
	}
}
