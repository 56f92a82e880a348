// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
)

func TestAppendOnce(t *testing.T) {
	for _, tt := range []struct {
		name    string
		chain   string // as it stands
		row     Row
		already bool
		want    string // as it stands afterwards
		err     error
	}{
		{name: "the first row of all", row: forward("a"), want: "a"},
		{name: "the next number", chain: "a | b c", row: forward("d"), want: "a | b c | d"},
		{name: "there already, last", chain: "a | b", row: forward("b"), already: true, want: "a | b"},
		{name: "there already, inside an object", chain: "a | b c d | e", row: forward("c"), already: true, want: "a | b c d | e"},
		{name: "the other end is recorded", chain: "a | b", row: back("a"), want: "a | b", err: &ConflictError{}},
		{name: "another store's row", chain: "a", row: func() Row { r := forward("b"); r.StoreUID = "u-2"; return r }(), want: "a", err: &Break{}},
		{name: "no manifest entry decided it", row: func() Row { r := forward("a"); r.ManifestVersion = 0; return r }(), err: ErrInvalidRow},
		{name: "no such kind", row: func() Row { r := forward("a"); r.Kind = "SegmentPurged"; return r }(), err: ErrInvalidRow},
		{name: "nobody published it", row: func() Row { r := forward("a"); r.PublishedBy = ""; return r }(), err: ErrInvalidRow},
		{name: "no operation", row: forward(""), err: ErrInvalidRow},
		{name: "bytes that JSON would replace", row: func() Row { r := forward("a"); r.Writer = "orders-\xff"; return r }(), err: ErrInvalidRow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := draw(t, tt.chain)
			for _, warm := range []bool{false, true} { // the second time from memory
				l := process(t, b, "q", ring(t, "k1"))
				if warm {
					if _, _, err := l.Find(t.Context(), "", Head{}); err != nil {
						t.Fatal(err)
					}
				}
				a, err := l.AppendOnce(t.Context(), tt.row, Head{})
				switch want := tt.err.(type) { //nolint:errorlint // the table's own values, never wrapped
				case *ConflictError:
					var conflict *ConflictError
					if !errors.As(err, &conflict) || conflict.Recorded.Operation != tt.row.Operation || conflict.Wanted != tt.row.Kind {
						t.Errorf("got %v", err)
					}
				case *Break:
					var broken *Break
					if !errors.As(err, &broken) || broken.Why != Foreign {
						t.Errorf("got %v", err)
					}
				case nil:
					if err != nil || a.Already != (tt.already || warm) || a.Row.Operation != tt.row.Operation {
						t.Errorf("got %+v, %v", a, err)
					}
				default:
					if !errors.Is(err, want) {
						t.Errorf("got %v", err)
					}
				}
				if got := picture(t, b); got != tt.want {
					t.Errorf("chain is %q, want %q", got, tt.want)
				}
				mustBeGood(t, b, a.Head)
			}
		})
	}
}

// What the caller may hand in is overwritten where it is the log's, and free
// text never keeps an outcome from being recorded.
func TestAppendFillsTheRow(t *testing.T) {
	b := mem.New(mem.Options{})
	row := forward("a")
	row.ID, row.Previous, row.Hash, row.Time = 77, "x", "x", start.AddDate(0, 0, 1)
	row.Reason = strings.Repeat("é", MaxReason) + "\xff\x00<&>"
	got := mustAppend(t, process(t, b, "p", ring(t, "k2")), row, Head{}).Row
	want := row
	want.Format, want.Chain, want.Batch, want.ID = 1, "main", 1, 1
	want.Time, want.Recoverer, want.Attempt = got.Time, "p", "p-1"
	want.Reason = strings.Repeat("é", MaxReason/2)
	want.Previous, want.KeyID = "", "k2"
	want = reseal(want, keyTwo)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	mustBeGood(t, b)
}

