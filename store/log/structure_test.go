// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

type frames = []log.Frame

func forged(segments map[log.Position][]byte) *logtest.FS {
	fs := logtest.New()
	for first, raw := range segments {
		fs.Put(filepath.Join(dir, fmt.Sprintf("%020d.log", first)), raw)
	}
	return fs
}

// What cannot follow what: every whole frame that is out of place is refused, in the
// newest segment too, with a word for it.
func TestStructureIsChecked(t *testing.T) {
	contract.Row(t, 56)
	one := log.Frame{Kind: log.Whole, Position: 1, Body: "one"}
	two := log.Frame{Kind: log.Whole, Position: 2, Durable: 1, Body: "two"}
	for name, c := range map[string]struct {
		frames frames
		damage log.Damage
		says   string
	}{
		"a commit without a begin":        {frames{one, {Kind: log.Commit, Event: 0, Position: 2, Body: "x"}}, log.CommitWithoutBegin, "position 2 has event 0, and no beginning"},
		"an event without a begin":        {frames{one, {Kind: log.Event, Event: 1, Position: 2, Body: "x"}}, log.CommitWithoutBegin, "no beginning"},
		"a position again":                {frames{one, two, two}, log.PositionRegressed, "position 2 behind position 2"},
		"a regressing position":           {frames{one, two, one}, log.PositionRegressed, "position 1 behind position 2"},
		"a skipped position":              {frames{one, {Kind: log.Whole, Position: 3, Body: "x"}}, log.PositionSkipped, "position 3, expected is 2"},
		"a begin twice":                   {frames{one, {Kind: log.Begin, Position: 2, Body: "x"}, {Kind: log.Begin, Position: 2, Body: "x"}}, log.BeginTwice, "position 2 begins inside"},
		"a transaction inside of one":     {frames{{Kind: log.Begin, Position: 1, Body: "x"}, one}, log.BeginTwice, "inside"},
		"a checkpoint inside of one":      {frames{{Kind: log.Begin, Position: 1, Body: "x"}, {Kind: log.Note, Position: 0, Body: log.Covers(0)}}, log.BeginTwice, "inside"},
		"an event is missing":             {frames{{Kind: log.Begin, Position: 1, Body: "x"}, {Kind: log.Commit, Event: 2, Position: 1, Body: "x"}}, log.EventMissing, "has event 2, expected is 1"},
		"an event of another transaction": {frames{{Kind: log.Begin, Position: 1, Body: "x"}, {Kind: log.Commit, Event: 1, Position: 2, Body: "x"}}, log.EventMissing, "an event of position 2"},
		"a begin that is no first event":  {frames{{Kind: log.Begin, Event: 3, Position: 1, Body: "x"}}, log.EventMissing, "begins with its event 3"},
		"a future checkpoint":             {frames{one, {Kind: log.Note, Position: 1, Body: log.Covers(7)}}, log.FutureCheckpoint, "covers position 7, and the log is at 1"},
		"a regressing checkpoint":         {frames{one, two, {Kind: log.Note, Position: 2, Body: log.Covers(2)}, {Kind: log.Note, Position: 2, Body: log.Covers(1)}}, log.CheckpointRegressed, "covers position 1, and one before it 2"},
		"a checkpoint out of its place":   {frames{one, {Kind: log.Note, Position: 9, Body: log.Covers(1)}}, log.PositionSkipped, "behind position 9"},
		"an unknown kind":                 {frames{one, {Kind: 9, Position: 2, Body: "x"}}, log.UnknownKind, "kind 9"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sealed := range []bool{false, true} {
				files := map[log.Position][]byte{1: log.Forge(1, 1, 0, 0, c.frames)}
				if sealed {
					files[9] = log.Forge(1, 9, 8, 0)
				}
				fs := forged(files)
				before := fs.Killed()
				_, got, err := open(fs)
				damaged(t, err, c.damage, c.says)
				if len(got) > 2 {
					t.Fatalf("replayed %q", got)
				}
				for _, path := range fs.Files() {
					if string(fs.Bytes(path)) != string(before.Bytes(path)) {
						t.Fatalf("%s: refused, and changed", path)
					}
				}
			}
		})
	}
}

