// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// One put goes wrong, at each number of a chain that is being written, with a
// rival's row in the way of every second one. The append succeeds all the same,
// and nothing is there twice.
func TestOnePutGoesWrong(t *testing.T) {
	contract.Row(t, 125)
	throttled := errors.New("503 slow down")
	for _, tt := range []struct {
		name string
		do   func(*fault.Rule)
	}{
		{"the answer is lost", func(r *fault.Rule) { r.LoseAnswer() }},
		{"the request is lost", func(r *fault.Rule) { r.LoseRequest() }},
		{"nothing landed: try again", func(r *fault.Rule) { r.Fail(throttled) }},
	} {
		for n := 1; n <= 6; n++ {
			t.Run(fmt.Sprintf("%s, put %d", tt.name, n), func(t *testing.T) {
				b := mem.New(mem.Options{})
				faulty := fault.Wrap(b)
				tt.do(faulty.On(fault.PutIfAbsent, "audit/").Nth(n))
				l, rival := process(t, faulty, "p", ring(t, "k1")), process(t, b, "rival", ring(t, "k1"))
				for i := range 6 {
					if i%2 == 1 {
						mustAppend(t, rival, forward(fmt.Sprint("r", i)), Head{})
					}
					op := fmt.Sprint("op", i)
					if a := mustAppend(t, l, forward(op), Head{}); a.Already || a.Row.Recoverer != "p" {
						t.Errorf("%s: %+v", op, a)
					}
				}
				faulty.VerifyFired(t)
				if got, want := picture(t, b), "op0 | r1 | op1 | op2 | r3 | op3 | op4 | r5 | op5"; got != want {
					t.Errorf("chain is %q, want %q", got, want)
				}
				mustBeGood(t, b)
			})
		}
	}
}

// Every put to the chain goes wrong for a while: first no answers, then refusals.
func TestManyPutsGoWrong(t *testing.T) {
	b := mem.New(mem.Options{})
	faulty := fault.Wrap(b)
	for _, n := range []int{1, 2, 5, 8} {
		faulty.On(fault.PutIfAbsent, "audit/").Nth(n).LoseRequest()
	}
	for _, n := range []int{3, 4, 6, 9} {
		faulty.On(fault.PutIfAbsent, "audit/").Nth(n).Fail(errors.New("409 another request is under way"))
	}
	l := process(t, faulty, "p", ring(t, "k1"))
	mustAppend(t, l, forward("a"), Head{})
	mustAppend(t, l, forward("b"), Head{})
	faulty.On(fault.PutIfAbsent, "audit/").LoseAnswer()
	mustAppend(t, l, forward("c"), Head{})
	faulty.VerifyFired(t)
	if got := picture(t, b); got != "a | b | c" {
		t.Errorf("chain is %q", got)
	}
	mustBeGood(t, b)
}

// A request whose answer was lost lands late: while the number is still free, or
// after somebody else took it. The row is there once, and the log knows whose.
func TestPutLandsLate(t *testing.T) {
	contract.Row(t, 125)
	for _, tt := range []struct {
		name  string
		call  fault.Verb // before this call of the log ...
		nth   int        // ... the request lands
		rival bool       // and a rival appends before that
		want  string
	}{
		{"before it is looked for", fault.Get, 2, false, "a"},
		{"between the look and the second put", fault.PutIfAbsent, 2, false, "a"},
		{"after a rival took the number", fault.Get, 2, true, "r | a"},
		{"after a rival took the number that looked free", fault.PutIfAbsent, 2, true, "r | a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := mem.New(mem.Options{})
			faulty := fault.Wrap(b)
			late := faulty.On(fault.PutIfAbsent, "audit/").Nth(1).LandLater()
			calls := 0
			faulty.OnCall(func(c fault.Call) {
				if c.Verb != tt.call {
					return
				}
				if calls++; calls != tt.nth {
					return
				}
				if tt.rival {
					mustAppend(t, process(t, b, "rival", ring(t, "k1")), forward("r"), Head{})
				}
				if _, err := late.Land(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if a := mustAppend(t, process(t, faulty, "p", ring(t, "k1")), forward("a"), Head{}); a.Already || a.Row.Attempt == "" {
				t.Errorf("got %+v", a)
			}
			faulty.VerifyFired(t)
			if got := picture(t, b); got != tt.want || calls < tt.nth {
				t.Errorf("chain is %q after %d calls, want %q", got, calls, tt.want)
			}
			mustBeGood(t, b)
		})
	}
}

// Giving up says whether anything may have been written, and appending again is
// right either way: the same row, once.
func TestGivingUp(t *testing.T) {
	boom := errors.New("boom")
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, tt := range []struct {
		name    string
		fault   func(*fault.Bucket)
		ctx     context.Context
		want    error
		unknown bool
	}{
		{name: "refused again and again", want: ErrBusy,
			fault: func(b *fault.Bucket) { b.On(fault.PutIfAbsent, "").Fail(boom) }},
		{name: "no answer again and again", want: ErrUnknown, unknown: true,
			fault: func(b *fault.Bucket) { b.On(fault.PutIfAbsent, "").LoseRequest() }},
		{name: "no answer once, then refused", want: ErrUnknown, unknown: true,
			fault: func(b *fault.Bucket) {
				b.On(fault.PutIfAbsent, "").Nth(1).LoseRequest()
				b.On(fault.PutIfAbsent, "").Fail(boom)
			}},
		{name: "created, and cannot be read back", want: ErrUnknown, unknown: true,
			fault: func(b *fault.Bucket) { b.On(fault.Get, "").From(2).Fail(boom) }},
		{name: "the answer lost, and cannot be read", want: ErrUnknown, unknown: true,
			fault: func(b *fault.Bucket) {
				b.On(fault.PutIfAbsent, "").LoseAnswer()
				b.On(fault.Get, "").From(2).Fail(boom)
			}},
		{name: "the search fails", want: boom,
			fault: func(b *fault.Bucket) { b.On(fault.Get, "").Fail(boom) }},
		{name: "the deadline passed before", want: context.DeadlineExceeded, ctx: expired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := mem.New(mem.Options{})
			faulty := fault.Wrap(b)
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx
			}
			if tt.fault != nil {
				tt.fault(faulty)
			}
			l := process(t, faulty, "p", ring(t, "k1"))
			_, err := l.AppendOnce(ctx, forward("a"), Head{})
			if !errors.Is(err, tt.want) || errors.Is(err, ErrUnknown) != tt.unknown {
				t.Errorf("got %v, want %v, unknown %v", err, tt.want, tt.unknown)
			}
			there := len(keys(t, b)) == 1
			if there && !tt.unknown {
				t.Error("the error says that nothing was written")
			}
			a := mustAppend(t, process(t, b, "q", ring(t, "k1")), forward("a"), Head{})
			if a.Already != there || picture(t, b) != "a" {
				t.Errorf("then %+v, chain %q", a, picture(t, b))
			}
		})
	}
}