// Many operations share objects; a row that is refused does not keep its
// neighbours out, and a row given twice is written once.
func TestAppendAll(t *testing.T) {
	b := draw(t, "a | b")
	l := process(t, b, "q", ring(t, "k1"))
	invalid := forward("x")
	invalid.ManifestVersion = 0
	got, err := l.AppendAll(t.Context(), []Row{forward("c"), forward("b"), back("a"), invalid, forward("d"), forward("c")}, Head{})
	if err != nil {
		t.Fatal(err)
	}
	var conflict *ConflictError
	if got[0].Already || !got[1].Already || !errors.As(got[2].Err, &conflict) || !errors.Is(got[3].Err, ErrInvalidRow) ||
		got[4].Already || !got[5].Already || got[5].Row.ID != got[0].Row.ID {
		t.Errorf("got %+v", got)
	}
	if p := picture(t, b); p != "a | b | c d" {
		t.Errorf("chain is %q", p)
	}
	mustBeGood(t, b, got[4].Head)
}

// More than fits in one object goes into as many as it takes; what fits in none
// is refused alone.
func TestAppendAllSplits(t *testing.T) {
	b := mem.New(mem.Options{})
	l := process(t, b, "q", ring(t, "k1"))
	big := func(op string, bytes int) Row {
		r := forward(op)
		one := TableChange{Table: strings.Repeat("t", MaxField), From: strings.Repeat("v", MaxField), To: strings.Repeat("v", MaxField)}
		r.Tables = slices.Repeat([]TableChange{one}, bytes/(3*MaxField))
		return r
	}
	got, err := l.AppendAll(t.Context(), []Row{
		big("a", MaxBatch/3), big("b", MaxBatch/3), big("c", MaxBatch/2), big("d", objstore.MaxObject+1), big("e", 2*MaxBatch), forward("f"),
	}, Head{})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range got {
		if errors.Is(a.Err, ErrInvalidRow) != (i == 3) || a.Err != nil != (i == 3) {
			t.Errorf("row %d: %v", i, a.Err)
		}
	}
	if p := picture(t, b); p != "a b | c | e | f" {
		t.Errorf("chain is %q", p)
	}
	mustBeGood(t, b, got[0].Head)
}

// The search begins behind the head that the caller knows: requests do not grow
// with history, and what lies before is none of its business.
func TestCostDoesNotGrowWithHistory(t *testing.T) {
	for _, history := range []int{1, 300} {
		b := mem.New(mem.Options{})
		old := process(t, b, "p", ring(t, "k1"))
		var head Head
		for i := range history {
			head = mustAppend(t, old, forward(fmt.Sprint("op", i)), head).Head
		}
		counted := fault.Wrap(b)
		l := process(t, counted, "q", ring(t, "k1"))
		since := head
		for _, step := range []struct {
			name string
			want string
		}{
			{"cold", "get since, get next, put, read back"},
			{"warm", "put, read back"},
			{"warm", "put, read back"},
		} {
			before := len(counted.Calls())
			since = mustAppend(t, l, forward(fmt.Sprint("new", before)), since).Head
			if got, want := len(counted.Calls())-before, strings.Count(step.want, ",")+1; got != want {
				t.Errorf("history %d, %s: %d requests %v, want %s", history, step.name, got, counted.Calls()[before:], step.want)
			}
		}
		before := len(counted.Calls())
		if got, err := l.Head(t.Context()); err != nil || got != since {
			t.Errorf("head %v, %v, want %v", got, err, since)
		}
		if got := len(counted.Calls()) - before; got != 1 {
			t.Errorf("history %d: a warm head took %d requests", history, got)
		}
	}
}

// What a log read long ago is read again, not remembered for ever.
func TestMemoryIsBounded(t *testing.T) {
	b := mem.New(mem.Options{})
	l := process(t, b, "p", ring(t, "k1"))
	var heads []Head
	for i := range remembered + 50 {
		heads = append(heads, mustAppend(t, l, forward(fmt.Sprint("op", i)), Head{Number: uint64(i), Hash: hashAt(heads, i)}).Head)
	}
	if n := len(l.seen.holds); n > remembered || len(l.seen.objects) > remembered {
		t.Errorf("%d operations of %d objects remembered", n, len(l.seen.objects))
	}
	for _, i := range []int{0, 20, remembered, remembered + 49} {
		if a := mustAppend(t, l, forward(fmt.Sprint("op", i)), Head{Number: uint64(i), Hash: hashAt(heads, i)}); !a.Already {
			t.Errorf("op%d was written twice", i)
		}
	}
}

