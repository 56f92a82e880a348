// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// effect creates the object that a publication of op will name.
func (r *root) effect(table string, number uint64, op string) string {
	r.t.Helper()
	key := manifest.TableKey(manifest.TableID(table), number, manifest.OperationID(op))
	_, err := r.disk.PutIfAbsent(r.t.Context(), key, []byte(op), op)
	must(r.t, err)
	return key
}

// history publishes n operations of one table, each with its effect.
func (r *root) history(s *manifest.Store, by manifest.Publisher, table string, n int) {
	r.t.Helper()
	for range n {
		op := r.id()
		p := move(s.View(), by, op, table)
		r.effect(table, p.Entries[0].Tables[0].To.Number, op)
		_, err := s.Publish(r.t.Context(), p)
		must(r.t, err)
	}
}

func (r *root) keys(prefix string) (out []string) {
	r.t.Helper()
	for e, err := range r.disk.List(r.t.Context(), prefix, "") {
		must(r.t, err)
		out = append(out, strings.TrimPrefix(e.Key, prefix))
	}
	return out
}

func (r *root) age(d time.Duration) { must(r.t, r.sleep(r.t.Context(), d)) }

// collect keeps n publications, and what pending operations need.
func (r *root) collect(s *manifest.Store, n uint64, pending ...manifest.Pending) *manifest.Collected {
	r.t.Helper()
	c, err := s.Collect(r.t.Context(), collectOptions(n, pending...))
	must(r.t, err)
	return c
}

func collectOptions(n uint64, pending ...manifest.Pending) manifest.CollectOptions {
	return manifest.CollectOptions{
		Retention: manifest.Retention{Versions: n, Age: manifest.MinAge}, By: "collector",
		Pending: func(context.Context) ([]manifest.Pending, error) { return pending, nil },
	}
}

// A collection that another one overtakes says so, and accuses nothing of being damaged,
// whether the checkpoint that it starts from went before it was read or halfway. The
// next one collects what is left.
func TestACollectionThatIsOvertaken(t *testing.T) {
	contract.Row(t, 129)
	for _, within := range []string{manifest.CheckpointPrefix, manifest.PartPrefix} {
		t.Run(within, func(t *testing.T) {
			r := newRoot(t)
			b := fault.Wrap(r.disk)
			s, _ := r.wide(b, 40)
			r.age(2 * manifest.MinAge)
			other, by := r.wide(r.disk, 40)
			listed, overtaken := false, false
			b.OnCall(func(c fault.Call) {
				listed = listed || c.Verb == fault.List && c.Key == manifest.TablePrefix
				if !listed || overtaken || c.Verb != fault.Get || !strings.HasPrefix(c.Key, within) {
					return
				}
				overtaken = true
				r.history(other, by, "t0", 20)
				r.age(2 * manifest.MinAge)
				r.collect(other, 1)
			})
			if _, err := s.Collect(t.Context(), collectOptions(1)); !overtaken || !errors.Is(err, manifest.ErrContention) {
				t.Fatalf("overtaken %v: %v", overtaken, err)
			}
			r.same("after both", other.View())
			if c := r.collect(s, 1); c.Boundary != c.Before {
				t.Errorf("%+v", c)
			}
			r.same("after one more", other.View())
		})
	}
}

// The same, and the question whether the checkpoint is gone has no answer: that is
// said. The root is not accused, and the part that is not there not called damaged.
func TestACollectionThatCannotTellWhetherItIsOvertaken(t *testing.T) {
	contract.Row(t, 125, 129)
	r := newRoot(t)
	b := fault.Wrap(r.disk)
	s, _ := r.wide(b, 40)
	r.age(2 * manifest.MinAge)
	other, by := r.wide(r.disk, 40)
	silent := errors.New("no answer")
	listed, overtaken := false, false
	b.OnCall(func(c fault.Call) {
		listed = listed || c.Verb == fault.List && c.Key == manifest.TablePrefix
		if !listed || overtaken || c.Verb != fault.Get || !strings.HasPrefix(c.Key, manifest.PartPrefix) {
			return
		}
		overtaken = true
		r.history(other, by, "t0", 20)
		r.age(2 * manifest.MinAge)
		r.collect(other, 1)
		b.On(fault.Get, manifest.CheckpointPrefix).Fail(silent)
	})
	_, err := s.Collect(t.Context(), collectOptions(1))
	if !overtaken || !errors.Is(err, silent) || errors.Is(err, manifest.ErrContention) || !strings.Contains(err.Error(), "is not known") {
		t.Fatalf("overtaken %v: %v", overtaken, err)
	}
	r.same("after it", other.View())
}

