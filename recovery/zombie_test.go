// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

type bucket = objstore.Bucket

func crashBeforeConfirm(t *testing.T, w *world, sc scenario) (*world, manifest.OperationID) {
	b := fault.Wrap(w.disk)
	b.On(fault.PutIfAbsent, recovery.Prefix).Nth(2).Crash(fault.Before)
	c := commit(w, b, sc)
	b.VerifyFired(t)
	return w, c.op
}

// A writer sleeps before each of its durable writes after Arm, is taken for dead,
// and recovery closes or finishes its operation. Then it wakes. Whatever it does
// is refused or harmless, and its client hears the truth.
func TestWokenZombieIsHarmless(t *testing.T) {
	contract.Row(t, 121, 159, 161)
	sc := scenarios[1]
	for _, sleep := range []struct {
		name, prefix string
		nth          int
		published    bool
	}{
		{"before its first table version", manifest.TablePrefix, 1, false},
		{"before its last table version", manifest.TablePrefix, 3, false},
		{"before it confirms", recovery.Prefix, 2, false},
		{"before it publishes", manifest.Prefix, 1, true},
	} {
		t.Run(sleep.name, func(t *testing.T) {
			w := prepared(onMemory(t))
			b := fault.Wrap(w.disk)
			wr, err := w.writer(b, "w")
			must(t, err)
			gate := b.On(fault.PutIfAbsent, sleep.prefix).Nth(sleep.nth).ParkBefore()
			done := make(chan committedResult, 1)
			go func() {
				r, err := wr.Commit(ctx(t), sc.op(b))
				done <- committedResult{r, err}
			}()
			_, err = gate.Await(ctx(t))
			must(t, err)
			op := wr.Open()[0]

			live, err := w.recoverAll(w.disk, recovery.RollForwardOnly{})
			must(t, err)
			if v := live[0].Verdict; v.Decision != recovery.Defer || v.Reason != recovery.ReasonWriterLive {
				t.Fatalf("a live writer's operation was touched: %+v", v)
			}
			reps, err := w.recoverAll(w.disk, ended)
			must(t, err)
			if !reps[0].Complete || !reps[0].Fenced {
				t.Fatalf("%+v", reps[0])
			}
			version := w.state().Version

			gate.Release()
			got := <-done
			if sleep.published {
				if got.err != nil || !got.ByRecovery {
					t.Fatalf("the client of a published operation heard %+v, %v", got.Result, got.err)
				}
			} else if !errors.Is(got.err, recovery.ErrFailed) {
				t.Fatalf("the client of an abandoned operation heard %v", got.err)
			}
			if v := w.state().Version; v != version {
				t.Fatalf("the zombie published version %d", v)
			}
			// It was fenced by mistake: it registers again and goes on.
			if _, err := wr.Commit(ctx(t), sc.op(b)); !errors.Is(err, manifest.ErrFenced) {
				t.Fatalf("a fenced writer armed again: %v", err)
			}
			must(t, wr.Register(ctx(t)))
			_, err = wr.Commit(ctx(t), checkpoint(put(b, "a", "old"), put(b, "b", "old")))
			must(t, err)
			rows := w.rows(op)
			if len(rows) != 1 || (rows[0].Kind == audit.RolledForward) != sleep.published {
				t.Fatalf("rows %+v", rows)
			}
			// What its late confirmation left is litter of a finished operation.
			_, err = w.recoverAll(w.disk, ended)
			must(t, err)
			if left := w.keys(recovery.Prefix); len(left) != 0 {
				t.Fatalf("left over: %v", left)
			}
		})
	}
}

type committedResult struct {
	recovery.Result
	err error
}

// Neither published nor abandoned by the deadline is unknown, and nothing else.
func TestFencedWriterThatLearnsNothingSaysUnknown(t *testing.T) {
	contract.Row(t, 161)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	wr, err := w.writer(b, "w")
	must(t, err)
	b.OnCall(func(c fault.Call) { // fenced, and nobody decides the operation
		if c.Verb == fault.PutIfAbsent && c.Key == manifest.Key(w.state().Version+1) && len(wr.Open()) == 1 {
			m, err := w.manifest(w.disk)
			must(t, err)
			_, err = m.Publish(ctx(t), manifest.Publication{
				By:      manifest.Publisher{Role: manifest.RoleRecovery, Process: "P"},
				Entries: []manifest.Entry{manifest.Fence("w", wr.Epoch())},
			})
			must(t, err)
		}
	})
	start := w.clock()
	r, err := wr.Commit(ctx(t), checkpoint(put(b, "a", "new")))
	if !errors.Is(err, manifest.ErrUnknown) || errors.Is(err, recovery.ErrFailed) {
		t.Fatalf("want unknown, got %v", err)
	}
	if waited := w.clock().Sub(start); waited < 2*time.Second {
		t.Fatalf("gave up after %s", waited)
	}
	if got := wr.Abandoned(); len(got) != 1 || got[0] != r.Operation {
		t.Fatalf("its status says abandoned: %v", got)
	}
	// Recovery decides later, once; the client of before was told nothing false.
	_, err = w.recoverAll(w.disk, recovery.RollForwardOnly{})
	must(t, err)
	if got := w.content(w.state(), "a"); got != "new" {
		t.Fatalf("a confirmed operation of an ended epoch was not finished: %q", got)
	}
	if len(w.rows(r.Operation)) != 1 {
		t.Fatal("no row")
	}
}

func TestArmThatLandsLateIsSpent(t *testing.T) {
	contract.Row(t, 161)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	b.On(fault.PutIfAbsent, recovery.Prefix).From(2).LoseRequest()
	late := b.On(fault.PutIfAbsent, recovery.Prefix).LandLater()
	wr, err := w.writer(b, "w")
	must(t, err)
	_, err = wr.Commit(ctx(t), checkpoint(put(b, "a", "new")))
	if !errors.Is(err, manifest.ErrUnknown) {
		t.Fatalf("want unknown, got %v", err)
	}
	_, err = late.Land(ctx(t))
	must(t, err)
	// It lands after its writer gave it up. The writer says so; recovery closes it.
	reps, err := w.recoverAll(w.disk, ended)
	must(t, err)
	if reps[0].Verdict.Decision != recovery.Abandon || !reps[0].Complete {
		t.Fatalf("%+v", reps[0])
	}
}

// Two writers pass the first look together; the second look keeps one of them.
func TestTwoWritersOfOneTable(t *testing.T) {
	contract.Row(t, 90)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	one, err := w.writer(b, "one")
	must(t, err)
	two, err := w.writer(w.disk, "two")
	must(t, err)
	gate := b.On(fault.PutIfAbsent, recovery.Prefix).ParkAfter()
	done := make(chan error, 1)
	go func() { _, err := one.Commit(ctx(t), checkpoint(put(b, "a", "one"))); done <- err }()
	_, err = gate.Await(ctx(t))
	must(t, err)
	var required *recovery.RequiredError
	if _, err := two.Commit(ctx(t), checkpoint(put(w.disk, "a", "two"))); !errors.As(err, &required) || required.Operation == "" {
		t.Fatalf("want RequiredError, got %v", err)
	}
	if _, err := two.Commit(ctx(t), checkpoint(put(w.disk, "elsewhere", "two"))); err != nil {
		t.Fatalf("an unrelated table was held back: %v", err)
	}
	gate.Release()
	must(t, <-done)
	_, err = two.Commit(ctx(t), checkpoint(put(w.disk, "a", "two")))
	must(t, err)
}
