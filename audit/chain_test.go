// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
)

// The chains of these tests are drawn: objects between bars, operations between
// blanks. "a | b c | d" has three objects and four rows.

var (
	keyOne = []byte("0123456789abcdef0123456789abcdef")
	keyTwo = []byte("fedcba9876543210fedcba9876543210")
	start  = time.Date(2026, 3, 1, 12, 30, 45, 7, time.UTC)
)

// ring returns a keyring of k1 and k2, with the named one current.
func ring(t testing.TB, current string) *Keyring {
	t.Helper()
	return keyring(t, map[string][]byte{"k1": keyOne, "k2": keyTwo, CurrentName: []byte(current)})
}

func keyring(t testing.TB, data map[string][]byte) *Keyring {
	t.Helper()
	k, err := NewKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// process opens the log of one process: its attempts bear its name, its clock
// ticks a second a row, and it never really waits.
func process(t testing.TB, b objstore.Bucket, name string, keys *Keyring) *Log {
	t.Helper()
	var attempts, ticks atomic.Int64
	l, err := Open(b, "main", keys, Options{
		Recoverer:  name,
		Now:        func() time.Time { return start.Add(time.Duration(ticks.Add(1)) * time.Second) },
		NewAttempt: func() string { return fmt.Sprintf("%s-%d", name, attempts.Add(1)) },
		Wait:       func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// forward is the row of an operation that recovery rolled forward.
func forward(op string) Row {
	return Row{Kind: RolledForward, Operation: op, StoreUID: "u-1", Writer: "orders-0", WriterKind: "confirmed",
		Actor: "salvor:recovery", ManifestVersion: 42, PublishedBy: ByRecovery, Reason: "writer gone",
		Tables: []TableChange{{Table: "orders", From: "tables/orders/7-x", To: "tables/orders/8-" + op}}}
}

func back(op string) Row {
	r := forward(op)
	r.Kind, r.Tables = RolledBack, nil
	return r
}

func mustAppend(t testing.TB, l *Log, row Row, since Head) Appended {
	t.Helper()
	a, err := l.AppendOnce(t.Context(), row, since)
	if err != nil {
		t.Fatalf("append %s: %v", row.Operation, err)
	}
	return a
}

// draw writes a chain into a new bucket.
func draw(t testing.TB, picture string) *mem.Bucket {
	t.Helper()
	b := mem.New(mem.Options{})
	l := process(t, b, "p", ring(t, "k1"))
	for object := range strings.SplitSeq(picture, "|") {
		var rows []Row
		for op := range strings.FieldsSeq(object) {
			rows = append(rows, forward(op))
		}
		if len(rows) == 0 {
			continue
		}
		if _, err := l.AppendAll(t.Context(), rows, Head{}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// picture reads a chain back into a drawing.
func picture(t testing.TB, b objstore.Bucket) string {
	t.Helper()
	var objs []string
	var batch uint64
	for r, err := range process(t, b, "reader", nil).Rows(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Batch != batch {
			batch = r.Batch
			objs = append(objs, r.Operation)
			continue
		}
		objs[len(objs)-1] += " " + r.Operation
	}
	return strings.Join(objs, " | ")
}

// verify walks the chain and returns its report.
func verify(t testing.TB, b objstore.Bucket, keys *Keyring, expect ...Head) *Report {
	t.Helper()
	rep, err := Verify(t.Context(), b, "main", keys, VerifyOptions{Expect: expect})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// told puts breaks into short words: "2: 3-4 Missing" is object 2, rows 3 to 4.
func told(breaks []Break) []string {
	var out []string
	span := func(a, b uint64) string {
		if b > a {
			return fmt.Sprintf("%d-%d", a, b)
		}
		return fmt.Sprint(a)
	}
	for _, b := range breaks {
		out = append(out, fmt.Sprintf("%s: %s %s", span(b.Number, b.LastNumber), span(b.RowID, b.LastRowID), b.Why))
	}
	return out
}

func mustBeGood(t testing.TB, b objstore.Bucket, expect ...Head) *Report {
	t.Helper()
	rep := verify(t, b, ring(t, "k1"), expect...)
	if rep.Verdict() != Good {
		t.Fatalf("chain %q is bad: %v", picture(t, b), told(rep.Breaks))
	}
	return rep
}

func get(t testing.TB, b objstore.Bucket, n uint64) []byte {
	t.Helper()
	o, err := b.Get(t.Context(), objectKey("main", n))
	if err != nil {
		t.Fatal(err)
	}
	return o.Body
}

// put makes an object be these bytes, whatever was there.
func put(t testing.TB, b objstore.Bucket, n uint64, body []byte) {
	t.Helper()
	drop(t, b, n)
	if r, err := b.PutIfAbsent(t.Context(), objectKey("main", n), body, "intruder"); err != nil || r.Outcome != objstore.Created {
		t.Fatal(r.Outcome, err)
	}
}

func drop(t testing.TB, b objstore.Bucket, n uint64) {
	t.Helper()
	if err := b.Delete(t.Context(), objectKey("main", n)); err != nil {
		t.Fatal(err)
	}
}

// edit replaces the rows of an object and gives it a digest that fits: what
// somebody with access to the bucket can do.
func edit(t testing.TB, b objstore.Bucket, n uint64, f func([]Row) []Row) {
	t.Helper()
	stored, _, err := parseObject(get(t, b, n))
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for _, r := range stored {
		rows = append(rows, r.Row)
	}
	var raws []json.RawMessage
	for _, r := range f(slices.Clone(rows)) {
		raw, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		raws = append(raws, raw)
	}
	body, err := encodeObject(raws)
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, n, body)
}

// reseal makes hash and MAC fit, with a key or (nil) with a guess.
func reseal(r Row, key []byte) Row {
	c := newChecker("main", "", nil)
	sum := c.hash(&r)
	r.Hash = formatHash(sum)
	if key == nil {
		key = []byte("a guess, not the key")
	}
	k := &Keyring{keys: map[string][]byte{r.KeyID: key}}
	r.MAC, _ = k.macs().sum(r.KeyID, sum)
	return r
}

// rewrite changes the rows from id on and chains them anew, to the end.
func rewrite(t testing.TB, b objstore.Bucket, id uint64, key []byte, change func(*Row)) {
	t.Helper()
	previous := ""
	for n := uint64(1); ; n++ {
		if _, err := b.Get(t.Context(), objectKey("main", n)); err != nil {
			return
		}
		edit(t, b, n, func(rows []Row) []Row {
			for i := range rows {
				if rows[i].ID == id {
					change(&rows[i])
				}
				if rows[i].ID >= id {
					rows[i].Previous = previous
					rows[i] = reseal(rows[i], key)
				}
				previous = rows[i].Hash
			}
			return rows
		})
	}
}
