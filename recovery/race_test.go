// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// pendingAt is a root whose writer died at the moment of its n-th durable write
// from the end of its walk: confirmed and unpublished, for instance.
func pendingAt(t *testing.T, prefix string, n int, m fault.Moment) (*world, manifest.OperationID) {
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	b.On(fault.PutIfAbsent, prefix).Nth(n).Crash(m)
	c := commit(w, b, scenarios[1])
	if c.err == nil {
		t.Fatal("the writer survived its crash")
	}
	b.VerifyFired(t)
	return w, c.op
}

// confirmed: everything is there and confirmed, nothing is published.
func confirmed(t *testing.T) (*world, manifest.OperationID) {
	return pendingAt(t, recovery.Prefix, 2, fault.Unacknowledged)
}

// armed: the sidecar is there and nothing else.
func armed(t *testing.T) (*world, manifest.OperationID) {
	return pendingAt(t, manifest.TablePrefix, 1, fault.Before)
}

// Two recoverers on one sidecar, all crash points of the one times the other:
// the first is parked before each of its durable writes while the second does
// all there is to do, and then goes on.
func TestTwoRecoverersLeaveOneOutcomeAndOneRow(t *testing.T) {
	contract.Row(t, 74, 76, 99)
	for _, start := range []struct {
		name string
		make func(*testing.T) (*world, manifest.OperationID)
		kind audit.Kind
	}{{"confirmed", confirmed, audit.RolledForward}, {"armed", armed, audit.RolledBack}} {
		origin, op := start.make(t)
		dry := fault.Wrap(origin.fork().disk)
		_, err := origin.twinOn(dry).recoverAll(dry, ended)
		must(t, err)
		for n := 1; n <= dry.DurableWrites(); n++ {
			t.Run(fmt.Sprintf("%s/second overtakes before write %d", start.name, n), func(t *testing.T) {
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
					reps, err := w.recoverAll(b, ended)
					first <- result{reps, err}
				}()
				_, err := gate.Await(ctx(t))
				must(t, err)
				_, err = w.recoverAll(w.disk, ended)
				must(t, err)
				gate.Release()
				got := <-first
				must(t, got.err)
				if len(got.reps) != 1 || !got.reps[0].Complete {
					t.Fatalf("the loser did not converge: %+v", got.reps)
				}
				if rows := w.rows(op); len(rows) != 1 || rows[0].Kind != start.kind {
					t.Fatalf("rows: %+v", rows)
				}
				finished(t, w, scenarios[1], committed{op, errCrashed}, t.Name())
			})
		}
	}
}

// The winner of the race for the outcome dies right behind it, at each of its writes
// since. The loser finds its intent still there: it ends what the winner has begun,
// and the row is there once, also when the winner's had landed.
func TestALoserEndsWhatADeadWinnerHasBegun(t *testing.T) {
	contract.Row(t, 75, 99)
	origin, op := confirmed(t)
	dry := fault.Wrap(origin.fork().disk)
	_, err := origin.twinOn(dry).recoverAll(dry, ended)
	must(t, err)
	for n := 2; n <= dry.DurableWrites(); n++ { // the first is the outcome
		for _, m := range []fault.Moment{fault.Before, fault.Unacknowledged} {
			t.Run(fmt.Sprintf("the winner dies at write %d, %s", n, m), func(t *testing.T) {
				w := origin.fork()
				w.t = t
				loser := fault.Wrap(w.disk)
				gate := loser.On(fault.PutIfAbsent, manifest.Prefix).Nth(1).ParkBefore()
				type result struct {
					reps []recovery.Report
					err  error
				}
				got := make(chan result, 1)
				go func() {
					reps, err := w.recoverAll(loser, ended)
					got <- result{reps, err}
				}()
				_, err := gate.Await(ctx(t))
				must(t, err)
				winner := fault.Wrap(w.disk)
				winner.CrashAt(fault.CrashPoint{Write: n, Moment: m})
				if _, err := w.recoverAll(winner, ended); err == nil {
					t.Fatal("the winner survived")
				}
				if o, ok := w.state().Outcome(op); !ok || o.Kind != manifest.KindPublish {
					t.Fatalf("the winner decided nothing: %+v", o)
				}
				gate.Release()
				lost := <-got
				must(t, lost.err)
				if len(lost.reps) != 1 || !lost.reps[0].Complete {
					t.Errorf("%+v", lost.reps)
				}
				if rows := w.rows(op); len(rows) != 1 || rows[0].Kind != audit.RolledForward {
					t.Errorf("rows: %+v", rows)
				}
				finished(t, w, scenarios[1], committed{op, errCrashed}, t.Name())
			})
		}
	}
}