// How segments follow each other.
func TestSegmentsFollowEachOther(t *testing.T) {
	contract.Row(t, 56)
	one, two := log.Frame{Kind: log.Whole, Position: 1, Body: "one"}, log.Frame{Kind: log.Whole, Position: 2, Body: "two"}
	for name, c := range map[string]struct {
		segments map[log.Position][]byte
		damage   log.Damage
		says     string
	}{
		"one begins before the last one ends": {map[log.Position][]byte{1: log.Forge(1, 1, 0, 0, frames{one, two}), 2: log.Forge(1, 2, 1, 0, frames{two})}, log.PositionRegressed, "continues after position 1"},
		"one is missing":                      {map[log.Position][]byte{1: log.Forge(1, 1, 0, 0, frames{one}), 3: log.Forge(1, 3, 2, 0)}, log.MissingSegment, "a segment is missing"},
		"of another log":                      {map[log.Position][]byte{1: log.Forge(1, 1, 0, 0, frames{one}), 2: log.Forge(2, 2, 1, 0)}, log.ForeignSegment, "another log"},
		"under another name":                  {map[log.Position][]byte{1: log.Forge(1, 2, 1, 0)}, log.ForeignSegment, "begins with position 2"},
		"a checkpoint of the future":          {map[log.Position][]byte{2: log.Forge(1, 2, 1, 5)}, log.FutureCheckpoint, "covers position 5"},
		"a transaction across the end":        {map[log.Position][]byte{1: log.Forge(1, 1, 0, 0, frames{{Kind: log.Begin, Position: 1, Body: "x"}}), 2: log.Forge(1, 2, 1, 0)}, log.DamagedFrame, "sealed"},
		"without a header":                    {map[log.Position][]byte{1: make([]byte, 4096)}, log.DamagedHeader, "no segment of a log"},
		"empty":                               {map[log.Position][]byte{1: {}}, log.DamagedHeader, "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := open(forged(c.segments))
			damaged(t, err, c.damage, c.says)
		})
	}
}

// A transaction of several events that has no end never happened; the newest segment
// goes on behind the last whole one.
func TestATransactionWithoutItsEndNeverHappened(t *testing.T) {
	contract.Row(t, 42, 55)
	fs := forged(map[log.Position][]byte{1: log.Forge(1, 1, 0, 0,
		frames{{Kind: log.Whole, Position: 1, Body: "one"}},
		frames{{Kind: log.Begin, Position: 2, Durable: 1, Body: "a"}, {Kind: log.Event, Event: 1, Position: 2, Durable: 1, Body: "b"}})})
	l, got := mustOpen(t, fs)
	want(t, got, "1 one")
	mustAppend(t, l, "two")
	mustClose(t, l)
	_, got = mustOpen(t, lost(fs))
	want(t, got, "1 one", "2 two")
}

// Damage of a part of a transaction that was acknowledged is no torn tail.
func TestATransactionIsDamagedInTheMiddle(t *testing.T) {
	contract.Row(t, 51)
	raw := log.Forge(1, 1, 0, 0,
		frames{{Kind: log.Begin, Position: 1, Body: "a"}, {Kind: log.Commit, Event: 1, Position: 1, Body: "b"}},
		frames{{Kind: log.Whole, Position: 2, Durable: 1, Body: "two"}})
	for at := 64; at < 64+28+1+28+1; at++ {
		bad := append([]byte(nil), raw...)
		bad[at] ^= 4
		_, got, err := open(forged(map[log.Position][]byte{1: bad}))
		damaged(t, err, log.DamagedFrame, "proves that it was acknowledged")
		want(t, got)
	}
}

