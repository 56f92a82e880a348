// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"testing"

	"github.com/salvor-io/salvor/objstore/envelope"
)

// Every byte of every object of a chain, flipped one by one: no flip goes
// unnoticed, and the first row that is named is the one that was hit.
func TestEveryFlip(t *testing.T) {
	genuine := draw(t, "a | b c | d")
	keys := ring(t, "k1")
	flips := 0
	for n := uint64(1); n <= 3; n++ {
		body := get(t, genuine, n)
		owner := owners(t, body)
		for at := range body {
			for _, mask := range []byte{0x01, []byte{0x20, 0x80}[at%2]} { // the next digit; the other case, or no text
				b := genuine.Clone()
				flipped := bytes.Clone(body)
				flipped[at] ^= mask
				put(t, b, n, flipped)
				rep, err := Verify(t.Context(), b, "main", keys, VerifyOptions{})
				flips++
				switch {
				case err != nil:
					t.Fatal(err)
				case rep.Verdict() != Bad:
					t.Fatalf("object %d, byte %d: %q for %q went unnoticed", n, at, flipped[at], body[at])
				case rep.Breaks[0].RowID != owner[at] || rep.Breaks[0].Number != n:
					t.Fatalf("object %d, byte %d, %q for %q: told %v, hit row %d", n, at, flipped[at], body[at], told(rep.Breaks), owner[at])
				case len(rep.Breaks) > 1 && rep.Breaks[1].Number != n:
					t.Fatalf("object %d, byte %d: a break elsewhere too: %v", n, at, told(rep.Breaks))
				}
			}
		}
	}
	if flips < 5_000 {
		t.Errorf("only %d flips", flips)
	}
}

// owners says for each byte of an object which row it belongs to: what stands
// before the rows to the first, a comma to the row after it, the end to the last.
func owners(t *testing.T, raw []byte) []uint64 {
	t.Helper()
	rows, _, err := parseObject(raw)
	if err != nil {
		t.Fatal(err)
	}
	_, at, err := envelope.ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	raws, _, err := splitRows(raw[at:])
	if err != nil {
		t.Fatal(err)
	}
	at += len(bodyHead)
	owner := bytes.Repeat([]byte{0}, len(raw))
	for i, r := range raws {
		for end := at + len(r); at < end; at++ {
			owner[at] = byte(i)
		}
		if i < len(raws)-1 {
			owner[at] = byte(i + 1)
			at++
		}
	}
	for ; at < len(raw); at++ {
		owner[at] = byte(len(raws) - 1)
	}
	ids := make([]uint64, len(raw))
	for i, o := range owner {
		ids[i] = rows[o].ID
	}
	return ids
}

// An object cut off at every length.
func TestEveryTear(t *testing.T) {
	genuine := draw(t, "a | b c d | e")
	body := get(t, genuine, 2)
	owner := owners(t, body)
	for n := range body {
		b := genuine.Clone()
		put(t, b, 2, body[:n])
		rep := verify(t, b, ring(t, "k1"))
		if rep.Verdict() != Bad || rep.Breaks[0].Number != 2 || rep.Breaks[0].RowID > owner[n] {
			t.Fatalf("%d bytes left: %v, the cut is in row %d", n, told(rep.Breaks), owner[n])
		}
	}
}

// Whatever stands in a bucket: reading it does not crash, and only what was
// written is good.
func FuzzObject(f *testing.F) {
	genuine := draw(f, "a | b c | d")
	for n := uint64(1); n <= 3; n++ {
		f.Add(get(f, genuine, n))
	}
	f.Add([]byte("salvor audit 1 sha256:0\n{\"rows\":[{},{}]}\n"))
	f.Add([]byte("salvor audit 9 sha256:0\n"))
	want := get(f, genuine, 2)
	keys := ring(f, "k1")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, at, err := parseObject(raw); err == nil && at != 0 {
			t.Error("no damage, yet a place for it")
		}
		b := genuine.Clone()
		put(t, b, 2, raw)
		if rep := verify(t, b, keys); (rep.Verdict() == Good) != bytes.Equal(raw, want) {
			t.Errorf("verdict %s: %v", rep.Verdict(), told(rep.Breaks))
		}
	})
}