var errCrashed = errors.New("the writer crashed: its client heard nothing")

// twinOn is w with another disk; for counting.
func (w *world) twinOn(b objstore.Bucket) *world {
	f := w.twin()
	f.disk = b
	return f
}

func TestAuditIsWrittenOnceUnderRaceAndCrash(t *testing.T) {
	contract.Row(t, 99)
	origin, op := confirmed(t)
	dry := fault.Wrap(origin.fork().disk)
	_, err := origin.twinOn(dry).recoverAll(dry, ended)
	must(t, err)
	// Each crash point of one recoverer, while eight others race.
	for _, p := range fault.CrashPoints(dry.DurableWrites()) {
		w := origin.fork()
		b := fault.Wrap(w.disk)
		b.CrashAt(p)
		errs := make(chan error, 9)
		go func() { _, _ = w.recoverAll(b, ended); errs <- nil }()
		for range 8 {
			go func() { _, err := w.recoverAll(w.disk, ended); errs <- err }()
		}
		for range 9 {
			must(t, <-errs)
		}
		_, err := w.recoverAll(w.disk, ended)
		must(t, err)
		finished(t, w, scenarios[1], committed{op, errCrashed}, p.String())
	}
}

func TestReadersSeeAllTablesOrNone(t *testing.T) {
	contract.Row(t, 71)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	polls := 0
	look := func(c fault.Call) {
		polls++
		st, seen := w.state(), map[string]bool{}
		for _, table := range scenarios[1].tables {
			got := w.content(st, table)
			seen[map[bool]string{true: "new", false: "old"}[got == "new"]] = true
		}
		if len(seen) != 1 {
			t.Errorf("at %s a reader sees half of the operation: %v", c, st.Tables)
		}
	}
	b.OnCall(look)
	must(t, commit(w, b, scenarios[1]).err)
	// And when recovery publishes it.
	pending, _ := confirmed(t)
	w = pending
	b = fault.Wrap(w.disk)
	b.OnCall(look)
	_, err := w.recoverAll(b, ended)
	must(t, err)
	if polls < 15 {
		t.Fatalf("looked %d times only", polls)
	}
}

func TestContentionIsADeferralAndTheNextPassFinishes(t *testing.T) {
	contract.Row(t, 77, 79)
	w, op := confirmed(t)
	rival, err := w.writer(w.disk, "rival")
	must(t, err)
	b := fault.Wrap(w.disk)
	b.OnCall(func(c fault.Call) {
		if c.Verb == fault.PutIfAbsent && len(c.Key) > 9 && c.Key[:9] == manifest.Prefix {
			if _, err := rival.Commit(ctx(t), checkpoint(put(w.disk, "elsewhere", "x"))); err != nil {
				t.Error(err)
			}
		}
	})
	reps, err := w.recoverAll(b, ended)
	must(t, err) // a deferral is no failure
	rep := reps[0]
	if rep.Verdict.Decision != recovery.Defer || rep.Verdict.Reason != recovery.ReasonContention || rep.Verdict.Message == "" {
		t.Fatalf("verdict %+v", rep.Verdict)
	}
	if rep.Complete || len(w.keys(recovery.SidecarKey(op))) == 0 {
		t.Fatal("the intent was not kept")
	}
	if age := rep.Age(w.clock().Add(time.Minute)); age < time.Minute {
		t.Fatalf("age %s", age)
	}
	_, err = w.recoverAll(w.disk, ended)
	must(t, err)
	finished(t, w, scenarios[1], committed{op, errCrashed}, "after the rival stopped")
}

