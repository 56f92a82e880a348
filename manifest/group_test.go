// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// told is what one publisher learned.
type told struct {
	op  string
	pub manifest.Published
	err error
}

// publisher sends publications and collects what each is told.
type publisher struct {
	t    *testing.T
	s    *manifest.Store
	told chan told
	sent int
}

func newPublisher(t *testing.T, s *manifest.Store) *publisher {
	return &publisher{t: t, s: s, told: make(chan told, 1000)}
}

func (p *publisher) send(ctx context.Context, pub manifest.Publication) {
	p.sent++
	go func() {
		res, err := p.s.Publish(ctx, pub)
		p.told <- told{string(pub.Entries[0].Operation), res, err}
	}()
	synctest.Wait() // it stands in line, or it is on its way
}

func (p *publisher) results() map[string]told {
	p.t.Helper()
	out := map[string]told{}
	for range p.sent {
		r := <-p.told
		out[r.op] = r
	}
	p.sent = 0
	return out
}

// parked holds the next publication at the bucket until the gate is released.
func parked(t *testing.T, f func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRoot(t)
		b := fault.Wrap(r.disk)
		s := r.open(b)
		f(t, r, s, b, r.writer(s, "w"))
		b.VerifyFired(t)
	})
}

func TestWhoWaitsSharesOneObject(t *testing.T) {
	contract.Row(t, 127)
	parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
		base, p := s.View(), newPublisher(t, s)
		gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
		for i := range 17 {
			p.send(t.Context(), move(base, by, fmt.Sprintf("OP%02d", i), fmt.Sprintf("t%d", i)))
		}
		before := len(b.Calls())
		gate.Release()
		for op, r := range p.results() {
			want := base.Version + 2
			if op == "OP00" {
				want = base.Version + 1
			}
			if r.err != nil || r.pub.Version != want {
				t.Errorf("%s: manifest %d, want %d: %v", op, r.pub.Version, want, r.err)
			}
			if o, ok := r.pub.State.Outcome(manifest.OperationID(op)); !ok || o.Version != want {
				t.Errorf("%s is told a state without its outcome: %+v", op, o)
			}
		}
		// The put of the first was counted when it stood at the gate: one more for
		// sixteen publications, and for each put one look at the boundary.
		if calls := b.Calls()[before:]; len(calls) != 3 {
			t.Errorf("requests after the gate: %v", calls)
		}
		if v := r.open(r.disk).View().Version; v != base.Version+2 {
			t.Errorf("17 publications are %d objects", v-base.Version)
		}
	})
}

func TestAConflictDoesNotHoldUpItsNeighbours(t *testing.T) {
	contract.Row(t, 127)
	parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
		base, p := s.View(), newPublisher(t, s)
		gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
		p.send(t.Context(), move(base, by, "FIRST", "t"))
		p.send(t.Context(), move(base, by, "LATE", "t"))       // the state refuses it: FIRST has moved t
		p.send(t.Context(), move(base, by, "WINS", "u"))       // in the batch
		p.send(t.Context(), move(base, by, "LOSES", "v", "u")) // refused only because of WINS
		p.send(t.Context(), move(base, by, "FREE", "x"))
		gate.Release()
		got := p.results()
		for op, table := range map[string]string{"LATE": "t", "LOSES": "u"} {
			var m *manifest.ExpectedVersionMismatch
			if !errors.As(got[op].err, &m) || string(m.Table) != table || r.author(op) != 0 {
				t.Errorf("%s: %v, in manifest %d", op, got[op].err, r.author(op))
			}
		}
		for op, want := range map[string]manifest.Version{"FIRST": 1, "WINS": 2, "FREE": 2} {
			if got[op].err != nil || got[op].pub.Version != base.Version+want || r.author(op) != base.Version+want {
				t.Errorf("%s: told %d, is in %d: %v", op, got[op].pub.Version, r.author(op), got[op].err)
			}
		}
	})
}

