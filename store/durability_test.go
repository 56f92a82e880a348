// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// never is an interval in which nothing is synced unless somebody asks.
const never = 24 * time.Hour

func syncs(mode log.SyncMode) func(*store.Options) {
	return func(o *store.Options) { o.Sync, o.SyncInterval = mode, never }
}

// away is a root that cannot be reached until it is back.
func away(back <-chan struct{}) func(*store.Options) {
	return func(o *store.Options) {
		reach := o.OpenRoot
		o.OpenRoot = func(ctx context.Context) (objstore.Bucket, error) {
			select {
			case <-back:
				return reach(ctx)
			default:
				return nil, errors.New("no route to the object store")
			}
		}
		o.After = quick
	}
}

// quick makes pauses short, whatever they are for.
func quick(d time.Duration) <-chan time.Time { return time.After(min(d, time.Millisecond)) }

// cut is a power cut that keeps nothing that was not synced.
func (p *process) cut() {
	p.w.Helper()
	p.kill()
	p.w.disk = p.w.disk.PowerLoss(func(int) int { return 0 })
}

func (p *process) log() (d store.Durability) {
	p.w.Helper()
	p.getJSON("/v1/log", &d)
	return d
}

// What a client is told is worth what its mode says: the death of the process takes
// nothing of it, a power cut what the log says is not durable, and not a row more.
func TestWhatAnAnswerIsWorth(t *testing.T) {
	contract.Row(t, 46, 47)
	for _, mode := range []log.SyncMode{log.SyncCommit, log.SyncInterval, log.SyncNone} {
		t.Run(mode.String(), func(t *testing.T) {
			w := newWorld(t)
			p := w.start(syncs(mode))
			safe, told := content{}, content{}
			do := func(key string) {
				r := p.must(put("t", key, "x"))
				if r.Sync != mode {
					t.Fatalf("an answer in mode %s says %s", mode, r.Sync)
				}
				told.apply(put("t", key, "x"))
			}
			do("a")
			do("b")
			var d store.Durability
			if res := p.call("POST", "/v1/log/sync", ""); res.Code != http.StatusOK || json.Unmarshal(res.Body.Bytes(), &d) != nil || d.Durable != 2 || d.Sync != mode {
				t.Fatalf("%d %s", res.Code, res.Body)
			}
			safe = told.clone()
			do("c")
			d = p.log()
			if d.Next != 4 || d.Written != 3 || (d.Durable == 3) != (mode == log.SyncCommit) || (d.Interval == never.String()) != (mode == log.SyncInterval) || d.Loses != mode.Loses(never) {
				t.Fatalf("%+v", d)
			}
			st := p.Status()
			if mode == log.SyncCommit {
				safe = told
				if st.Sync != "" || st.Written != 0 || st.Durable != 3 {
					t.Fatalf("%+v", st)
				}
			} else if st.Sync != mode.String() || st.Written != 3 || st.Durable != 2 {
				t.Fatalf("%+v", st)
			}
			before := w.disk
			p.kill()
			w.same("after the death of the process", w.start(syncs(mode)).rows(), told)
			w.disk = before.PowerLoss(func(int) int { return 0 })
			w.same("after a power cut", w.start(syncs(mode)).rows(), safe)
		})
	}
}

// In mode interval a power cut at any moment, whatever it leaves of what was not synced,
// takes nothing that was answered longer than the interval ago, and no row out of turn.
func TestAPowerCutTakesOneIntervalOfAnswersAtMost(t *testing.T) {
	contract.Row(t, 46)
	const interval = 30 * time.Millisecond
	lost := 0
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 46))
			w := newWorld(t)
			p := w.start(func(o *store.Options) { o.Sync, o.SyncInterval = log.SyncInterval, interval })
			var told []time.Time // when the n-th was
			for n := range 1 + r.IntN(80) {
				p.must(put("t", fmt.Sprint("k", n), "x"))
				told = append(told, time.Now())
				time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
			}
			time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
			synctest.Wait()
			at := time.Now()
			after := p.disk.PowerLoss(func(n int) int { return r.IntN(n + 1) })
			p.kill()
			w.disk = after
			p = w.start()
			rows := p.rows()["t"]
			for n, when := range told {
				_, there := rows[fmt.Sprint("k", n)]
				if !there && at.Sub(when) > interval {
					t.Fatalf("seed %d: number %d was answered %s before the power cut, and is lost; the interval is %s", seed, n, at.Sub(when), interval)
				}
				if there != (n < len(rows)) {
					t.Fatalf("seed %d: %d rows are there, number %d: %v", seed, len(rows), n, there)
				}
			}
			lost += len(told) - len(rows)
			p.kill()
		})
	}
	if lost == 0 {
		t.Error("no power cut took anything: nothing was shown")
	}
}