// What is young stays, and what was never published goes whatever its age.
func TestWhatIsYoungIsKept(t *testing.T) {
	contract.Row(t, 129)
	r := newRoot(t)
	s := r.open(r.disk)
	r.history(s, r.writer(s, "w"), "t", 99)
	orphan := r.effect("t", 200, "ORPHAN")
	if c := r.collect(s, 10); c.Boundary != 1 || c.Publications != 0 || c.Versions != 1 || c.HeldBy != "retention" {
		t.Errorf("%+v", c)
	}
	if left := r.keys(""); slices.Contains(left, orphan) || len(r.keys("tables/t/")) != 99 || len(r.keys(manifest.Prefix)) != 100 {
		t.Errorf("left %q", left)
	}
}

func TestACollectionStopsAtTheOldestUnfinishedOperation(t *testing.T) {
	contract.Row(t, 97, 129)
	r := newRoot(t)
	s := r.open(r.disk) // a checkpoint every 8
	by := r.writer(s, "w")
	r.history(s, by, "t", 99)
	before := s.View()
	orphan, effect := r.effect("t", 200, "ORPHAN"), r.effect("t", 200, "UNFINISHED")
	newest := before.Tables["t"]
	parts := []string{manifest.TableKey("t", newest.Number, newest.Operation) + ".part-0001", effect + ".part-0001", orphan + ".part-0001"}
	for _, key := range parts {
		_, err := r.disk.PutIfAbsent(t.Context(), key, nil, "x")
		must(t, err)
	}
	foreign := "tables/t/written-by-hand"
	_, err := r.disk.PutIfAbsent(t.Context(), foreign, nil, "x")
	must(t, err)
	r.age(2 * manifest.MinAge)
	pending := manifest.Pending{Operation: "UNFINISHED", Base: 42}

	dry := collectOptions(10, pending)
	dry.DryRun = true
	all := r.keys("")
	told, err := s.Collect(t.Context(), dry)
	must(t, err)
	if !slices.Equal(all, r.keys("")) {
		t.Fatal("a dry run changed something")
	}
	c := r.collect(s, 10, pending)
	if c.Boundary != 41 || c.Keep != 41 || c.Publications != 40 || c.Checkpoints != 4 || !strings.Contains(c.HeldBy, "UNFINISHED") {
		t.Errorf("%+v", c)
	}
	if told.DryRun = false; told.Boundary != c.Boundary || told.Publications != c.Publications || told.Versions != c.Versions || told.Bytes != c.Bytes {
		t.Errorf("the dry run said %+v, it did %+v", told, c)
	}
	if first := r.keys(manifest.Prefix)[0]; first != manifest.Version(41).String() {
		t.Errorf("the oldest publication is %s", first)
	}
	// Its proof: the state at its base and every publication since.
	if st, err := s.At(t.Context(), 42); err != nil || st.Ref("t").Number != 41 {
		t.Errorf("the state at the base: %v", err)
	}
	left := r.keys("")
	if !slices.Contains(left, parts[0]) || !slices.Contains(left, parts[1]) || slices.Contains(left, parts[2]) {
		t.Errorf("parts live and die with their version: %q", left)
	}
	if slices.Contains(left, orphan) || !slices.Contains(left, effect) || !slices.Contains(left, foreign) || !slices.Equal(c.Foreign, []string{foreign}) {
		t.Errorf("orphan %v, unfinished %v, foreign %v", slices.Contains(left, orphan), slices.Contains(left, effect), c.Foreign)
	}
	for v := manifest.Version(40); v <= before.Version; v++ {
		st, err := s.At(t.Context(), v)
		must(t, err)
		pin := st.Tables["t"]
		if key := manifest.TableKey("t", pin.Number, pin.Operation); !slices.Contains(left, key) {
			t.Errorf("version %d names %s, which is gone", v, key)
		}
	}
	if n := len(r.keys("tables/t/")); n != 61+1+1+2 { // pins of versions 40 to 100, the effect, the foreign one, parts
		t.Errorf("%d table versions are left", n)
	}
	var gone *manifest.CollectedError
	if _, err := s.At(t.Context(), 39); !errors.As(err, &gone) {
		t.Errorf("a collected version: %v", err)
	}
	if st := r.open(r.disk).View(); st.Version != before.Version || st.Digest != before.Digest || len(st.Outcomes) != len(before.Outcomes) {
		t.Errorf("a cold reader is at %d, want %d", st.Version, before.Version)
	}
	if again := r.collect(s, 10, pending); again.Publications+again.Checkpoints+again.Versions+again.Others != 0 {
		t.Errorf("a second collection found %+v", again)
	}
}