// What a neighbour would make impossible is refused only when the neighbour is
// published: here its put fails.
func TestNobodyIsRefusedForWhatWasNotPublished(t *testing.T) {
	contract.Row(t, 127)
	parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
		base, p := s.View(), newPublisher(t, s)
		gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
		p.send(t.Context(), move(base, by, "FIRST", "t"))
		p.send(t.Context(), move(base, by, "DOOMED", "u"))
		p.send(t.Context(), move(base, by, "RIVAL", "u"))
		b.On(fault.PutIfAbsent, manifest.Prefix).Nth(1).Fail(objstore.ErrAccessDenied)
		gate.Release()
		got := p.results()
		if !errors.Is(got["DOOMED"].err, objstore.ErrAccessDenied) || r.author("DOOMED") != 0 {
			t.Errorf("DOOMED: %v", got["DOOMED"].err)
		}
		if got["FIRST"].err != nil || got["RIVAL"].err != nil || r.open(r.disk).View().Ref("u").Operation != "RIVAL" {
			t.Errorf("FIRST: %v, RIVAL: %v", got["FIRST"].err, got["RIVAL"].err)
		}
	})
}

// One who leaves the line published nothing; one who leaves aboard does not know;
// and neither takes anybody along.
func TestWhoLeavesTakesNobodyAlong(t *testing.T) {
	contract.Row(t, 127)
	parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
		left := errors.New("its client left")
		base, p := s.View(), newPublisher(t, s)
		gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
		p.send(t.Context(), move(base, by, "FIRST", "t"))
		inLine, leave := context.WithCancelCause(t.Context())
		p.send(inLine, move(base, by, "INLINE", "u"))
		aboard, jump := context.WithCancelCause(t.Context())
		p.send(aboard, move(base, by, "ABOARD", "v"))
		p.send(t.Context(), move(base, by, "STAYS", "x"))
		leave(left)
		synctest.Wait()
		if r := <-p.told; r.op != "INLINE" || !errors.Is(r.err, left) || errors.Is(r.err, manifest.ErrUnknown) {
			t.Errorf("%s was told %v", r.op, r.err)
		}
		p.sent--
		second := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
		gate.Release()
		synctest.Wait()
		jump(left)
		synctest.Wait() // it is told before its batch has landed
		first, then := <-p.told, <-p.told
		if first.op == "ABOARD" {
			first, then = then, first
		}
		p.sent -= 2
		if first.op != "FIRST" || first.err != nil || then.op != "ABOARD" || !errors.Is(then.err, manifest.ErrUnknown) || !errors.Is(then.err, left) {
			t.Errorf("%s: %v; %s: %v", first.op, first.err, then.op, then.err)
		}
		second.Release()
		if stays := p.results()["STAYS"]; stays.err != nil || r.author("STAYS") != stays.pub.Version || r.author("ABOARD") != stays.pub.Version {
			t.Errorf("STAYS: %v; in %d, ABOARD in %d", stays.err, r.author("STAYS"), r.author("ABOARD"))
		}
		if r.author("INLINE") != 0 {
			t.Error("INLINE was told that it is not published; it is")
		}
	})
}

// A batch is bounded in bytes, and each keeps its place in line.
func TestABatchIsBounded(t *testing.T) {
	contract.Row(t, 127)
	wide := func(base *manifest.State, by manifest.Publisher, op string, tables int) manifest.Publication {
		names := make([]string, tables)
		for i := range names {
			names[i] = fmt.Sprintf("%s-%05d-%s", op, i, strings.Repeat("n", 100))
		}
		return move(base, by, op, names...)
	}
	t.Run("bytes", func(t *testing.T) {
		parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
			base, p := s.View(), newPublisher(t, s)
			gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
			for i := range 6 {
				p.send(t.Context(), wide(base, by, fmt.Sprintf("OP%d", i), 10_000))
			}
			gate.Release()
			last := manifest.Version(0)
			got := p.results()
			for i := range 6 {
				r := got[fmt.Sprintf("OP%d", i)]
				if r.err != nil || r.pub.Version < last {
					t.Errorf("OP%d: in %d after %d: %v", i, r.pub.Version, last, r.err)
				}
				last = r.pub.Version
			}
			if n := last - base.Version; n < 2 || n > 6 {
				t.Errorf("60,000 tables in %d objects", n)
			}
		})
	})
	t.Run("publications", func(t *testing.T) {
		parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
			base, p := s.View(), newPublisher(t, s)
			gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
			for i := range manifest.MaxPublications + 2 {
				p.send(t.Context(), move(base, by, fmt.Sprintf("OP%d", i), fmt.Sprintf("t%d", i)))
			}
			gate.Release()
			got := p.results()
			if a, z := got["OP512"].pub.Version, got["OP513"].pub.Version; a != base.Version+2 || z != base.Version+3 {
				t.Errorf("numbers 512 and 513 are in %d and %d, the base was %d", a, z, base.Version)
			}
		})
	})
	t.Run("too large alone", func(t *testing.T) {
		parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
			base, p := s.View(), newPublisher(t, s)
			gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
			p.send(t.Context(), move(base, by, "FIRST", "t"))
			p.send(t.Context(), wide(base, by, "HUGE", 60_000))
			p.send(t.Context(), move(base, by, "SMALL", "u"))
			gate.Release()
			got := p.results()
			if err := got["HUGE"].err; err == nil || !strings.Contains(err.Error(), "8 MiB") {
				t.Errorf("HUGE: %v", err)
			}
			if got["FIRST"].err != nil || got["SMALL"].err != nil {
				t.Errorf("FIRST: %v, SMALL: %v", got["FIRST"].err, got["SMALL"].err)
			}
		})
	})
}

