// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/store"
)

// fixed makes every id of a process a counter, so that bytes can be pinned.
func fixed(o *store.Options) {
	n := 0
	o.Process = "PROC"
	o.NewID = func() string { n++; return fmt.Sprintf("ID%02d", n) }
}

// The bytes of a table version are a promise. These are never edited: a change of
// meaning is a new format.
func TestBytesOfATableVersion(t *testing.T) {
	w := newWorld(t)
	p := w.start(fixed)
	p.must(put("t", "a", "1"), put("t", "b", "2"))
	p.checkpoint()
	p.must(del("t", "a"), put("t", "c <3", "3"))
	p.checkpoint()
	store := w.state().Store
	keys := w.keysBelow(manifest.TablePrefix)
	want := []string{
		`{"store":"` + store + `","table":"ledger-0.t","number":1,"operation":"OP","epoch":{"number":1,"process":"PROC"},` +
			`"position":1,"count":2,"rows":[{"key":"a","row":{"v":"1"}},{"key":"b","row":{"v":"2"}}]}`,
		`{"store":"` + store + `","table":"ledger-0.t","number":2,"operation":"OP","epoch":{"number":1,"process":"PROC"},` +
			`"parent":{"number":1,"operation":"PARENT"},` +
			`"position":2,"count":2,"rows":[{"key":"b","row":{"v":"2"}},{"key":"c \u003c3","row":{"v":"3"}}]}`,
	}
	var parent manifest.OperationID
	for i, key := range keys {
		o, err := w.root.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		_, _, op, _ := manifest.ParseTableKey(key)
		body := strings.NewReplacer("OP", string(op), "PARENT", string(parent)).Replace(want[i]) + "\n"
		if got, want := string(o.Body), "salvor table 1 "+envelope.Digest([]byte(body))+"\n"+body; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", key, got, want)
		}
		parent = op
	}
	if len(keys) != 2 {
		t.Fatalf("versions: %q", keys)
	}
}

// A large table is split; every part belongs to its version by name, and to no
// version by itself.
func TestLargeTables(t *testing.T) {
	w := newWorld(t)
	p := w.start(func(o *store.Options) { o.PartSize = 2000 })
	want := content{}
	for i := range 100 {
		tx := put("large", fmt.Sprintf("k%03d", i), strings.Repeat("x", 90))
		p.must(tx, put("small", "k", "1"))
		want.apply(tx, put("small", "k", "1"))
	}
	p.checkpoint()
	w.same("dump", w.dump(), want)
	versions, parts := 0, 0
	for _, key := range w.keysBelow(manifest.TablePrefix) {
		_, _, _, isVersion := manifest.ParseTableKey(key)
		version, n, isPart := store.ParsePartKey(key)
		switch {
		case isVersion == isPart:
			t.Fatalf("%s: a version: %v, a part: %v", key, isVersion, isPart)
		case isPart && (version != w.pinned("large") || store.PartKey(version, n) != key):
			t.Fatalf("%s is part %d of %s", key, n, version)
		case isPart:
			parts++
		default:
			versions++
		}
		if o, err := w.root.Get(t.Context(), key); err != nil || len(o.Body) > 2400 {
			t.Fatalf("%s has %d bytes, %v", key, len(o.Body), err)
		}
	}
	if versions != 2 || parts < 5 {
		t.Fatalf("%d versions and %d parts", versions, parts)
	}
	p.kill()
	w.same("after a restart", w.start().rows(), want)
}

func TestPartKeys(t *testing.T) {
	version := manifest.TableKey("a.b", 7, "OP")
	for n, want := range map[int]string{1: ".part-0001", 9999: ".part-9999", 10000: ".part-10000"} {
		if got := store.PartKey(version, n); got != version+want {
			t.Errorf("PartKey(%d) = %s", n, got)
		}
	}
	for _, bad := range []string{
		version, version + ".part-", version + ".part-1", version + ".part-0000", version + ".part-00001", version + ".part-0001x",
		"tables/a.b/7-OP.part-0001", "recovery/OP.part-0001", version + ".part-0001.part-0001", version + ".part--001",
	} {
		if v, n, ok := store.ParsePartKey(bad); ok {
			t.Errorf("ParsePartKey(%q) = %s, %d", bad, v, n)
		}
	}
}