// The deadline passes while the answer is outstanding: the caller learns both
// that it passed and that the row may be there.
func TestDeadlineWhileUnknown(t *testing.T) {
	b := mem.New(mem.Options{})
	faulty := fault.Wrap(b)
	gate := faulty.On(fault.PutIfAbsent, "").ParkAfter()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := process(t, faulty, "p", ring(t, "k1")).AppendOnce(ctx, forward("a"), Head{})
		done <- err
	}()
	<-gate.Arrived()
	cancel()
	if err := <-done; !errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := picture(t, b); got != "a" {
		t.Errorf("chain is %q", got)
	}
}

// A log in use does not hold up a caller longer than that caller's context.
func TestWaitingForTheLogEnds(t *testing.T) {
	b := fault.Wrap(mem.New(mem.Options{}))
	gate := b.On(fault.PutIfAbsent, "").ParkBefore()
	l := process(t, b, "p", ring(t, "k1"))
	done := make(chan error)
	go func() {
		_, err := l.AppendOnce(t.Context(), forward("a"), Head{})
		done <- err
	}()
	<-gate.Arrived()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.AppendOnce(ctx, forward("b"), Head{}); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
	gate.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Retries pause longer and longer, and not for ever.
func TestPauses(t *testing.T) {
	b := fault.Wrap(mem.New(mem.Options{}))
	b.On(fault.PutIfAbsent, "").Fail(errors.New("503"))
	var total time.Duration
	var pauses []time.Duration
	l, err := Open(b, "main", ring(t, "k1"), Options{Wait: func(_ context.Context, d time.Duration) error {
		total += d
		pauses = append(pauses, d)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendOnce(t.Context(), forward("a"), Head{}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	if len(pauses) != tries-1 || b.Count(fault.PutIfAbsent) != tries || total < time.Second || total > 10*time.Second {
		t.Errorf("%d puts, pauses %v", b.Count(fault.PutIfAbsent), pauses)
	}
}

// What Options leave out: a clock, attempts that differ, pauses that take time
// and end with the context.
func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.New(mem.Options{})
		faulty := fault.Wrap(b)
		for n := 1; n <= 2; n++ {
			faulty.On(fault.PutIfAbsent, "").Nth(n).Fail(errors.New("503"))
		}
		began := time.Now()
		open := func() *Log {
			l, err := Open(faulty, "main", ring(t, "k1"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		one := mustAppend(t, open(), forward("a"), Head{}).Row
		two := mustAppend(t, open(), forward("b"), Head{}).Row
		if waited := time.Since(began); waited != 3*firstPause {
			t.Errorf("waited %v", waited)
		}
		if one.Attempt == two.Attempt || !one.Time.Equal(began) {
			t.Errorf("attempts %q and %q, time %v", one.Attempt, two.Attempt, one.Time)
		}
		ctx, cancel := context.WithTimeout(t.Context(), firstPause/2)
		defer cancel()
		faulty.On(fault.PutIfAbsent, "").Fail(errors.New("503"))
		if _, err := open().AppendOnce(ctx, forward("c"), Head{}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
	})
}
