// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// TestRestartEqualsModel drives one writer through transactions, checkpoints and
// all ways to end, and compares it with two maps: what it must serve, and what the
// root must show.
func TestRestartEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		live, published := content{}, content{}
		p := w.start()
		shown := func() { w.same("published", w.dump(), published) }
		t.Repeat(map[string]func(*rapid.T){
			"transaction": func(t *rapid.T) {
				tx := rapid.SliceOfN(statement(), 1, 6).Draw(t, "statements")
				p.must(tx...)
				live.apply(tx...)
			},
			"checkpoint": func(*rapid.T) {
				p.checkpoint()
				published = live.clone()
				shown()
			},
			"SIGTERM": func(*rapid.T) {
				p.stop()
				published = live.clone()
				shown()
				p = w.start()
			},
			"kill -9": func(*rapid.T) {
				p.kill()
				shown()
				p = w.start()
			},
			"power cut": func(t *rapid.T) {
				p.kill()
				w.disk = w.disk.PowerLoss(func(n int) int { return rapid.IntRange(0, n).Draw(t, "kept") })
				p = w.start()
			},
			"the disk is lost": func(*rapid.T) {
				p.kill()
				w.disk = logtest.New()
				p = w.start()
				live = published.clone() // what was acknowledged since is gone, and nothing by half
			},
			"": func(*rapid.T) { w.same("served", p.rows(), live) },
		})
		p.checkpoint()
		w.same("at the end", w.dump(), live)
		w.rest()
		p.kill()
	})
}

func statement() *rapid.Generator[store.Statement] {
	return rapid.Custom(func(t *rapid.T) store.Statement {
		table := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "table")
		key := fmt.Sprint("k", rapid.IntRange(0, 4).Draw(t, "key"))
		switch rapid.IntRange(0, 3).Draw(t, "op") {
		case 0:
			return del(table, key)
		default:
			return put(table, key, fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "value")))
		}
	})
}

// The log is cut when the root covers it, so that it does not grow with history.
func TestTheLogIsTruncatedBehindTheCheckpoint(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	want := content{}
	most := 0
	for i := range 30 {
		for j := range 20 {
			tx := put("t", fmt.Sprint("k", j), fmt.Sprint(i, "-", j))
			p.must(tx)
			want.apply(tx)
		}
		p.checkpoint()
		most = max(most, len(w.disk.Files()))
	}
	if most > 8 { // 30 x 20 records, each in a block of its own, are some 200 segments
		t.Fatalf("%d files at the most: %q", most, w.disk.Files())
	}
	p.kill()
	p = w.start()
	w.same("after a restart", p.rows(), want)
}

// What is written while a checkpoint is under way is not covered by it, however
// many segments it fills: the log keeps it.
func TestWrittenWhileACheckpointIsMade(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	want := content{}
	write := func(prefix string) {
		for i := range 60 {
			tx := put("t", fmt.Sprint(prefix, i), "some text that fills the segments")
			p.must(tx)
			want.apply(tx)
		}
	}
	write("before")
	gate := p.bucket.On(fault.PutIfAbsent, "manifest/").ParkBefore()
	done := make(chan error, 1)
	go func() { _, err := p.Checkpoint(context.Background()); done <- err }()
	if _, err := gate.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	write("meanwhile")
	files := len(w.disk.Files())
	gate.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(w.disk.Files()); n >= files {
		t.Fatalf("%d files stayed %d: nothing was cut", files, n)
	}
	p.kill()
	p = w.start()
	w.same("after a restart", p.rows(), want)
}

// Where no operator is, the process keeps the manifest's memory short itself.
func TestOutcomesAreTrimmedWithoutAnOperator(t *testing.T) {
	w := newWorld(t)
	p := w.start(func(o *store.Options) { o.Keyring = w.keys })
	most := 0
	for i := range 2*recovery.KeepOutcomes + 20 {
		p.must(put("t", "k", fmt.Sprint(i)))
		p.checkpoint()
		if i > 2*recovery.KeepOutcomes-5 {
			most = max(most, len(w.state().Outcomes))
		}
	}
	if now := len(w.state().Outcomes); most > 2*recovery.KeepOutcomes || now > recovery.KeepOutcomes+40 {
		t.Fatalf("%d outcomes at the most, %d at the end", most, now)
	}
	w.same("published", w.dump(), p.rows())
}