// The root is never ahead of the log: before anything of a checkpoint is in the root,
// what it covers is synced. So a power cut at any of its writes, and a start without the
// root, give no position a second time.
func TestACheckpointCoversWhatTheLogHasSynced(t *testing.T) {
	contract.Row(t, 46, 57)
	for _, mode := range []log.SyncMode{log.SyncInterval, log.SyncNone} {
		for _, at := range []struct{ what, prefix string }{{"armed", recovery.Prefix}, {"applied", "tables/"}, {"published", "manifest/"}} {
			t.Run(mode.String()+", "+at.what, func(t *testing.T) {
				w := newWorld(t)
				p := w.start(syncs(mode))
				p.checkpoint()
				want := content{}
				for n := range 5 {
					tx := []store.Statement{put("a", fmt.Sprint("k", n), "x"), put("b", fmt.Sprint("k", n), "x")}
					p.must(tx...)
					want.apply(tx...)
				}
				p.bucket.On(fault.PutIfAbsent, at.prefix).Crash(fault.Unacknowledged)
				ended := make(chan struct{})
				go func() { defer close(ended); _, _ = p.Checkpoint(context.Background()) }()
				<-p.bucket.Crashed()
				p.cut()
				<-ended
				back := make(chan struct{})
				p = w.start(syncs(mode), away(back))
				w.same("served without the root", p.rows(), want)
				if r := p.must(put("a", "more", "x")); r.Position != 6 {
					t.Fatalf("position %d", r.Position)
				}
				want.apply(put("a", "more", "x"))
				close(back)
				p.Refresh()
				p.await("it has reached the root", func(st control.Status) bool { return st.Epoch > 0 })
				w.operator()
				p.checkpoint()
				w.same("published", w.dump(), want)
				w.rest()
				p.kill()
			})
		}
	}
}

// What the log is cut behind is noted for good: a power cut does not bring a log that
// knows of less than what is gone from it.
func TestTheNoteSurvivesWhatItIsFor(t *testing.T) {
	contract.Row(t, 57)
	w := newWorld(t)
	p := w.start(syncs(log.SyncNone))
	for n := range 40 { // one block each, four to a segment
		p.must(put("t", fmt.Sprint("k", n), "some text"))
	}
	p.checkpoint()
	if p.Status().Oldest == 1 {
		t.Fatal("nothing was cut")
	}
	p.cut()
	l, err := log.Open("data/log", log.Options{NewID: func() [16]byte { return ulid.Make() }, FS: w.disk, Spares: -1, SegmentSize: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Recover(1, nil); err != nil || l.Checkpointed() != 40 || l.Durable() != 40 {
		t.Fatalf("the log knows of a checkpoint up to %d, and holds up to %d: %v", l.Checkpointed(), l.Durable(), err)
	}
}

// A log whose sync fails may have lost what was answered since the last one. It is in
// memory, so the root gets it; and from then on the directory alone is not enough to
// start from, neither before nor after it goes on behind what was lost.
func TestWhatAFailedSyncMayHaveLostIsPublished(t *testing.T) {
	contract.Row(t, 46, 48)
	w := newWorld(t)
	p := w.start(syncs(log.SyncInterval))
	want := content{}
	do := func(key string) {
		p.must(put("t", key, "x"))
		want.apply(put("t", key, "x"))
	}
	do("synced")
	p.checkpoint()
	do("answered")
	do("answered too")
	w.disk.Fail(logtest.Sync, w.disk.Count(logtest.Sync)+1, syscall.EIO)
	p.checkpoint()
	st := p.Status()
	if st.State != control.Poisoned || st.Durable != 1 || st.Written != 3 || st.Published != 3 {
		t.Fatalf("%+v", st)
	}
	p.cut()
	for range 2 {
		back := make(chan struct{})
		p = w.launch(syncs(log.SyncInterval), away(back))
		p.await("it waits for the root", func(st control.Status) bool { return strings.Contains(st.Waiting, "not serving yet") })
		close(back)
		p.Refresh()
		p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
		w.same("served", p.rows(), want)
		do("later")
		if st := p.Status(); st.Next != 5 && st.Next != 6 {
			t.Fatalf("a position was given again: %+v", st)
		}
		p.kill()
		w.forgetsTheRescue() // the log itself shows by now that something is missing
	}
}

func (w *world) forgetsTheRescue() {
	w.Helper()
	const path = "data/store.json"
	var all map[string]any
	if err := json.Unmarshal(w.disk.Bytes(path), &all); err != nil {
		w.Fatal(err)
	}
	delete(all, "rescued")
	raw, err := json.Marshal(all)
	if err != nil {
		w.Fatal(err)
	}
	w.disk.Put(path, raw)
}

// Under a write lock everything that was answered is synced, and the process says so:
// whoever holds the store may be about to restart the node.
func TestUnderALockTheLogIsSynced(t *testing.T) {
	contract.Row(t, 46, 110)
	for _, mode := range []log.SyncMode{log.SyncInterval, log.SyncNone} {
		w := newWorld(t)
		p := w.start(syncs(mode))
		p.checkpoint()
		p.must(put("t", "k", "x"))
		if st := p.Status(); st.Written != 1 {
			t.Fatalf("%+v", st)
		}
		w.lock(manifest.Draining)
		p.Refresh()
		p.await("it heeds the lock, and has synced", func(st control.Status) bool { return st.Lock != "" && st.Written == 0 && st.Durable == 1 })
		p.cut()
		p = w.launch(syncs(mode))
		p.await("it heeds the lock again", func(st control.Status) bool { return st.Lock != "" && st.State == control.Draining })
		w.same("after a power cut under the lock", p.rows(), content{"t": {"k": `{"v":"x"}`}})
		p.kill()
	}
}
