// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// The chain that is damaged below:
//
//	object   1   2     3   4       5   6
//	row      1   2 3   4   5 6 7   8   9
const drawn = "a | b c | d | e f g | h | i"

// One damage, one break, named by the row it hit.
func TestVerify(t *testing.T) {
	genuine := draw(t, drawn)
	headOf := func(n uint64) Head {
		rows, _, _ := parseObject(get(t, genuine, n))
		return Head{n, rows[len(rows)-1].Hash}
	}
	body := func(n uint64) []byte { return get(t, genuine, n) }
	reason := func(r *Row) { r.Reason = "nothing to see here" }
	respell := func(old, new string) func([]byte) []byte {
		return func(raw []byte) []byte {
			_, at, err := envelope.ParseHeader(raw)
			if err != nil || !bytes.Contains(raw[at:], []byte(old)) {
				t.Fatal(err, old)
			}
			b := bytes.Replace(raw[at:], []byte(old), []byte(new), 1)
			return append([]byte("salvor audit 1 "+envelope.Digest(b)+"\n"), b...)
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(b *mem.Bucket)
		expect []Head
		want   []string // object: row Why
	}{
		{name: "untouched"},
		{name: "untouched, and anchored", expect: []Head{{}, headOf(2), headOf(6)}},

		{name: "an object dropped", damage: func(b *mem.Bucket) { drop(t, b, 3) }, want: []string{"3: 4 Missing"}},
		{name: "two neighbours dropped", damage: func(b *mem.Bucket) { drop(t, b, 2); drop(t, b, 3) }, want: []string{"2-3: 2-4 Missing"}},
		{name: "the beginning dropped", damage: func(b *mem.Bucket) { drop(t, b, 1); drop(t, b, 2) }, want: []string{"1-2: 1-3 Missing"}},
		{name: "a row dropped from an object", damage: func(b *mem.Bucket) {
			edit(t, b, 4, func(r []Row) []Row { return append(r[:1], r[2]) })
		}, want: []string{"4: 6 Missing"}},
		{name: "an object emptied", damage: func(b *mem.Bucket) {
			edit(t, b, 3, func(r []Row) []Row { return nil })
		}, want: []string{"3: 4 Damaged"}},

		{name: "two objects swapped", damage: func(b *mem.Bucket) { put(t, b, 2, body(4)); put(t, b, 4, body(2)) },
			want: []string{"2: 2-4 Misplaced", "4: 5-6 Misplaced"}},
		{name: "two rows swapped", damage: func(b *mem.Bucket) {
			edit(t, b, 4, func(r []Row) []Row { r[0], r[1] = r[1], r[0]; return r })
		}, want: []string{"4: 5 Missing", "4: 7 Misplaced"}},
		{name: "an object replayed at the end", damage: func(b *mem.Bucket) { put(t, b, 7, body(3)) }, want: []string{"7: 10 Misplaced"}},
		{name: "an object replayed over another", damage: func(b *mem.Bucket) { put(t, b, 3, body(2)) }, want: []string{"3: 4-5 Misplaced"}},
		{name: "a row repeated", damage: func(b *mem.Bucket) {
			edit(t, b, 4, func(r []Row) []Row { return []Row{r[0], r[0], r[1], r[2]} })
		}, want: []string{"4: 6 Misplaced"}},
		{name: "a row copied in from elsewhere", damage: func(b *mem.Bucket) {
			first, _, _ := parseObject(body(1))
			edit(t, b, 4, func(r []Row) []Row { return []Row{r[0], first[0].Row, r[1], r[2]} })
		}, want: []string{"4: 6 Misplaced"}},
		{name: "another chain of the same store", damage: func(b *mem.Bucket) {
			edit(t, b, 3, func(r []Row) []Row { r[0].Chain = "other"; r[0] = reseal(r[0], keyOne); return r })
		}, want: []string{"3: 4 Misplaced"}},

		{name: "a field edited", damage: func(b *mem.Bucket) {
			edit(t, b, 4, func(r []Row) []Row { reason(&r[1]); return r })
		}, want: []string{"4: 6 Changed"}},
		{name: "a hash edited", damage: func(b *mem.Bucket) {
			edit(t, b, 4, func(r []Row) []Row { r[1].Hash = r[0].Hash; return r })
		}, want: []string{"4: 6 Changed"}},
		{name: "a field edited, the hash made to fit", damage: func(b *mem.Bucket) {
			edit(t, b, 4, func(r []Row) []Row { reason(&r[1]); r[1] = reseal(r[1], nil); return r })
		}, want: []string{"4: 6 Forged"}},
		{name: "a field edited, all hashes made to fit", damage: func(b *mem.Bucket) { rewrite(t, b, 6, nil, reason) }, want: []string{"4-6: 6-9 Forged"}},
		{name: "a MAC taken from another row", damage: func(b *mem.Bucket) {
			edit(t, b, 4, func(r []Row) []Row { r[1].MAC = r[0].MAC; return r })
		}, want: []string{"4: 6 Forged"}},
		{name: "a branch with the key", damage: func(b *mem.Bucket) {
			edit(t, b, 3, func(r []Row) []Row { reason(&r[0]); r[0] = reseal(r[0], keyOne); return r })
		}, want: []string{"4: 5 Forked"}},
		{name: "a first row that follows something", damage: func(b *mem.Bucket) {
			edit(t, b, 1, func(r []Row) []Row { r[0].Previous = r[0].Hash; r[0] = reseal(r[0], keyOne); return r })
		}, want: []string{"1-2: 1-2 Forked"}},
		{name: "a key that nobody knows", damage: func(b *mem.Bucket) {
			rewrite(t, b, 6, nil, func(r *Row) { r.KeyID = "k9" })
		}, want: []string{"4: 6 Unverifiable", "4-6: 7-9 Forged"}},
		{name: "another store's row", damage: func(b *mem.Bucket) {
			edit(t, b, 3, func(r []Row) []Row { r[0].StoreUID = "u-2"; r[0] = reseal(r[0], keyOne); return r })
		}, want: []string{"3: 4 Foreign"}},

		{name: "a space that JSON ignores", damage: func(b *mem.Bucket) { put(t, b, 3, respell(`"reason":`, `"reason": `)(body(3))) }, want: []string{"3: 4 Damaged"}},
		{name: "a field that nobody signed", damage: func(b *mem.Bucket) { put(t, b, 3, respell(`{"format"`, `{"x":1,"format"`)(body(3))) }, want: []string{"3: 4 Damaged"}},
		{name: "a field given twice", damage: func(b *mem.Bucket) {
			put(t, b, 3, respell(`"reason":"`, `"reason":"not this","reason":"`)(body(3)))
		}, want: []string{"3: 4 Damaged"}},
		{name: "a field beside the rows", damage: func(b *mem.Bucket) { put(t, b, 3, respell(`]}`, `],"x":1}`)(body(3))) }, want: []string{"3: 4 Damaged"}},
		{name: "a header spelt otherwise", damage: func(b *mem.Bucket) {
			put(t, b, 3, []byte(strings.Replace(string(body(3)), "audit 1", "audit 01", 1)))
		}, want: []string{"3: 4 Damaged"}},
		{name: "an object torn", damage: func(b *mem.Bucket) { put(t, b, 4, body(4)[:len(body(4))/2]) }, want: []string{"4: 6 Damaged"}},
		{name: "an object without a byte", damage: func(b *mem.Bucket) { put(t, b, 4, nil) }, want: []string{"4: 5 Damaged"}},
		{name: "an object of another kind", damage: func(b *mem.Bucket) {
			put(t, b, 3, []byte(strings.Replace(string(body(3)), "audit", "manifest", 1)))
		}, want: []string{"3: 4 Damaged"}},
		{name: "an object of a newer format", damage: func(b *mem.Bucket) {
			put(t, b, 3, []byte(strings.Replace(string(body(3)), "audit 1", "audit 2", 1)))
		}, want: []string{"3: 4 Unverifiable"}},
		{name: "a row of a newer format", damage: func(b *mem.Bucket) {
			edit(t, b, 4, func(r []Row) []Row { r[1].Format = 2; return r })
		}, want: []string{"4: 6 Unverifiable"}},

		{name: "the tail cut", damage: func(b *mem.Bucket) { drop(t, b, 5); drop(t, b, 6) }, expect: []Head{headOf(3), headOf(6)}, want: []string{"5-6: 8 CutTail"}},
		{name: "all cut", damage: func(b *mem.Bucket) {
			for n := range uint64(6) {
				drop(t, b, n+1)
			}
		}, expect: []Head{headOf(2)}, want: []string{"1-2: 1 CutTail"}},
		{name: "the last row cut from the last object", damage: func(b *mem.Bucket) {
			drop(t, b, 5)
			drop(t, b, 6)
			edit(t, b, 4, func(r []Row) []Row { return r[:2] })
		}, expect: []Head{headOf(4)}, want: []string{"4: 6 Rewritten"}},
		{name: "the tail cut and grown again, with the key", damage: func(b *mem.Bucket) { rewrite(t, b, 7, keyOne, reason) },
			expect: []Head{headOf(2), headOf(4), headOf(5)}, want: []string{"4-5: 7-8 Rewritten"}},

		// What cannot be seen without an anchor.
		{name: "the tail cut, nobody remembers it", damage: func(b *mem.Bucket) { drop(t, b, 5); drop(t, b, 6) }, expect: []Head{headOf(4)}},
		{name: "all rewritten with the key, nobody remembers it", damage: func(b *mem.Bucket) { rewrite(t, b, 1, keyOne, reason) }},

		{name: "an object far away", damage: func(b *mem.Bucket) { put(t, b, 1<<63, body(6)) },
			want: []string{"7-9223372036854775807: 10 Missing", "9223372036854775808: 0 Misplaced"}},

		{name: "beside the chain", damage: func(b *mem.Bucket) {
			for _, key := range []string{"audit/main/segments/1", "audit/main/checkpoints/00000000000000000001", "audit/main/7", "audit/main/00000000000000000000", "audit/mainly/00000000000000000003"} {
				if _, err := b.PutIfAbsent(t.Context(), key, []byte("x"), ""); err != nil {
					t.Fatal(err)
				}
			}
		}, expect: []Head{headOf(6)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := genuine.Clone()
			if tt.damage != nil {
				tt.damage(b)
			}
			rep := verify(t, b, ring(t, "k1"), tt.expect...)
			if got := told(rep.Breaks); !slices.Equal(got, tt.want) {
				t.Errorf("told %q, want %q: %v", got, tt.want, rep.Breaks)
			}
			if good := rep.Verdict() == Good; good != (len(tt.want) == 0) {
				t.Errorf("verdict %s", rep.Verdict())
			}
		})
	}
}

// Damages far apart are all told in one walk, first to last.
func TestAllBreaksInOneWalk(t *testing.T) {
	contract.Row(t, 19)
	b := draw(t, drawn)
	head := mustBeGood(t, b).Head
	edit(t, b, 1, func(r []Row) []Row { r[0].Reason = "nothing to see here"; return r })
	drop(t, b, 3)
	edit(t, b, 4, func(r []Row) []Row { r[2] = reseal(r[2], nil); return r })
	drop(t, b, 6)
	want := []string{"1: 1 Changed", "3: 4 Missing", "4: 7 Forged", "6: 9 CutTail"}
	if rep := verify(t, b, ring(t, "k1"), head); !slices.Equal(told(rep.Breaks), want) || rep.Verdict() != Bad {
		t.Errorf("told %q, want %q", told(rep.Breaks), want)
	}
}

// Rows that no anchor covers are counted apart: they hold, and nobody would miss them.
func TestUnanchored(t *testing.T) {
	b := draw(t, drawn)
	rows, _, _ := parseObject(get(t, b, 4))
	for _, tt := range []struct {
		expect            []Head
		unanchored, first uint64
	}{
		{nil, 9, 1},
		{[]Head{{4, rows[2].Hash}}, 2, 8},
		{[]Head{mustBeGood(t, b).Head}, 0, 0},
	} {
		rep := mustBeGood(t, b, tt.expect...)
		if rep.Rows != 9 || rep.Objects != 6 || rep.Unanchored != tt.unanchored || rep.FirstUnanchored != tt.first {
			t.Errorf("expecting %v: %+v", tt.expect, rep)
		}
	}
}

// A chain that stands in another store's root, whole.
func TestVerifyStore(t *testing.T) {
	b := draw(t, "a | b")
	rep, err := Verify(t.Context(), b, "main", ring(t, "k1"), VerifyOptions{StoreUID: "u-2"})
	if err != nil || !slices.Equal(told(rep.Breaks), []string{"1-2: 1-2 Foreign"}) {
		t.Errorf("%v, %v", rep, err)
	}
}

// What could not be looked at is an error and never a verdict.
func TestVerifyCannotLook(t *testing.T) {
	genuine, boom := draw(t, drawn), errors.New("boom")
	probe := fault.Wrap(genuine)
	verify(t, probe, ring(t, "k1"))
	for _, call := range probe.Calls() {
		t.Run(call.String(), func(t *testing.T) {
			b := fault.Wrap(genuine)
			b.When("the call", func(c fault.Call) bool { return c.N == call.N }).Fail(boom)
			if rep, err := Verify(t.Context(), b, "main", ring(t, "k1"), VerifyOptions{}); !errors.Is(err, boom) {
				t.Errorf("%v, %v", rep, err)
			}
		})
	}
}

// A listing that leaves objects out is no proof that they are gone: in the
// middle, at the end, all of them.
func TestVerifyWithALateListing(t *testing.T) {
	genuine := draw(t, drawn)
	for _, listed := range []string{"", "1", "3", "6", "36", "12345"} {
		b := listsOnly{genuine, listed}
		if rep := mustBeGood(t, b); rep.Rows != 9 {
			t.Errorf("listing %q: %d rows", listed, rep.Rows)
		}
	}
}

// listsOnly leaves out of its listings all numbers but those given.
type listsOnly struct {
	objstore.Bucket
	numbers string
}

func (l listsOnly) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		for e, err := range l.Bucket.List(ctx, prefix, after) {
			if err == nil && !strings.Contains(l.numbers, e.Key[len(e.Key)-1:]) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// A chain that is broken everywhere is reported in bounded space.
func TestVerifyKeepsABoundedReport(t *testing.T) {
	b := mem.New(mem.Options{})
	l := process(t, b, "p", ring(t, "k1"))
	var rows []Row
	for i := range 2*MaxBreaks + 100 {
		rows = append(rows, forward(fmt.Sprint("op", i)))
	}
	if _, err := l.AppendAll(t.Context(), rows, Head{}); err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= l.seen.head.Number; n++ {
		edit(t, b, n, func(r []Row) []Row {
			for i := range r {
				if r[i].ID%2 == 0 {
					r[i].Reason = "x"
				}
			}
			return r
		})
	}
	rep := verify(t, b, ring(t, "k1"))
	if len(rep.Breaks) != MaxBreaks || rep.MoreBreaks != 50 || rep.Verdict() != Bad {
		t.Errorf("%d breaks and %d more", len(rep.Breaks), rep.MoreBreaks)
	}
}
