// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"fmt"
	"math/bits"
	"testing"

	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
)

// A log that knows nothing finds the end by halving, one that knows a head goes
// on from there, and one that has read asks for the next number only.
func TestHead(t *testing.T) {
	b := mem.New(mem.Options{})
	writer := process(t, b, "p", ring(t, "k1"))
	known := Head{}
	for n := range 70 {
		counted := fault.Wrap(b)
		l := process(t, counted, "q", ring(t, "k1"))
		for _, warm := range []bool{false, true} {
			before := len(counted.Calls())
			h, err := l.Head(t.Context())
			if err != nil || h != writer.head() {
				t.Fatalf("after %d: head %v, %v, want %v", n, h, err, writer.head())
			}
			limit := 2*bits.Len(uint(n)) + 3
			if warm {
				limit = 1
			}
			if calls := len(counted.Calls()) - before; calls > limit {
				t.Errorf("after %d, warm %v: %d requests, want at most %d", n, warm, calls, limit)
			}
		}
		counted = fault.Wrap(b)
		l, err := Open(counted, "main", ring(t, "k1"), Options{Start: known})
		if err != nil {
			t.Fatal(err)
		}
		if h, err := l.Head(t.Context()); err != nil || h != writer.head() {
			t.Errorf("from %v: head %v, %v", known, h, err)
		}
		if n > 64 && counted.Count(fault.Any) > 2+n-60 {
			t.Errorf("from %v to %v: %d requests", known, writer.head(), counted.Count(fault.Any))
		}
		mustAppend(t, writer, forward(fmt.Sprint("op", n)), writer.head())
		if n == 60 {
			known = writer.head()
		}
	}
}

// head is where the log last was.
func (l *Log) head() Head {
	if l.seen == nil {
		return Head{}
	}
	return l.seen.head
}

// Somebody puts objects where the search for the end looks: it ends all the same.
func TestHeadAmongStrangers(t *testing.T) {
	b := draw(t, "a")
	for i := 1; i < 64; i++ {
		put(t, b, 1<<i, []byte("not a row"))
	}
	var broken *Break
	if h, err := process(t, b, "q", ring(t, "k1")).Head(t.Context()); !errors.As(err, &broken) {
		t.Errorf("head %v, %v", h, err)
	}
}

// An end before the head that is known is a cut tail, not a new end.
func TestHeadBeyondTheEnd(t *testing.T) {
	b := draw(t, "a | b | c")
	head := mustBeGood(t, b).Head
	drop(t, b, 3)
	l, err := Open(b, "main", ring(t, "k1"), Options{Start: head})
	if err != nil {
		t.Fatal(err)
	}
	var broken *Break
	if h, err := l.Head(t.Context()); !errors.As(err, &broken) || broken.Why != CutTail {
		t.Errorf("head %v, %v", h, err)
	}
	// The same from a log that has read the chain after the cut.
	warm := process(t, b, "q", ring(t, "k1"))
	if _, err := warm.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, err := warm.AppendOnce(t.Context(), forward("d"), head); !errors.As(err, &broken) || broken.Why != CutTail {
		t.Errorf("appended %+v, %v", a, err)
	}
	// And a head inside of what it has read that says something else.
	if a, err := warm.AppendOnce(t.Context(), forward("d"), Head{2, head.Hash}); !errors.As(err, &broken) || broken.Why != Rewritten {
		t.Errorf("appended %+v, %v", a, err)
	}
}

func TestFind(t *testing.T) {
	b := draw(t, "a | b c | d")
	var heads []Head
	for n := uint64(1); n <= 3; n++ {
		rows, _, _ := parseObject(get(t, b, n))
		heads = append(heads, Head{n, rows[len(rows)-1].Hash})
	}
	for _, tt := range []struct {
		operation string
		since     Head
		found     bool
	}{
		{"c", Head{}, true},
		{"c", heads[0], true},
		{"c", heads[1], false}, // before what was asked for
		{"d", heads[1], true},
		{"x", Head{}, false},
	} {
		r, found, err := process(t, b, "q", ring(t, "k1")).Find(t.Context(), tt.operation, tt.since)
		if err != nil || found != tt.found || found && r.Operation != tt.operation {
			t.Errorf("%s since %d: %+v, %v, %v", tt.operation, tt.since.Number, r, found, err)
		}
	}
	// A log that has read sees what others appended since.
	l := process(t, b, "q", ring(t, "k1"))
	if _, found, err := l.Find(t.Context(), "e", Head{}); err != nil || found {
		t.Errorf("%v, %v", found, err)
	}
	mustAppend(t, process(t, b, "rival", ring(t, "k1")), back("e"), Head{})
	if r, found, err := l.Find(t.Context(), "e", Head{}); err != nil || !found || r.Kind != RolledBack {
		t.Errorf("%+v, %v, %v", r, found, err)
	}
}

// ls shows what can be read, and says what cannot.
func TestRows(t *testing.T) {
	b := draw(t, "a | b c | d | e f")
	list := func(from uint64) (got string, err error) {
		for r, rerr := range process(t, b, "reader", nil).Rows(t.Context(), from) {
			if rerr != nil {
				err = errors.Join(err, rerr)
				got += "! "
				continue
			}
			got += r.Operation + " "
		}
		return got, err
	}
	for from, want := range []string{"a b c d e f ", "a b c d e f ", "b c d e f ", "d e f ", "e f ", ""} {
		if got, err := list(uint64(from)); got != want || err != nil {
			t.Errorf("from %d: %q, %v", from, got, err)
		}
	}
	body := get(t, b, 2)
	put(t, b, 2, body[:len(body)-10])
	drop(t, b, 3)
	got, err := list(0)
	var broken *Break
	if got != "a b ! e f " || !errors.As(err, &broken) || broken.Number != 2 {
		t.Errorf("%q, %v", got, err)
	}
	for range process(t, b, "reader", nil).Rows(t.Context(), 0) {
		break // an early end is fine
	}
	boom := errors.New("boom")
	faulty := fault.Wrap(b)
	faulty.On(fault.List, "").Fail(boom)
	for r, err := range process(t, faulty, "reader", nil).Rows(t.Context(), 0) {
		if !errors.Is(err, boom) {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

func TestOpenRefusesAName(t *testing.T) {
	for _, name := range []string{"", "a/b", "..", "a b", "é"} {
		if _, err := Open(mem.New(mem.Options{}), name, nil, Options{}); err == nil {
			t.Errorf("chain %q was opened", name)
		}
	}
}