// A batch has one author: publications under another epoch have an object of
// their own, in their place in line.
func TestABatchHasOneAuthor(t *testing.T) {
	contract.Row(t, 127)
	parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
		other := r.writer(s, "other")
		base, p := s.View(), newPublisher(t, s)
		gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
		for i, who := range []manifest.Publisher{by, by, other, by, by} {
			p.send(t.Context(), move(base, who, fmt.Sprintf("OP%d", i), fmt.Sprintf("t%d", i)))
		}
		gate.Release()
		got := p.results()
		for i, want := range []manifest.Version{1, 2, 3, 4, 4} {
			op := fmt.Sprintf("OP%d", i)
			if r := got[op]; r.err != nil || r.pub.Version != base.Version+want {
				t.Errorf("%s is in %d: %v", op, r.pub.Version-base.Version, r.err)
			}
		}
		if who := got["OP2"].pub.Batch.By; who != other {
			t.Errorf("OP2 was published by %+v", who)
		}
	})
}

// The answer to a shared object is lost: everybody in it is told the truth.
func TestALostAnswerIsResolvedForTheWholeBatch(t *testing.T) {
	contract.Row(t, 125, 127)
	parked(t, func(t *testing.T, r *root, s *manifest.Store, b *fault.Bucket, by manifest.Publisher) {
		base, p := s.View(), newPublisher(t, s)
		gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
		for i := range 9 {
			p.send(t.Context(), move(base, by, fmt.Sprintf("OP%d", i), fmt.Sprintf("t%d", i)))
		}
		b.On(fault.PutIfAbsent, manifest.Prefix).Nth(1).LoseAnswer()
		gate.Release()
		for op, got := range p.results() {
			if got.err != nil || r.author(op) != got.pub.Version {
				t.Errorf("%s: told %d, is in %d: %v", op, got.pub.Version, r.author(op), got.err)
			}
		}
	})
}

// Somebody else is always faster: the budget ends, and nothing is published.
func TestABudgetUsedUpIsADeferral(t *testing.T) {
	contract.Row(t, 79)
	r := newRoot(t)
	rival := r.open(r.disk)
	rivalBy := r.writer(rival, "rival")
	b := fault.Wrap(r.disk)
	s := r.open(b)
	by := r.writer(s, "w")
	n := 0
	b.OnCall(func(c fault.Call) {
		if c.Verb == fault.PutIfAbsent && strings.HasPrefix(c.Key, manifest.Prefix) {
			n++
			_, err := rival.Publish(t.Context(), move(rival.View(), rivalBy, fmt.Sprintf("R%d", n), "r"))
			must(t, err)
		}
	})
	_, err := s.Publish(t.Context(), move(s.View(), by, "OP", "t"))
	if !errors.Is(err, manifest.ErrContention) || r.author("OP") != 0 {
		t.Fatalf("%v, in manifest %d", err, r.author("OP"))
	}
	if n != 65 { // the budget is 64
		t.Errorf("%d attempts", n)
	}
	b.OnCall(nil)
	if _, err := s.Publish(t.Context(), move(s.View(), by, "OP", "t")); err != nil {
		t.Fatalf("afterwards: %v", err)
	}
}