func TestListingThatFailsIsLoudAndOneThatIsOutdatedIsNot(t *testing.T) {
	contract.Row(t, 96)
	w, op := confirmed(t)
	down := errors.New("listing is down")
	b := fault.Wrap(w.disk)
	b.On(fault.List, recovery.Prefix).Fail(down)
	if reps, err := w.recoverAll(b, ended); !errors.Is(err, down) || len(reps) != 0 {
		t.Fatalf("recovery went on after a failed listing: %v %v", reps, err)
	}
	wr, err := w.writer(b, "other")
	must(t, err)
	writes := b.DurableWrites()
	if _, err := wr.Commit(ctx(t), checkpoint(put(b, "d", "x"))); !errors.Is(err, down) || b.DurableWrites() != writes {
		t.Fatalf("a writer went on after a failed listing: %v, %d writes", err, b.DurableWrites()-writes)
	}
	// The fault clears; and the sidecar vanishes between the listing and the get.
	gone := fault.Wrap(w.disk)
	gone.OnCall(func(c fault.Call) {
		if c.Verb == fault.Get && c.Key == recovery.SidecarKey(op) {
			_, err := w.recoverAll(w.disk, ended)
			must(t, err)
		}
	})
	reps, err := w.recoverAll(gone, ended)
	must(t, err)
	if len(reps) != 1 || !reps[0].Gone || !reps[0].Complete {
		t.Fatalf("%+v", reps)
	}
	finished(t, w, scenarios[1], committed{op, errCrashed}, "after the listing cleared")
}

func TestSwallowedCleanUpIsFinishedLater(t *testing.T) {
	contract.Row(t, 81)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	b.On(fault.Delete, recovery.Prefix).From(1).Fail(errors.New("deletes are down"))
	c := commit(w, b, scenarios[1])
	must(t, c.err) // the client is not troubled with it
	if n := len(w.keys(recovery.Prefix)); n != 2 {
		t.Fatalf("%d objects left, want the sidecar and its confirmation", n)
	}
	reps, err := w.recoverAll(w.disk, ended)
	must(t, err)
	if v := reps[0].Verdict; v.Decision != recovery.Converge || v.Reason != recovery.ReasonPublished {
		t.Fatalf("verdict %+v", v)
	}
	rows := w.rows(c.op)
	if len(rows) != 1 || rows[0].Kind != audit.RolledForward || rows[0].PublishedBy != audit.ByWriter {
		t.Fatalf("rows %+v", rows)
	}
	finished(t, w, scenarios[1], c, "after the clean-up")
}

// The live owner deletes what its own delete left, with no row: nobody recovered anything.
func TestLiveWriterFinishesItsOwnCleanUp(t *testing.T) {
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	b.On(fault.Delete, recovery.Prefix).Nth(1).Fail(errors.New("one delete is lost"))
	wr, err := w.writer(b, "w")
	must(t, err)
	first, err := wr.Commit(ctx(t), checkpoint(put(b, "a", "one")))
	must(t, err)
	if len(wr.Abandoned()) != 1 {
		t.Fatal("what is left over is not in the writer's status")
	}
	_, err = wr.Commit(ctx(t), checkpoint(put(b, "a", "two")))
	must(t, err)
	if left := w.keys(recovery.Prefix); len(left) != 0 || len(wr.Abandoned()) != 0 || len(w.rows(first.Operation)) != 0 {
		t.Fatalf("left %v, abandoned %v, rows %v", left, wr.Abandoned(), w.rows(first.Operation))
	}
}

