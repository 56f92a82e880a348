// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/test/contract"
)

// check checks the data directory, and that nothing was changed.
func (w *world) check(withRoot bool) *store.Checked {
	w.Helper()
	was := w.onDisk()
	o := store.CheckOptions{Dir: "data", FS: w.disk, NewID: newID}
	if withRoot {
		o.Root = w.root
	}
	c, err := store.Check(context.Background(), o)
	if err != nil {
		w.Fatalf("check: %v", err)
	}
	if now := w.onDisk(); now != was {
		w.Fatalf("the check has changed the directory:\n%s\n%s", was, now)
	}
	return c
}

func (w *world) onDisk() string {
	var out strings.Builder
	for _, path := range w.disk.Files() {
		fmt.Fprintf(&out, "%s %x\n", path, w.disk.Bytes(path))
	}
	return out.String()
}

// checkable is a directory with several segments, the last of them behind the root.
func checkable(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	p := w.start()
	for range 100 {
		p.must(put("t", "k", strings.Repeat("x", 300)))
	}
	p.checkpoint()
	for range 11 {
		p.must(put("t", "k", "last"), put("u", "k", "last"))
	}
	p.kill()
	return w
}

func TestCheckOfAGoodDirectory(t *testing.T) {
	w := checkable(t)
	c := w.check(true)
	if len(c.Faults) != 0 || c.Writer != "ledger-0" || c.Store != w.state().Store || c.Log.Last != 111 || c.Log.First <= 1 ||
		c.Log.Transactions != int(112-c.Log.First) || c.Log.Checkpoint != 100 || c.Covered != 100 || c.Tables != 1 || c.Behind != 11 || len(c.Log.Segments) < 2 {
		t.Fatalf("%+v", c)
	}
	if c := w.check(false); len(c.Faults) != 0 || c.Root {
		t.Fatalf("without the root: %+v", c)
	}
	if c := newWorld(t).check(false); len(c.Faults) != 0 || c.Log.Last != 0 {
		t.Fatalf("a new directory: %+v", c)
	}
}

// Whatever is wrong is named, with its file and the byte in it, and what to do; and then
// a start refuses it, too.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	contract.Row(t, 51)
	last := func(w *world) string { return w.segments()[len(w.segments())-1] }
	for _, c := range []struct {
		name   string
		harm   func(*world)
		damage log.Damage
		path   func(*world) string
		says   string
	}{
		{"a byte of a sealed segment", func(w *world) { w.flip(w.segments()[0], 4096+100) }, log.DamagedFrame, func(w *world) string { return w.segments()[0] }, "restore the directory from a copy"},
		{"a header", func(w *world) { w.flip(last(w), 20) }, log.DamagedHeader, last, "checksum"},
		{"a segment that is gone", func(w *world) {
			if err := w.disk.Remove(w.segments()[1]); err != nil {
				t.Fatal(err)
			}
		}, log.MissingSegment, nil, "a segment is missing"},
		{"another store's root", func(w *world) { other := newWorld(t); other.start().kill(); w.root = other.root }, store.ForeignRoot, nil, "correct --root"},
		{"an emptied root", func(w *world) { w.root = mem.New(mem.Options{}) }, store.ForeignRoot, nil, "the root was emptied"},
		{"a damaged version", func(w *world) {
			w.alter(w.pinned("t"), func(s string) string { return strings.Replace(s, `"v"`, `"w"`, 1) })
		}, store.DamagedVersion, func(w *world) string { return w.pinned("t") }, "restore this object"},
		{"store.json", func(w *world) { w.disk.Put("data/store.json", []byte("{")) }, store.DamagedDirectory, func(*world) string { return "data/store.json" }, "restore this file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := checkable(t)
			c.harm(w)
			got := w.check(true)
			if len(got.Faults) == 0 || got.Faults[0].Damage != c.damage || !strings.Contains(got.Faults[0].Says, c.says) {
				t.Fatalf("%+v, want %s saying %q", got.Faults, c.damage, c.says)
			}
			if f := got.Faults[0]; c.path != nil && f.Path != c.path(w) {
				t.Fatalf("it names %s at %d, want %s", f.Path, f.Offset, c.path(w))
			}
		})
	}
	t.Run("the byte is named", func(t *testing.T) {
		w := checkable(t)
		w.flip(w.segments()[0], 8192+100)
		if f := w.check(false).Faults[0]; f.Offset < 4096 || f.Offset > 8192 {
			t.Fatalf("byte %d was harmed, it names %d", 8192+100, f.Offset)
		}
	})
	t.Run("an older root", func(t *testing.T) {
		w := newWorld(t)
		p := w.start()
		p.must(put("t", "k", "1"))
		p.checkpoint()
		older := w.root.Clone()
		for range 200 {
			p.must(put("t", "k", strings.Repeat("x", 300)))
		}
		p.checkpoint()
		p.kill()
		w.root = older
		if f := w.check(true).Faults; len(f) != 1 || f[0].Damage != store.Gap || !strings.Contains(f[0].Says, "restore a newer one") {
			t.Fatalf("%+v", f)
		}
	})
}

func (w *world) flip(path string, at int) {
	raw := w.disk.Bytes(path)
	raw[at] ^= 1
	w.disk.Put(path, raw)
}

// A torn tail is what every crash leaves: it is no fault. A directory that a process
// runs on is not looked at.
func TestWhatACheckLeavesAlone(t *testing.T) {
	w := checkable(t)
	last := w.segments()[len(w.segments())-1]
	raw := w.disk.Bytes(last)
	w.disk.Put(last, append(raw, []byte("the beginning of something")...))
	if c := w.check(true); len(c.Faults) != 0 || c.Log.Last != 111 {
		t.Fatalf("a torn tail: %+v", c)
	}
	p := w.start()
	var open *log.AlreadyOpenError
	if _, err := store.Check(t.Context(), store.CheckOptions{Dir: "data", FS: w.disk}); !errors.As(err, &open) {
		t.Fatalf("while a process runs: %v", err)
	}
	p.kill()
	if _, err := store.Check(t.Context(), store.CheckOptions{Dir: t.TempDir()}); err == nil {
		t.Fatal("a directory without a log is good")
	}
	if c := w.check(true); c.Covered != 100 || len(c.Faults) != 0 {
		t.Fatalf("after all that: %+v", c)
	}
}