// What cannot be read might need anything: the boundary stays.
func TestAnUnreadableOperationHoldsTheBoundary(t *testing.T) {
	contract.Row(t, 97, 129)
	r := newRoot(t)
	s := r.open(r.disk)
	r.history(s, r.writer(s, "w"), "t", 40)
	effect := r.effect("t", 100, "GARBAGE")
	r.age(2 * manifest.MinAge)
	c := r.collect(s, 4, manifest.Pending{Operation: "GARBAGE"})
	if c.Boundary != 1 || c.Publications != 0 || !strings.Contains(c.HeldBy, "GARBAGE") || !slices.Contains(r.keys(""), effect) {
		t.Errorf("%+v", c)
	}
	failed := collectOptions(4)
	failed.Pending = func(context.Context) ([]manifest.Pending, error) { return nil, fault.ErrAnswerLost }
	all := r.keys("")
	if _, err := s.Collect(t.Context(), failed); !errors.Is(err, fault.ErrAnswerLost) || !slices.Equal(all, r.keys("")) {
		t.Errorf("a listing that failed counted as empty: %v", err)
	}
}

// A reader keeps the version that it reads for as long as its lease says.
func TestASnapshotIsKeptForItsReader(t *testing.T) {
	contract.Row(t, 129)
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	r.history(s, by, "t", 20)
	snap, err := r.open(r.disk).Snapshot(t.Context(), 6*time.Hour, "a long dump")
	must(t, err)
	r.history(s, by, "t", 60)
	r.age(4 * time.Hour)
	c := r.collect(s, 4)
	if c.Boundary != 73 || c.Keep != 17 || !strings.Contains(c.HeldBy, "a long dump") {
		t.Errorf("%+v", c)
	}
	pin := snap.State.Tables["t"]
	key := manifest.TableKey("t", pin.Number, pin.Operation)
	if _, err := r.disk.Get(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	must(t, snap.Renew(t.Context(), 6*time.Hour))
	r.age(4 * time.Hour) // the first lease would be over
	if c := r.collect(s, 4); c.Keep != 17 || len(r.keys(manifest.ReaderPrefix)) != 1 {
		t.Errorf("renewed: %+v", c)
	}
	r.age(4 * time.Hour)
	if c := r.collect(s, 4); c.Keep != 73 || len(r.keys(manifest.ReaderPrefix)) != 0 {
		t.Errorf("a lease that is over held %+v, readers %q", c, r.keys(manifest.ReaderPrefix))
	}
	if _, err := r.disk.Get(t.Context(), key); err == nil {
		t.Error("what nobody needs is still there")
	}
	short, err := s.Snapshot(t.Context(), time.Hour, "short")
	must(t, err)
	must(t, short.Release(t.Context()))
	if left := r.keys(manifest.ReaderPrefix); len(left) != 0 {
		t.Errorf("released: %q", left)
	}
	if _, err := s.Snapshot(t.Context(), manifest.MaxLease+time.Hour, "for ever"); err == nil {
		t.Error("a lease without a bound")
	}
}

// A reader that pins a version which is collected meanwhile begins anew.
func TestAReaderAndACollectorSeeEachOther(t *testing.T) {
	contract.Row(t, 129)
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	r.history(s, by, "t", 20)
	b := fault.Wrap(r.disk)
	reader := r.open(b)
	for _, park := range []string{"before its pin", "after its pin"} {
		t.Run(park, func(t *testing.T) {
			rule := b.On(fault.PutIfAbsent, manifest.ReaderPrefix)
			gate := rule.ParkBefore
			if park == "after its pin" {
				gate = rule.ParkAfter
			}
			g := gate()
			got := make(chan *manifest.Snapshot, 1)
			go func() {
				snap, err := reader.Snapshot(t.Context(), 24*time.Hour, "slow")
				if err != nil {
					t.Error(err)
				}
				got <- snap
			}()
			_, err := g.Await(t.Context())
			must(t, err)
			r.history(s, by, "t", 60)
			r.age(2 * time.Hour)
			r.collect(s, 4)
			g.Release()
			snap := <-got
			if snap == nil {
				t.FailNow()
			}
			r.collect(s, 4)
			pin := snap.State.Tables["t"]
			if _, err := r.disk.Get(t.Context(), manifest.TableKey("t", pin.Number, pin.Operation)); err != nil {
				t.Errorf("the reader holds version %d: %v", snap.State.Version, err)
			}
			must(t, snap.Release(t.Context()))
			if left := r.keys(manifest.ReaderPrefix); len(left) != 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// One that died between any two of its requests leaves a store that is whole, and
// the next one finishes.
func TestACollectionThatDiesIsFinishedByTheNext(t *testing.T) {
	contract.Row(t, 129)
	writes := func(r *root) int {
		b := fault.Wrap(r.disk)
		_, err := r.open(b).Collect(t.Context(), collectOptions(4))
		must(t, err)
		return b.DurableWrites()
	}
	world := func() *root {
		r := newRoot(t)
		s := r.open(r.disk)
		r.history(s, r.writer(s, "w"), "t", 30)
		r.effect("t", 100, "ORPHAN")
		r.age(2 * manifest.MinAge)
		return r
	}
	whole := world()
	n := writes(whole)
	if n < 30 {
		t.Fatalf("only %d writes: nothing to crash in", n)
	}
	for _, at := range fault.CrashPoints(n) {
		t.Run(at.String(), func(t *testing.T) {
			r := world()
			r.t = t
			b := fault.Wrap(r.disk)
			s := r.open(b)
			b.CrashAt(at)
			if _, err := s.Collect(t.Context(), collectOptions(4)); err == nil && at.Moment == fault.Before {
				t.Fatal("it did not notice that it died")
			}
			cold := r.open(r.disk)
			if cold.View().Version != whole.open(whole.disk).View().Version {
				t.Fatalf("a cold reader is at %d", cold.View().Version)
			}
			pin := cold.View().Tables["t"]
			if _, err := r.disk.Get(t.Context(), manifest.TableKey("t", pin.Number, pin.Operation)); err != nil {
				t.Fatal(err)
			}
			r.collect(cold, 4)
			got, want := r.keys(""), whole.keys("")
			if !slices.Equal(got, want) {
				t.Errorf("left %q, want %q", got, want)
			}
		})
	}
}

// A table version that is published while the collector looks is not an orphan:
// whatever it lists, it lists in the one order that is safe.
func TestACollectorNeverTakesWhatIsPublishedMeanwhile(t *testing.T) {
	contract.Row(t, 129)
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	b := fault.Wrap(r.disk)
	collector := r.open(b)
	n := 0
	// Around its listings and deletes an operation goes all its way. (Not around its
	// reads of publications: it would chase the end of the line for ever.)
	b.OnCall(func(c fault.Call) {
		if c.Verb == fault.Get {
			return
		}
		op := fmt.Sprintf("QUICK-%d", n)
		n++
		p := move(s.View(), by, op, "t")
		r.effect("t", p.Entries[0].Tables[0].To.Number, op)
		_, err := s.Publish(t.Context(), p)
		must(t, err)
	})
	for range 3 {
		r.collect(collector, 4)
		pin := s.View().Tables["t"]
		if _, err := r.disk.Get(t.Context(), manifest.TableKey("t", pin.Number, pin.Operation)); err != nil {
			t.Fatalf("version %d: %v", s.View().Version, err)
		}
	}
}