// Transactions of one event and of many, in segments of a few hundred bytes: none spans
// two of them, and each comes back as it was.
func TestNoTransactionSpansSegments(t *testing.T) {
	contract.Row(t, 52)
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	n := contract.Scale(t, "commits", 1000, 10_000)
	var all []string
	for i := range n {
		var events [][]byte
		for e := range 1 + i*7%5 {
			events = append(events, []byte(fmt.Sprintf("t%d-e%d-%s", i, e, strings.Repeat("x", i*13%90))))
			all = append(all, fmt.Sprintf("%d %s", i+1, events[e]))
		}
		ticket, err := l.Commit(events, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 { // others share a batch
			if err := ticket.Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, l)
	files := segments(fs)
	if len(files) < n/10 {
		t.Fatalf("%d segments for %d commits", len(files), n)
	}
	whole := 0
	for _, path := range files { // each for itself
		events, err := log.DecodeFrames(fs.Bytes(path))
		if err != nil {
			t.Fatalf("%s by itself: %v", path, err)
		}
		whole += events
	}
	if whole != len(all) {
		t.Fatalf("%d events in whole transactions of one segment, %d were written", whole, len(all))
	}
	_, got := mustOpen(t, fs)
	want(t, got, all...)
}

// A note of a checkpoint is there after a crash, and in later segments when the one with
// the note is gone; it takes no position.
func TestCheckpointsAreRemembered(t *testing.T) {
	contract.Row(t, 55, 57)
	fs, records := filled(t)
	l, _ := mustOpen(t, fs)
	if err := l.Checkpoint(9); err == nil || l.Checkpointed() != 0 {
		t.Fatalf("a checkpoint of the future: %v, %d", err, l.Checkpointed())
	}
	if err := l.Checkpoint(7); err != nil || l.Next() != 9 {
		t.Fatalf("%v, next %d", err, l.Next())
	}
	mustClose(t, l)
	l, got := mustOpen(t, lost(fs))
	want(t, got, records...)
	if l.Checkpointed() != 7 {
		t.Fatalf("it remembers %d, want 7", l.Checkpointed())
	}
	mustClose(t, l)
	l, _ = mustOpen(t, fs)
	for i := range 6 {
		mustAppend(t, l, fmt.Sprint(i, strings.Repeat("x", 150))) // a segment each
	}
	if err := errors.Join(l.Checkpoint(5), l.Truncate(12)); err != nil { // an older one says nothing new
		t.Fatal(err)
	}
	mustClose(t, l)
	l, got = mustOpen(t, lost(fs))
	if l.Checkpointed() != 7 || l.First() != 13 || len(got) != 2 {
		t.Fatalf("it remembers %d and begins with %d", l.Checkpointed(), l.First())
	}
}

// A segment in which only notes stand is not full, however many they are: its successor
// would have its name.
func TestNotesDoNotFillASegment(t *testing.T) {
	contract.Row(t, 57, 58)
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	var all []string
	for i := range 40 {
		all = append(all, fmt.Sprintf("%d %d%s", i+1, i, strings.Repeat("x", 250))) // a segment each
		mustAppend(t, l, all[i][strings.Index(all[i], " ")+1:])
	}
	mustClose(t, l)
	l, _, err := openFrom(fs, 50) // the newest segment has no transaction
	if err != nil {
		t.Fatal(err)
	}
	for p := range 20 {
		if err := l.Checkpoint(log.Position(p + 1)); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, l, strings.Repeat("y", 250), "z")
	if err := l.Truncate(20); err != nil || l.First() != 21 {
		t.Fatalf("first %d, %v", l.First(), err)
	}
	mustClose(t, l)
	l, got := mustOpen(t, lost(fs))
	want(t, got, append(all[20:], "50 "+strings.Repeat("y", 250), "51 z")...)
	if l.Checkpointed() != 20 {
		t.Fatalf("it remembers %d", l.Checkpointed())
	}
}

// A file for a coming segment may hold whole frames of this very log: they mean nothing in
// their next use, behind the copy that recovery makes and behind new transactions.
func TestWhatAnEarlierUseLeftMeansNothing(t *testing.T) {
	contract.Row(t, 53, 55)
	fs, records := filled(t)
	fs.Put(filepath.Join(dir, "00000000000000000001.spare"), fs.Bytes(segments(fs)[1]))
	opt := options(fs)
	opt.Spares = 1
	l, err := log.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if st := l.Status(); st.Spares != 1 {
		t.Fatalf("%+v", st)
	}
	if err := l.Recover(1, nil); err != nil {
		t.Fatal(err)
	}
	if raw := fs.Bytes(segments(fs)[2]); len(raw) != 256 || !strings.Contains(string(raw), "record-5") {
		t.Fatalf("the newest segment is not in the file that was there: %q", raw)
	}
	mustClose(t, l)
	l, got := mustOpen(t, lost(fs))
	want(t, got, records...)
	if l.Next() != 9 {
		t.Fatalf("next %d, want 9", l.Next())
	}
}