// As long as it cannot, its status says so: somebody else may take it.
func TestWhatALiveWriterCannotCleanUpStaysInItsStatus(t *testing.T) {
	contract.Row(t, 99)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	lost := errors.New("deletes are lost")
	b.On(fault.Delete, recovery.Prefix).From(1).Fail(lost)
	var told []manifest.OperationID // by the last call of Changed
	m, err := w.manifest(b)
	must(t, err)
	var wr *recovery.Writer
	wr = recovery.NewWriter(m, recovery.WriterOptions{
		ID: "w", Process: manifest.ProcessID(w.newID()), NewID: w.newID, Now: w.clock, Sleep: w.sleep, Await: 2 * time.Second,
		Changed: func() { told = wr.Abandoned() },
	})
	must(t, wr.Register(ctx(t)))
	first, err := wr.Commit(ctx(t), checkpoint(put(b, "a", "one")))
	must(t, err)
	var required *recovery.RequiredError
	if _, err := wr.Commit(ctx(t), checkpoint(put(b, "a", "two"))); !errors.As(err, &required) || required.Operation != first.Operation {
		t.Fatalf("over what is left: %v", err)
	}
	if want := []manifest.OperationID{first.Operation}; !slices.Equal(wr.Abandoned(), want) || !slices.Equal(told, want) {
		t.Errorf("abandoned %v, told %v, want %v: everybody waits for it, and nobody may take it", wr.Abandoned(), told, want)
	}
	reps, err := w.recoverAll(w.disk, ended)
	must(t, err)
	if !reps[0].Complete || len(w.keys(recovery.Prefix)) != 0 {
		t.Errorf("%+v, left %v", reps[0], w.keys(recovery.Prefix))
	}
}

func TestFailedArmLeavesNoTrace(t *testing.T) {
	contract.Row(t, 66)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	wr, err := w.writer(b, "w")
	must(t, err)
	refused := errors.New("the bucket refuses")
	b.On(fault.PutIfAbsent, recovery.Prefix).Fail(refused)
	b.On(fault.PutIfAbsent, recovery.Prefix).From(1).Fail(refused)
	tables, version := w.keys(manifest.TablePrefix), w.state().Version
	if _, err := wr.Commit(ctx(t), checkpoint(put(b, "a", "new"))); !errors.Is(err, refused) {
		t.Fatalf("want the refusal, got %v", err)
	}
	if got := w.keys(manifest.TablePrefix); len(got) != len(tables) || w.state().Version != version || len(w.keys(recovery.Prefix)) != 0 {
		t.Fatalf("drift: tables %v, version %d, sidecars %v", got, w.state().Version, w.keys(recovery.Prefix))
	}
	if len(wr.Open())+len(wr.Abandoned()) != 0 {
		t.Fatalf("the writer still holds %v %v", wr.Open(), wr.Abandoned())
	}
	healthy, err := w.writer(w.disk, "w")
	must(t, err)
	_, err = healthy.Commit(ctx(t), checkpoint(put(w.disk, "a", "new")))
	must(t, err)
	if got := w.content(w.state(), "a"); got != "new" {
		t.Fatalf("the next operation shows %q", got)
	}
}

// The head of the trail rides in the publications, so that a cut tail shows.
func TestPublicationsCarryTheHeadOfTheTrail(t *testing.T) {
	contract.Row(t, 142)
	w, _ := confirmed(t)
	_, err := w.recoverAll(w.disk, ended)
	must(t, err)
	wr, err := w.writer(w.disk, "w")
	must(t, err)
	b := fault.Wrap(w.disk)
	b.On(fault.PutIfAbsent, recovery.Prefix).Nth(2).Crash(fault.Before)
	if _, err := wr.Commit(ctx(t), checkpoint(put(w.disk, "a", "x"))); err != nil {
		t.Fatal(err)
	}
	dead, err := w.writer(b, "dead")
	must(t, err)
	_, _ = dead.Commit(ctx(t), checkpoint(put(b, "d", "x")))
	_, err = w.recoverAll(w.disk, ended)
	must(t, err)
	rows := w.rows("")
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	head := w.state().Head
	if head.Number != rows[0].Batch || head.Hash != rows[0].Hash {
		t.Fatalf("the second recovery's publication carries %+v, the first row is %d %s", head, rows[0].Batch, rows[0].Hash)
	}
	// Cut the tail that the manifest remembers: verification says so.
	for _, r := range rows {
		must(t, w.disk.Delete(ctx(t), fmt.Sprintf("audit/main/%020d", r.Batch)))
	}
	keys, err := audit.NewKeyring(testKeys)
	must(t, err)
	rep, err := audit.Verify(ctx(t), w.disk, "main", keys, audit.VerifyOptions{Expect: []audit.Head{{Number: head.Number, Hash: head.Hash}}})
	must(t, err)
	if rep.Verdict() != audit.Bad || rep.Breaks[0].Why != audit.CutTail {
		t.Fatalf("%+v", rep)
	}
}