// Whatever is wrong with a part or a version is found before a row is believed.
func TestDamagedVersionsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*world, string)
		says  string
	}{
		{"part gone", func(w *world, v string) { w.mustDelete(store.PartKey(v, 2)) }, "object not found"},
		{"part altered", func(w *world, v string) {
			w.alter(store.PartKey(v, 2), func(s string) string { return strings.Replace(s, `"x`, `"y`, 1) })
		}, "is damaged"},
		{"part of another version, whole in itself", func(w *world, v string) {
			w.alter(store.PartKey(v, 2), func(s string) string { return reseal(s, `"part":2`, `"part":3`) })
		}, "is damaged"},
		{"version whole in itself, and not the one that was published", func(w *world, v string) {
			w.alter(v, func(s string) string { return reseal(s, `"count":50`, `"count":49`) })
		}, "is damaged"},
		{"version gone", func(w *world, v string) { w.mustDelete(v) }, "object not found"},
		{"an object of another kind", func(w *world, v string) {
			w.alter(v, func(s string) string { return strings.Replace(s, "salvor table ", "salvor manifest ", 1) })
		}, `found a "manifest" object where a "table" was expected`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.start(func(o *store.Options) { o.PartSize = 1000 })
			for i := range 50 {
				p.must(put("t", fmt.Sprintf("k%03d", i), strings.Repeat("x", 90)))
			}
			p.checkpoint()
			c.spoil(w, w.pinned("t"))
			_, err := w.tryDump()
			var object *manifest.ObjectError
			if !errors.As(err, &object) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want an object error saying %q", err, c.says)
			}
		})
	}
}

// reseal alters the body of an object and makes its header fit.
func reseal(s, from, to string) string {
	head, body, _ := strings.Cut(s, "\n")
	body = strings.Replace(body, from, to, 1)
	return head[:strings.LastIndex(head, " ")+1] + envelope.Digest([]byte(body)) + "\n" + body
}

func (w *world) mustDelete(key string) {
	w.Helper()
	if err := w.root.Delete(context.Background(), key); err != nil {
		w.Fatal(err)
	}
}

// The log is cut only after what the root has instead was read back.
func TestReadBackBeforeTheLogIsCut(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	for range 60 {
		p.must(put("t", "k", strings.Repeat("x", 50)))
	}
	files := len(w.disk.Files())
	p.bucket.On(fault.Get, "tables/").Fail(errors.New("no such luck"))
	p.checkpoint()
	if n := len(w.disk.Files()); n != files {
		t.Fatalf("%d files became %d although nothing could be read back", files, n)
	}
	if said := strings.Join(p.lines(), "\n"); !strings.Contains(said, "read table t back before the log is truncated: ") {
		t.Fatalf("said %q", said)
	}
	p.bucket.VerifyFired(t)
	p.kill()
	w.start().must(put("t", "k", "on"))
}

func TestDumpNamesWhatItCannotFind(t *testing.T) {
	w := newWorld(t)
	if _, err := store.OpenDump(t.Context(), w.root, newID); !errors.Is(err, manifest.ErrNoStore) {
		t.Fatalf("an empty root: %v", err)
	}
	p := w.start()
	p.must(put("t", "k", "1"))
	p.checkpoint()
	if _, err := store.OpenDump(t.Context(), w.root, newID, "ledger-0.nothing"); !errors.Is(err, store.ErrNoSuchTable) {
		t.Fatalf("a table that is not there: %v", err)
	}
	d, err := store.OpenDump(t.Context(), w.root, newID, "ledger-0.t")
	if err != nil || len(d.Tables) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	// A dump is of one version, whatever is published meanwhile.
	p.must(put("t", "k", "2"))
	p.checkpoint()
	for r, err := range d.Rows(t.Context()) {
		if err != nil || string(r.Row) != `{"v":"1"}` {
			t.Fatalf("%s, %v", r.Row, err)
		}
	}
}
