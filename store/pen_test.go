// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/test/contract"
)

// A part that is put together by hand is, byte for byte, what the envelope's own encoder
// makes of it.
func TestAPartIsWhatTheEnvelopeSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := []store.Row{}
		for range rapid.IntRange(0, 200).Draw(t, "rows") {
			row, err := json.Marshal(map[string]string{rapid.String().Draw(t, "name"): rapid.String().Draw(t, "value")})
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, store.Row{Key: rapid.String().Draw(t, "key"), Row: row})
		}
		got, want, err := store.EncodePart(rows)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%v\ngot  %s\nwant %s", err, got, want)
		}
	})
}

// A record too.
func TestARecordIsWhatJSONSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tx := store.Transaction{ID: rapid.String().Draw(t, "id")}
		for range rapid.IntRange(1, 20).Draw(t, "statements") {
			s := store.Statement{Op: store.OpDelete, Table: rapid.String().Draw(t, "table"), Key: rapid.String().Draw(t, "key")}
			if rapid.Bool().Draw(t, "put") {
				row, err := json.Marshal(map[string]string{"v": rapid.String().Draw(t, "value")})
				if err != nil {
					t.Fatal(err)
				}
				s.Op, s.Row = store.OpPut, row
			}
			tx.Statements = append(tx.Statements, s)
		}
		got, want, err := store.EncodeRecord(tx)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%v\ngot  %s\nwant %s", err, got, want)
		}
	})
}

// A checkpoint rests behind each part for as long as that has kept the processor: half of
// one core is the most that it gets, however large it is.
func TestACheckpointRests(t *testing.T) {
	contract.Row(t, 64)
	var mu sync.Mutex
	var now, rested time.Duration
	w := newWorld(t)
	p := w.start(func(o *store.Options) {
		o.PartSize = 2000
		epoch := time.Now()
		o.Now = func() time.Time { // each look takes 5 ms, so a part takes 5 ms
			mu.Lock()
			defer mu.Unlock()
			now += 5 * time.Millisecond
			return epoch.Add(now)
		}
		o.Sleep = func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			rested += d
			return ctx.Err()
		}
	})
	for i := range 100 {
		p.must(put("large", fmt.Sprint(i), strings.Repeat("x", 300)))
	}
	mu.Lock()
	rested = 0
	mu.Unlock()
	p.checkpoint()
	parts := 0
	for _, key := range w.keysBelow(manifest.TablePrefix) {
		if _, _, part := store.ParsePartKey(key); part {
			parts++
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if parts < 10 || rested < time.Duration(parts-1)*5*time.Millisecond {
		t.Fatalf("%d parts, and %s of rest", parts, rested)
	}
}

// A checkpoint rests within a part, too, and while it reads it back: nobody waits for the
// processor for as long as a part of some MiB takes.
func TestACheckpointBreathes(t *testing.T) {
	contract.Row(t, 64)
	var mu sync.Mutex
	var now time.Duration
	rests := 0
	w := newWorld(t)
	p := w.start(func(o *store.Options) {
		epoch := time.Now()
		o.Now = func() time.Time { // each look takes longer than a burst may
			mu.Lock()
			defer mu.Unlock()
			now += time.Millisecond
			return epoch.Add(now)
		}
		o.Sleep = func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			if d > 2*time.Millisecond {
				t.Errorf("a rest of %s behind a burst of 1 ms", d)
			}
			rests++
			return ctx.Err()
		}
	})
	const rows, size = 120, 100_000 // parts of some MiB, and not one for each breath
	for i := range rows {
		p.must(put("large", fmt.Sprint(i), strings.Repeat("x", size)))
	}
	mu.Lock()
	rests = 0
	mu.Unlock()
	p.checkpoint()
	parts := 0
	for _, key := range w.keysBelow(manifest.TablePrefix) {
		if _, _, part := store.ParsePartKey(key); part {
			parts++
		}
	}
	mu.Lock()
	defer mu.Unlock()
	// One for each 64 KiB that are encoded, and one for each that are hashed.
	if want := 2 * rows * size / (64 << 10) * 9 / 10; parts < 1 || parts > 20 || rests < want {
		t.Fatalf("%d parts, and %d rests, want %d", parts, rests, want)
	}
}
