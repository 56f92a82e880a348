// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// reopens checks what any directory has to bear: it is refused with a *CorruptError and
// unchanged, or it opens, goes on, and says the same again.
func reopens(t *testing.T, fs *logtest.FS) {
	t.Helper()
	before := fs.Killed()
	var at, after runtime.MemStats
	runtime.ReadMemStats(&at)
	l, got, err := open(fs)
	runtime.ReadMemStats(&after)
	size := uint64(0)
	for _, path := range before.Files() {
		size += uint64(len(before.Bytes(path)))
	}
	if n := after.TotalAlloc - at.TotalAlloc; n > 4<<20+64*size {
		t.Fatalf("%d bytes were allocated for %d", n, size)
	}
	if err != nil {
		if !isCorrupt(err) {
			t.Fatalf("%v, want *CorruptError", err)
		}
		for _, path := range before.Files() {
			if string(fs.Bytes(path)) != string(before.Bytes(path)) {
				t.Fatalf("%s: refused, and changed", path)
			}
		}
		return
	}
	next := l.Next()
	mustAppend(t, l, "on")
	mustClose(t, l)
	l, again := mustOpen(t, lost(fs))
	if len(again) != len(got)+1 || l.Next() != next+1 {
		t.Fatalf("%q, and then %q", got, again)
	}
	want(t, again[:len(got)], got...)
	mustClose(t, l)
}

// Any bytes as the newest segment, or as the one before it.
func FuzzSegment(f *testing.F) {
	one, two := log.Frame{Kind: log.Whole, Position: 1, Body: "one"}, log.Frame{Kind: log.Whole, Position: 2, Durable: 1, Body: "two"}
	f.Add(log.Forge(1, 1, 0, 0, frames{one}, frames{two}))
	f.Add(log.Forge(1, 1, 0, 0, frames{{Kind: log.Begin, Position: 1, Body: "a"}, {Kind: log.Commit, Event: 1, Position: 1, Body: "b"}}))
	for _, file := range []string{"00000000000000000001.log", "00000000000000000007.log"} {
		raw, err := os.ReadFile(filepath.Join("testdata/v1", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		contract.Row(t, 49, 51)
		reopens(t, forged(map[log.Position][]byte{1: raw}))
		reopens(t, forged(map[log.Position][]byte{1: raw, 3: log.Forge(1, 3, 2, 0)}))
	})
}

// Any sequence of whole frames: checksums are right, what they say is anything. Eight
// bytes make a frame; an even first one begins a flush.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 0, 9, 0, 0, 0, 1, 0, 2, 1, 9, 0, 0}, uint8(0))
	f.Add([]byte{0, 2, 0, 1, 0, 9, 0, 0, 1, 3, 1, 1, 0, 9, 0, 0, 1, 4, 2, 1, 0, 9, 0, 0, 0, 5, 0, 1, 1, 1, 0, 0}, uint8(7))
	f.Fuzz(func(t *testing.T, program []byte, flip uint8) {
		contract.Row(t, 56)
		var flushes []frames
		for ; len(program) >= 8 && len(flushes) < 40; program = program[8:] {
			fr := log.Frame{Kind: program[1] % 8, Event: int(program[2] % 6), Position: log.Position(program[3] % 16), Durable: log.Position(program[4] % 16), Body: string(make([]byte, 1+program[5]))}
			if fr.Kind == log.Note {
				fr.Body = log.Covers(log.Position(program[5] % 16))
			}
			if program[0]%2 == 0 || len(flushes) == 0 {
				flushes = append(flushes, nil)
			}
			flushes[len(flushes)-1] = append(flushes[len(flushes)-1], fr)
		}
		raw := log.Forge(1, 1, 0, 0, flushes...)
		reopens(t, forged(map[log.Position][]byte{1: raw}))
		if at := 64 + int(flip)*7; flip > 0 && at < len(raw) {
			raw[at] ^= flip
			reopens(t, forged(map[log.Position][]byte{1: raw}))
		}
	})
}
