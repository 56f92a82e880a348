// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
	"github.com/salvor-io/salvor/test/contract"
)

// Two who may undo, on one operation: the first is paused before each of its durable
// writes while the second, of a newer term, does all there is to do. Then the first
// wakes. What it still wants to destroy is refused by its epoch.
func TestAnOlderRecovererDestroysNothing(t *testing.T) {
	contract.Row(t, 84, 86, 99, 121)
	origin, com := halfSeen(t)
	dry := fault.Wrap(origin.fork().disk)
	_, err := origin.twinOn(dry).recoverAll(dry, undoing)
	must(t, err)
	refused := 0
	for n := 1; n <= dry.DurableWrites(); n++ {
		w := origin.fork()
		w.t = t
		b := fault.Wrap(w.disk)
		gate := b.When("write", func(c fault.Call) bool { return c.Write == n }).ParkBefore()
		type result struct {
			reps []recovery.Report
			err  error
		}
		first := make(chan result, 1)
		go func() {
			reps, err := w.recoverAll(b, undoing)
			first <- result{reps, err}
		}()
		_, err := gate.Await(ctx(t))
		must(t, err)
		_, err = w.recoverAll(w.disk, undoing)
		must(t, err)
		// The new term goes on: a writer of it must not be touched.
		wr, err := w.writer(w.disk, "w")
		must(t, err)
		_, err = wr.Commit(ctx(t), foreign(w.visible(w.disk, "y", "later")))
		must(t, err)
		version := w.state()
		gate.Release()
		got := <-first
		if got.err != nil {
			if !errors.Is(got.err, recovery.ErrNotExclusive) && !errors.Is(got.err, manifest.ErrFenced) {
				t.Errorf("before write %d: %v", n, got.err)
			}
			refused++
		}
		st := w.state()
		for _, table := range []string{"x", "y", "z"} {
			if id := manifest.TableID(table); st.Tables[id] != version.Tables[id] {
				t.Errorf("before write %d: table %s was moved from %v to %v", n, table, version.Tables[id], st.Tables[id])
			}
		}
		if w.head("x") != "old" || w.head("y") != "later" || w.head("z") != "" {
			t.Errorf("before write %d: readers see x %q, y %q, z %q", n, w.head("x"), w.head("y"), w.head("z"))
		}
		if st.Ended("w", wr.Epoch()) {
			t.Errorf("before write %d: a writer of the new term was fenced", n)
		}
		if rows := w.rows(com.op); len(rows) != 1 {
			t.Errorf("before write %d: %d rows", n, len(rows))
		}
		// What the sleeper's late writes left is litter, and a lock ends by itself.
		_, err = w.recoverAll(w.disk, undoing)
		must(t, err)
		if left := w.keys(recovery.Prefix); len(left) != 0 {
			t.Errorf("before write %d: left over: %v", n, left)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// A writer sleeps before each durable write behind its intent, and its operation is
// undone. Then it wakes: no late effect of it reaches a reader, and its client hears
// the truth.
func TestAnUndoneZombieReachesNobody(t *testing.T) {
	contract.Row(t, 122, 161)
	for _, sleep := range []struct {
		name, prefix string
		nth          int
	}{
		{"before its first effect", commitlog.Prefix, 1},
		{"before its second effect", commitlog.Prefix, 2},
		{"before it confirms", recovery.Prefix, 2},
	} {
		t.Run(sleep.name, func(t *testing.T) {
			w := preparedVisible(t)
			b := fault.Wrap(w.disk)
			wr, err := w.writer(b, "w")
			must(t, err)
			gate := b.On(fault.PutIfAbsent, sleep.prefix).Nth(sleep.nth).ParkBefore()
			done := make(chan committedResult, 1)
			op := foreign(w.visible(b, "x", "new"), w.visible(b, "y", "new"), w.visible(b, "z", "new"))
			go func() {
				r, err := wr.Commit(ctx(t), op)
				done <- committedResult{r, err}
			}()
			_, err = gate.Await(ctx(t))
			must(t, err)
			reps, err := w.recoverAll(w.disk, undoing)
			must(t, err)
			if !reps[0].Complete {
				t.Fatalf("%+v", reps[0])
			}
			gate.Release()
			got := <-done
			if !errors.Is(got.err, recovery.ErrFailed) {
				t.Errorf("the client heard %v", got.err)
			}
			_, err = w.recoverAll(w.disk, undoing) // litter
			must(t, err)
			if finishedVisible(t, w, committed{got.Operation, got.err}, sleep.name) {
				t.Error("it is there")
			}
		})
	}
}

// intrude is a commit by somebody who speaks the table format and nothing else.
func intrude(w *world, b objstore.Bucket, table, op string) {
	w.t.Helper()
	head, err := w.log(b).Read(ctx(w.t), manifest.TableID(table))
	must(w.t, err)
	_, err = w.log(b).Write("theirs")(ctx(w.t), recovery.TableVersion{Table: head.Table, Number: head.Number + 1, Operation: manifest.OperationID(op)})
	must(w.t, err)
}

// What somebody else has committed is neither undone nor published, wherever it lies:
// the operation waits for a person, who is told which table it is.
func TestAnothersCommitIsKept(t *testing.T) {
	contract.Row(t, 80, 87, 88)
	for _, c := range []struct {
		name   string
		spoil  func(w *world)
		reason recovery.Reason
		table  string
		sees   string
	}{
		{"at the number that the operation planned", func(w *world) { intrude(w, w.disk, "y", "THEIRS") }, recovery.ReasonForeignCommit, "y", "theirs"},
		{"above the operation", func(w *world) { intrude(w, w.disk, "x", "THEIRS") }, recovery.ReasonBuried, "x", "theirs"},
		{"deleted and made again with the same number", func(w *world) {
			must(w.t, w.disk.Delete(ctx(w.t), commitlog.Key("y", 1)))
			_, err := w.log(w.disk).Write("theirs")(ctx(w.t), recovery.TableVersion{Table: "y", Number: 1, Operation: "THEIRS"})
			must(w.t, err)
		}, recovery.ReasonContradiction, "y", "theirs"},
		{"head below the pin", func(w *world) { must(w.t, w.disk.Delete(ctx(w.t), commitlog.Key("y", 1))) }, recovery.ReasonContradiction, "y", ""},
		{"a version that cannot be read", func(w *world) {
			must(w.t, w.disk.Delete(ctx(w.t), commitlog.Key("x", 2)))
			w.place(commitlog.Key("x", 2), []byte("rubbish"))
		}, recovery.ReasonContradiction, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, com := halfSeen(t)
			c.spoil(w)
			b := fault.Wrap(w.disk)
			for range 2 { // never retried into anything else
				reps, err := w.recoverAll(b, undoing)
				must(t, err)
				if v := reps[0].Verdict; v.Decision != recovery.Refuse || v.Reason != c.reason || reps[0].Complete {
					t.Fatalf("%+v", reps[0])
				}
			}
			if b.DurableWrites() != 0 || len(w.keys(recovery.SidecarKey(com.op))) != 1 || len(w.rows("")) != 0 {
				t.Errorf("%d writes, rows %v", b.DurableWrites(), w.rows(""))
			}
			if c.sees != "" && w.head(c.table) != c.sees {
				t.Errorf("readers of %s see %q", c.table, w.head(c.table))
			}
		})
	}
}

// Somebody commits between the decision and the restore of a table. Their commit
// survives: above the operation's it stops the roll-back, and what is left is said; in
// a table where the operation has done nothing it takes the number that it planned.
func TestACommitDuringARollBackSurvives(t *testing.T) {
	contract.Row(t, 88, 122)
	during := func(table string, n uint64) (*world, committed, recovery.Report) {
		w, com := halfSeen(t)
		b := fault.Wrap(w.disk)
		done := false
		b.OnCall(func(c fault.Call) {
			if c.Verb == fault.PutIfAbsent && c.Key == commitlog.Key(manifest.TableID(table), n) && !done {
				done = true
				intrude(w, w.disk, table, "THEIRS")
			}
		})
		reps, err := w.recoverAll(b, undoing)
		must(t, err)
		if !done || w.head(table) != "theirs" || w.state().Lock != nil {
			t.Fatalf("%v: readers of %s see %q, lock %v", done, table, w.head(table), w.state().Lock)
		}
		return w, com, reps[0]
	}
	w, com, rep := during("x", 3)
	if v := rep.Verdict; v.Decision != recovery.Refuse || v.Reason != recovery.ReasonBuried || rep.Complete {
		t.Fatalf("%+v", rep)
	}
	if o, _ := w.state().Outcome(com.op); o.Kind != manifest.KindRollBack || o.Restored != 0 || len(w.rows(com.op)) != 0 {
		t.Fatalf("%+v", o)
	}
	// A person takes the commit away (here): the roll-back ends.
	must(t, w.disk.Delete(ctx(t), commitlog.Key("x", 3)))
	_, err := w.recoverAll(w.disk, undoing)
	must(t, err)
	if finishedVisible(t, w, com, "the commit is gone") {
		t.Error("it is there")
	}

	w, com, rep = during("y", 2)
	rows := w.rows(com.op)
	if o, _ := w.state().Outcome(com.op); !rep.Complete || o.Restored == 0 || len(rows) != 1 || len(rows[0].Tables) != 2 {
		t.Errorf("%+v, rows %+v", rep, rows)
	}
	if w.head("x") != "old" || w.head("z") != "" || len(w.keys(recovery.Prefix)) != 0 {
		t.Errorf("x %q, z %q, left %v", w.head("x"), w.head("z"), w.keys(recovery.Prefix))
	}
}

// A writer that keeps to the protocol is told that recovery comes first, and one
// that publishes under the lock waits for it.
func TestWritersWaitForARollBack(t *testing.T) {
	contract.Row(t, 90, 122)
	w, _ := halfSeen(t)
	wr, err := w.writer(w.disk, "rival")
	must(t, err)
	var required *recovery.RequiredError
	if _, err := wr.Commit(ctx(t), foreign(w.visible(w.disk, "x", "rival"))); !errors.As(err, &required) || required.Table != "x" {
		t.Errorf("%v", err)
	}
	b := fault.Wrap(w.disk)
	tried := false
	b.OnCall(func(c fault.Call) {
		if st := w.state(); st.Lock != nil && !tried {
			tried = true
			m, err := w.manifest(w.disk)
			must(t, err)
			process := manifest.ProcessID(w.newID())
			e, err := m.Register(ctx(t), "third", process, manifest.Epoch{})
			must(t, err)
			_, err = m.Publish(ctx(t), manifest.Publication{
				By: manifest.Publisher{Role: manifest.RoleWriter, Process: process, Writer: "third", Epoch: e},
				Entries: []manifest.Entry{{Kind: manifest.KindPublish, Operation: "ELSE", Writer: "third", Epoch: e, Base: m.View().Version, Tables: []manifest.Change{
					{Table: "elsewhere", To: &manifest.Pin{Ref: manifest.Ref{Number: 1, Operation: "ELSE"}, Digest: "sha256:x"}},
				}}},
			})
			var locked *manifest.LockedError
			if !errors.As(err, &locked) {
				t.Errorf("published under the lock: %v", err)
			}
		}
	})
	reps, err := w.recoverAll(b, undoing)
	must(t, err)
	if !tried || !reps[0].Complete {
		t.Fatalf("%v %+v", tried, reps[0])
	}
}

// A roll-back never nests in another's lock.
func TestARollBackWaitsForAForeignLock(t *testing.T) {
	contract.Row(t, 122)
	w, com := halfSeen(t)
	m, err := w.manifest(w.disk)
	must(t, err)
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}
	_, err = m.Lock(ctx(t), by, manifest.Lock{Owner: "M1", Reason: "maintenance", Mode: manifest.Draining, Since: w.clock(), Until: w.clock().Add(1e12)})
	must(t, err)
	reps, err := w.recoverAll(w.disk, undoing)
	must(t, err)
	if v := reps[0].Verdict; v.Decision != recovery.Defer || v.Reason != recovery.ReasonFrozen || w.head("x") != "new" {
		t.Fatalf("%+v", reps[0])
	}
	_, err = m.Release(ctx(t), by, "M1")
	must(t, err)
	_, err = w.recoverAll(w.disk, undoing)
	must(t, err)
	finishedVisible(t, w, com, "the lock is gone")
}

// The plan that is stored is the one that is followed, also by one who would make another.
func TestAStoredPlanIsFollowed(t *testing.T) {
	contract.Row(t, 84)
	w, com := halfSeen(t)
	b := fault.Wrap(w.disk)
	b.On(fault.PutIfAbsent, manifest.Prefix).Nth(3).Crash(fault.Before) // register, fence and lock; then the decision
	_, err := w.recoverAll(b, undoing)
	if err == nil {
		t.Fatal("it survived its crash")
	}
	b.VerifyFired(t)
	key := recovery.PlanKey(com.op)
	o, err := w.disk.Get(ctx(t), key)
	must(t, err)
	// Meanwhile another effect lands, so that a new plan would be another one.
	var body struct {
		Tables []struct {
			Table string       `json:"table"`
			Head  manifest.Ref `json:"head"`
		} `json:"tables"`
	}
	must(t, json.Unmarshal(o.Body[len(o.Body)-len(after(o.Body)):], &body))
	if len(body.Tables) != 3 || body.Tables[0].Head.Operation != com.op || body.Tables[1].Head.Operation == com.op {
		t.Fatalf("the plan: %s", o.Body)
	}
	_, err = w.log(w.disk).Write("new")(ctx(t), recovery.TableVersion{Table: "y", Number: 2, Operation: com.op})
	must(t, err)
	reps, err := w.recoverAll(w.disk, undoing)
	must(t, err)
	if got := fmt.Sprint(reps[0].Complete, reps[0].PlanHash != ""); got != "true true" {
		t.Errorf("%+v", reps[0])
	}
	finishedVisible(t, w, com, "the stored plan")
}

// after is what follows an object's first line.
func after(raw []byte) []byte {
	for i, c := range raw {
		if c == '\n' {
			return raw[i+1:]
		}
	}
	return nil
}
