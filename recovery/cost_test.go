// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

var update = flag.Bool("update", false, "write the golden files anew")

// crashed leaves one confirmed operation of n tables behind, as a process that was
// killed before it published.
func (w *world) crashed(writer string, n int) manifest.OperationID {
	w.t.Helper()
	b := fault.Wrap(w.disk)
	wr, err := w.writer(b, writer)
	must(w.t, err)
	b.On(fault.PutIfAbsent, manifest.Prefix).Nth(1).Crash(fault.Before)
	var changes []recovery.Change
	for i := range n {
		changes = append(changes, put(b, fmt.Sprintf("%s-%d", writer, i), "new"))
	}
	c, err := wr.Commit(ctx(w.t), checkpoint(changes...))
	if !errors.Is(err, manifest.ErrUnknown) || c.Operation == "" {
		w.t.Fatalf("%v", err)
	}
	return c.Operation
}

// lengthen publishes until the store has n publications.
func (w *world) lengthen(n manifest.Version) {
	w.t.Helper()
	m, err := w.manifest(w.disk)
	must(w.t, err)
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: "P"}
	for m.View().Version < n {
		_, err := m.Publish(ctx(w.t), manifest.Publication{By: by, Entries: []manifest.Entry{{Kind: manifest.KindAnchor}}})
		must(w.t, err)
	}
}

// asked are the requests by verb and directory, in the order of their first.
func asked(calls []fault.Call) string {
	var order []string
	n := map[string]int{}
	for _, c := range calls {
		dir, _, _ := strings.Cut(c.Key, "/")
		what := strings.TrimSuffix(strings.ToLower(c.Verb.String()), "ifabsent") + " " + dir
		if n[what]++; n[what] == 1 {
			order = append(order, what)
		}
	}
	for i, what := range order {
		order[i] = fmt.Sprintf("%s %d", what, n[what])
	}
	return fmt.Sprintf("%d: %s", len(calls), strings.Join(order, ", "))
}

// TestARecoveryCostsTheSameAfterTenThousandPublications counts what one recovery
// asks of the object store (goal 2: 9 + tables-1), alone and in a crowd.
func TestARecoveryCostsTheSameAfterTenThousandPublications(t *testing.T) {
	contract.Row(t, 128)
	synctest.Test(t, costs)
}

func costs(t *testing.T) {
	lines := map[manifest.Version][]string{}
	for _, history := range []manifest.Version{1, 10_000} {
		say := func(what string, calls []fault.Call) {
			lines[history] = append(lines[history], fmt.Sprintf("%-62s %s", what, asked(calls)))
		}
		w := onMemory(t)
		w.lengthen(history)
		b := fault.Wrap(w.disk)
		m, err := w.manifest(b)
		must(t, err)
		rec := w.recovererOf(m, b)
		// The first of a process asks for the end of the trail.
		one := func(what string, n, behind int, recoverOne func(op manifest.OperationID) recovery.Report) {
			for uint64(m.View().Version)%8 != 0 { // the same distance to a checkpoint
				w.lengthen(m.View().Version + 1)
				_, err := m.Latest(ctx(t))
				must(t, err)
			}
			op := w.crashed("w", n)
			for range behind { // others publish; the operation's base is before it
				w.lengthen(w.state().Version + 1)
			}
			if behind == 0 {
				_, err := m.Latest(ctx(t))
				must(t, err)
			}
			before := len(b.Calls())
			rep := recoverOne(op)
			if !rep.Complete || rep.Row == nil || !rep.Fenced {
				t.Fatalf("%s: %+v", what, rep)
			}
			say(what, b.Calls()[before:])
		}
		named := func(op manifest.OperationID) recovery.Report {
			rep, err := rec.Recover(ctx(t), recovery.SidecarKey(op), ended)
			must(t, err)
			return rep
		}
		one("the first of a process, one table", 1, 0, named)
		for _, n := range []int{1, 2, 5} {
			one(fmt.Sprintf("named by the stream, %d tables", n), n, 0, named)
		}
		for _, n := range []int{1, 2, 5} {
			one(fmt.Sprintf("listed, %d tables", n), n, 0, func(manifest.OperationID) recovery.Report {
				listed, err := recovery.List(ctx(t), b)
				must(t, err)
				rep, err := rec.Recover(ctx(t), listed[0].Key, ended)
				must(t, err)
				return rep
			})
		}
		for _, behind := range []int{1, 3} {
			one(fmt.Sprintf("named, one table, %d publications after its base not read yet", behind), 1, behind, named)
		}
		for _, n := range []int{1, 5} {
			own, shared := w.crowd(b, m, rec, 100, n)
			say(fmt.Sprintf("100 at once, %d tables: not shared", n), own)
			// What is shared is an object or two of each, as the crowd comes.
			if land := 100 * (6 + n - 1); len(own)+len(shared) > land || len(shared) > 12 {
				t.Errorf("100 recoveries of %d tables: %d requests, goal 2 allows %d; shared: %s", n, len(own)+len(shared), land, asked(shared))
			}
		}
	}
	if a, z := strings.Join(lines[1], "\n")+"\n", strings.Join(lines[10_000], "\n")+"\n"; a != z {
		t.Errorf("after one publication:\n%s\nafter 10,000:\n%s", a, z)
	}
	got := strings.Join(lines[1], "\n") + "\n"
	const path = "testdata/requests.golden"
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", path, got, want)
	}
}

// crowd recovers k operations of n tables at once, and returns the requests that
// were each one's own, and those for manifest and trail.
func (w *world) crowd(b *fault.Bucket, m *manifest.Store, rec *recovery.Recoverer, k, n int) (own, shared []fault.Call) {
	w.t.Helper()
	var ops []manifest.OperationID
	for i := range k {
		ops = append(ops, w.crashed(fmt.Sprintf("crowd-%d", i), n))
	}
	_, err := m.Latest(ctx(w.t))
	must(w.t, err)
	before := len(b.Calls())
	b.OnCall(func(c fault.Call) {
		if c.Verb == fault.PutIfAbsent {
			// The bubble's clock goes on when everybody else waits: all others have come.
			time.Sleep(60 * time.Millisecond)
		}
	})
	defer b.OnCall(nil)
	var all sync.WaitGroup
	for _, op := range ops {
		all.Go(func() {
			rep, err := rec.Recover(ctx(w.t), recovery.SidecarKey(op), ended)
			if err != nil || !rep.Complete || rep.Row == nil || rep.Row.Operation != string(op) {
				w.t.Errorf("%s: %+v, %v", op, rep, err)
			}
		})
	}
	all.Wait()
	for _, c := range b.Calls()[before:] {
		if strings.HasPrefix(c.Key, recovery.Prefix) || strings.HasPrefix(c.Key, manifest.TablePrefix) {
			own = append(own, c)
		} else {
			shared = append(shared, c)
		}
	}
	return own, shared
}
