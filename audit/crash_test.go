// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// The process dies at every call of an append, in every way. A second process
// appends the same: one row, and a good chain.
func TestCrashAtEveryCall(t *testing.T) {
	contract.Row(t, 99)
	before := draw(t, "a | b")
	probe := fault.Wrap(before.Clone())
	mustAppend(t, process(t, probe, "p", ring(t, "k1")), forward("c"), Head{})
	calls := probe.Calls()
	if len(calls) < 5 {
		t.Fatalf("an append makes only the calls %v", calls)
	}
	for _, call := range calls {
		for _, moment := range []fault.Moment{fault.Before, fault.Unacknowledged} {
			t.Run(fmt.Sprintf("%s, %s", call, moment), func(t *testing.T) {
				b := before.Clone()
				dying := fault.Wrap(b)
				dying.When("the call", func(c fault.Call) bool { return c.N == call.N }).Crash(moment)
				if _, err := process(t, dying, "p", ring(t, "k1")).AppendOnce(t.Context(), forward("c"), Head{}); !errors.Is(err, fault.ErrCrashed) {
					t.Errorf("the dead say %v", err)
				}
				dying.VerifyFired(t)
				there := len(keys(t, b)) == 3
				a := mustAppend(t, process(t, b, "q", ring(t, "k1")), forward("c"), Head{})
				if a.Already != there {
					t.Errorf("%+v, but there before: %v", a, there)
				}
				if got := picture(t, b); got != "a | b | c" {
					t.Errorf("chain is %q", got)
				}
				mustBeGood(t, b, a.Head)
			})
		}
	}
}

// The first process dies with its request on the way; it lands after the second
// process was done. There is no place for it any more.
func TestDeadRequestLandsAfterwards(t *testing.T) {
	b := draw(t, "a")
	dying := fault.Wrap(b)
	late := dying.On(fault.PutIfAbsent, "audit/").LandLater()
	dying.On(fault.Get, "").From(3).Crash(fault.Before)
	if _, err := process(t, dying, "p", ring(t, "k1")).AppendOnce(t.Context(), forward("c"), Head{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
	dying.VerifyFired(t)
	mustAppend(t, process(t, b, "q", ring(t, "k1")), forward("c"), Head{})
	if r, err := late.Land(t.Context()); err != nil || r.Outcome != objstore.Exists {
		t.Errorf("it landed: %v, %v", r.Outcome, err)
	}
	if got := picture(t, b); got != "a | c" {
		t.Errorf("chain is %q", got)
	}
	mustBeGood(t, b)
}

// A store that says Created and holds something else must not cost a sidecar.
func TestReadBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		lie  func(body []byte) []byte // nil: nothing is kept
	}{
		{"keeps other bytes", func(body []byte) []byte { body[len(body)/2] ^= 1; return body }},
		{"keeps half", func(body []byte) []byte { return body[:len(body)/2] }},
		{"keeps nothing", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := process(t, liar{mem.New(mem.Options{}), tt.lie}, "p", ring(t, "k1"))
			if a, err := l.AppendOnce(t.Context(), forward("a"), Head{}); !errors.Is(err, ErrUnknown) {
				t.Errorf("appended %+v, %v", a, err)
			}
		})
	}
}

type liar struct {
	objstore.Bucket
	lie func([]byte) []byte
}

func (l liar) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if l.lie == nil {
		return objstore.PutResult{Outcome: objstore.Created}, nil
	}
	return l.Bucket.PutIfAbsent(ctx, key, l.lie(append([]byte(nil), body...)), attempt)
}