func hashAt(heads []Head, n int) string {
	if n == 0 {
		return ""
	}
	return heads[n-1].Hash
}

// Nothing is appended to what does not hold: not behind a damaged row, not
// behind a head that is gone, not on evidence that nobody signed.
func TestAppendRefusesABrokenChain(t *testing.T) {
	genuine := draw(t, "a | b | c")
	head3, err := process(t, genuine, "p", ring(t, "k1")).Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		damage func(*mem.Bucket)
		since  Head
		want   Why
	}{
		{"a byte flipped in the newest object", func(b *mem.Bucket) { body := get(t, b, 3); body[200] ^= 1; put(t, b, 3, body) }, Head{}, Changed},
		{"the newest object torn", func(b *mem.Bucket) { body := get(t, b, 3); put(t, b, 3, body[:len(body)/2]) }, Head{}, Damaged},
		{"a row of the operation that nobody signed", func(b *mem.Bucket) {
			edit(t, b, 3, func(r []Row) []Row { r[0].Operation = "d"; r[0] = reseal(r[0], nil); return r })
		}, Head{}, Forged},
		{"a row of the operation under an unknown key", func(b *mem.Bucket) {
			edit(t, b, 3, func(r []Row) []Row { r[0].Operation, r[0].KeyID = "d", "k9"; r[0] = reseal(r[0], nil); return r })
		}, Head{}, Unverifiable},
		{"the newest object written by a newer salvor", func(b *mem.Bucket) {
			put(t, b, 3, []byte(strings.Replace(string(get(t, b, 3)), "audit 1", "audit 2", 1)))
		}, Head{}, Unverifiable},
		{"a row of a newer format", func(b *mem.Bucket) {
			edit(t, b, 3, func(r []Row) []Row { r[0].Format = 2; return r })
		}, Head{}, Unverifiable},
		{"the tail cut below a known head", func(b *mem.Bucket) { drop(t, b, 3) }, head3, CutTail},
		{"the known head replaced", func(b *mem.Bucket) { rewrite(t, b, 3, keyOne, func(r *Row) { r.Reason = "forged" }) }, head3, Rewritten},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := genuine.Clone()
			tt.damage(b)
			before := len(keys(t, b))
			_, err := process(t, b, "q", ring(t, "k1")).AppendOnce(t.Context(), forward("d"), tt.since)
			var broken *Break
			if !errors.As(err, &broken) || broken.Why != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if now := len(keys(t, b)); now != before {
				t.Errorf("%d objects, %d before", now, before)
			}
		})
	}
	t.Run("another row under an unknown key is passed", func(t *testing.T) {
		b := genuine.Clone()
		edit(t, b, 3, func(r []Row) []Row { r[0].KeyID = "k9"; r[0] = reseal(r[0], nil); return r })
		mustAppend(t, process(t, b, "q", ring(t, "k1")), forward("d"), Head{})
	})
	t.Run("a row that a memory knows is gone", func(t *testing.T) {
		b := genuine.Clone()
		l := process(t, b, "q", ring(t, "k1"))
		mustAppend(t, l, forward("b"), Head{})
		drop(t, b, 2)
		var broken *Break
		if _, err := l.AppendOnce(t.Context(), forward("b"), Head{}); !errors.As(err, &broken) || broken.Why != Missing {
			t.Errorf("got %v: the sidecar would be deleted without a row", err)
		}
	})
}

func keys(t testing.TB, b objstore.Bucket) (out []string) {
	t.Helper()
	for e, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Key)
	}
	return out
}
