// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

type answer struct {
	op  string
	got Appended
	err error
}

// crowd appends one row of each operation while the first is held at the bucket,
// lets act happen, and returns what each is told.
func crowd(t *testing.T, l *Log, b *fault.Bucket, ops []string, since map[string]Head, act func(cancel map[string]context.CancelFunc)) map[string]answer {
	t.Helper()
	gate := b.On(fault.PutIfAbsent, "audit/").ParkBefore()
	told, cancel := make(chan answer, len(ops)), map[string]context.CancelFunc{}
	for _, op := range ops {
		ctx, end := context.WithCancel(t.Context())
		cancel[op] = end
		go func() {
			a, err := l.AppendOnce(ctx, forward(op), since[op])
			told <- answer{op, a, err}
		}()
		synctest.Wait() // it stands in line, or at the gate
	}
	act(cancel)
	synctest.Wait()
	gate.Release()
	out := map[string]answer{}
	for range ops {
		a := <-told
		out[a.op] = a
	}
	for _, end := range cancel {
		end()
	}
	b.VerifyFired(t)
	return out
}

func names(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("op%d", i))
	}
	return out
}

func nothing(map[string]context.CancelFunc) {}

// Seventeen rows that are appended at the same time are two objects, and cost the
// requests of two.
func TestRowsOfOneProcessShareAnObject(t *testing.T) {
	contract.Row(t, 128)
	synctest.Test(t, func(t *testing.T) {
		disk := mem.New(mem.Options{})
		b := fault.Wrap(disk)
		l := process(t, b, "p", ring(t, "k1"))
		_, err := l.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := len(b.Calls())
		for op, a := range crowd(t, l, b, names(17), nil, nothing) {
			want := uint64(2)
			if op == "op0" {
				want = 1
			}
			if a.err != nil || a.got.Row.Operation != op || a.got.Row.Batch != want || a.got.Already || a.got.Head.Number < want {
				t.Errorf("%s: %+v, %v; want object %d", op, a.got, a.err, want)
			}
		}
		if calls := b.Calls()[before:]; len(calls) != 4 {
			t.Errorf("a put and its reading back, twice: %v", calls)
		}
		mustBeGood(t, disk)
	})
}

// One who leaves the line wrote nothing; one whose row travels with others does
// not know; one whose head is not on the chain is refused; none takes anybody along.
func TestARowTakesNobodyAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := mem.New(mem.Options{})
		b := fault.Wrap(disk)
		l := process(t, b, "p", ring(t, "k1"))
		since := map[string]Head{"op2": {Number: 99, Hash: "sha256:elsewhere"}}
		got := crowd(t, l, b, names(6), since, func(cancel map[string]context.CancelFunc) {
			second := b.On(fault.PutIfAbsent, "audit/").ParkBefore()
			cancel["op1"]() // in line
			synctest.Wait() // it has left before anybody takes it aboard
			cancel["op0"]() // alone at the gate: nothing was sent
			synctest.Wait()
			cancel["op3"]() // at the second gate, with others
			synctest.Wait()
			second.Release()
		})
		if err := got["op0"].err; errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("op0: %v", err)
		}
		if err := got["op1"].err; errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("op1: %v", err)
		}
		var broken *Break
		if err := got["op2"].err; !errors.As(err, &broken) || broken.Why != CutTail {
			t.Errorf("op2: %v", err)
		}
		if err := got["op3"].err; !errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("op3: %v", err)
		}
		for _, op := range []string{"op4", "op5"} {
			if a := got[op]; a.err != nil || a.got.Row.Operation != op {
				t.Errorf("%s: %+v", op, a)
			}
		}
		for op, already := range map[string]bool{"op0": false, "op1": false, "op3": true} {
			if a := mustAppend(t, l, forward(op), Head{}); a.Already != already {
				t.Errorf("%s was there before: %v", op, a.Already)
			}
		}
		mustBeGood(t, disk)
	})
}

// The bucket fails under all: each is told, at the cost of one request.
func TestAFailureIsToldToAllOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fault.Wrap(mem.New(mem.Options{}))
		l := process(t, b, "p", ring(t, "k1"))
		since := map[string]Head{}
		for _, op := range names(9)[1:] {
			since[op] = Head{Number: 9}
		}
		down := objstore.ErrAccessDenied
		before := 0
		got := crowd(t, l, b, names(9), since, func(map[string]context.CancelFunc) {
			before = b.Count(fault.Get)
			b.On(fault.Get, "audit/").From(2).Fail(down) // the first reads back what the gate held
		})
		for op, a := range got {
			if op != "op0" && !errors.Is(a.err, down) {
				t.Errorf("%s: %v", op, a.err)
			}
		}
		if n := b.Count(fault.Get) - before; n != 2 {
			t.Errorf("%d gets", n)
		}
	})
}
