// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/conformance"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// The golden files: a whole root, with every kind of object and of entry in it, and
// the objects that do not stay in a root.
var goldenDir = filepath.Join("..", "docs", "protocol")

// The golden files are what the code writes, byte for byte. UPDATE=1 writes them;
// one that was released is never changed, a new format gets new ones.
func TestGoldenFilesAreWhatTheCodeWrites(t *testing.T) {
	want := golden(t)
	if os.Getenv("UPDATE") == "1" {
		must(t, os.RemoveAll(filepath.Join(goldenDir, "root")))
		for name, raw := range want {
			path := filepath.Join(goldenDir, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, raw, 0o644))
		}
	}
	have := readGolden(t)
	for name, raw := range want {
		if string(have[name]) != string(raw) {
			t.Errorf("docs/protocol/%s is not what the code writes (UPDATE=1 writes it)\nfile: %s\ncode: %s", name, have[name], raw)
		}
	}
	for name := range have {
		if want[name] == nil {
			t.Errorf("docs/protocol/%s is written by nobody", name)
		}
	}
}

func readGolden(t *testing.T) map[string][]byte {
	t.Helper()
	have := map[string][]byte{}
	must(t, filepath.WalkDir(goldenDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(goldenDir, path)
		if err == nil {
			have[filepath.ToSlash(name)], err = os.ReadFile(path)
		}
		return err
	}))
	return have
}

// Reading a golden file and writing it again loses nothing.
func TestGoldenFilesAreReadAndWrittenAgain(t *testing.T) {
	kinds, entries := map[string]bool{}, map[manifest.Kind]bool{}
	for name, raw := range readGolden(t) {
		key, ok := strings.CutPrefix(name, "root/")
		if !ok {
			if _, _, err := manifest.DecodeBatch(manifest.Key(25), raw); err == nil {
				t.Errorf("%s was read", name)
			}
			continue
		}
		h, _, err := envelope.ParseHeader(raw)
		must(t, err)
		kinds[h.Kind] = true
		var again []byte
		switch h.Kind {
		case "manifest":
			b, _, err := manifest.DecodeBatch(key, raw)
			must(t, err)
			for _, e := range b.Entries {
				entries[e.Kind] = true
			}
			again, _, err = manifest.EncodeBatch(b)
			must(t, err)
		case "checkpoint":
			st, err := manifest.DecodeCheckpoint(key, raw)
			must(t, err)
			again, err = manifest.EncodeCheckpoint(st)
			must(t, err)
		case "sidecar":
			s, err := recovery.DecodeSidecar(raw)
			must(t, err)
			again, err = recovery.EncodeSidecar(s)
			must(t, err)
		case "confirmed":
			s, err := recovery.DecodeSidecar(readGolden(t)[strings.TrimSuffix(name, ".confirmed")])
			must(t, err)
			c, err := recovery.DecodeConfirmed(s, raw)
			must(t, err)
			again, err = recovery.EncodeConfirmed(c, 1)
			must(t, err)
		default:
			var body json.RawMessage
			_, err := envelope.Decode(h.Kind, h.Format, raw, &body)
			must(t, err)
			again = raw
		}
		if string(again) != string(raw) {
			t.Errorf("%s: reading lost something:\n%s", name, again)
		}
	}
	for _, k := range []string{"store", "manifest", "checkpoint", "boundary", "reader", "sidecar", "confirmed", "audit", "json"} {
		if !kinds[k] {
			t.Errorf("no golden file of kind %s", k)
		}
	}
	for _, k := range []manifest.Kind{
		manifest.KindRegister, manifest.KindFence, manifest.KindPublish, manifest.KindAbandon, manifest.KindClaim, manifest.KindAdopt, manifest.KindAnnounce,
		manifest.KindTrim, manifest.KindLock, manifest.KindExtend, manifest.KindRelease, manifest.KindExpire, manifest.KindAnchor,
	} {
		if !entries[k] {
			t.Errorf("no golden entry of kind %s", k)
		}
	}
}

// The golden root is a root that keeps the protocol, with one operation pending.
func TestGoldenRootKeepsTheProtocol(t *testing.T) {
	contract.Row(t, 129)
	b, err := file.Open(t.TempDir(), file.Options{})
	must(t, err)
	files := readGolden(t)
	for name, raw := range files {
		if key, ok := strings.CutPrefix(name, "root/"); ok {
			_, err := b.PutIfAbsent(t.Context(), key, raw, "golden")
			must(t, err)
		}
	}
	rep, err := conformance.CheckRoot(t.Context(), b, nil)
	must(t, err)
	if len(rep.Violations) > 0 || rep.Pending != 1 || rep.Newest != 25 {
		t.Errorf("%+v", rep)
	}
	// Another language may spell a body in another way.
	respelt := strings.ReplaceAll(string(files["root/"+manifest.CheckpointKey(16)]), ",\"", ", \"")
	head, body, _ := strings.Cut(respelt, "\n")
	respelt = head[:strings.LastIndex(head, " ")+1] + envelope.Digest([]byte(body)) + "\n" + body
	must(t, b.Delete(t.Context(), manifest.CheckpointKey(16)))
	_, err = b.PutIfAbsent(t.Context(), manifest.CheckpointKey(16), []byte(respelt), "respelt")
	must(t, err)
	rep, err = conformance.CheckRoot(t.Context(), b, nil)
	must(t, err)
	if len(rep.Violations) > 0 {
		t.Errorf("a checkpoint that is spelt in another way: %v", rep.Violations)
	}
	// And each thing that could be wrong with it is named by its rule.
	newest, orphan := manifest.Key(25), "tables/accounts/00000000000000000099-ID000300"
	pending := ""
	for name := range files {
		if strings.HasSuffix(name, ".confirmed") {
			pending = strings.TrimSuffix(strings.TrimPrefix(name, "root/"), ".confirmed")
		}
	}
	for _, c := range []struct {
		rule, key string
		raw       []byte // nil: deleted
	}{
		{"names", "notes.txt", []byte("salvor")},
		{"envelope", newest, files["refuse/manifest-altered"]},
		{"envelope", orphan, []byte("no first line\n")},
		{"line", manifest.Key(20), nil},
		{"checkpoint", manifest.CheckpointKey(16), otherCheckpoint(t, files["root/"+manifest.CheckpointKey(16)])},
		{"sidecar", pending, mustEncode(t, "sidecar", map[string]any{"store": "another"})},
		{"confirm", pending + ".confirmed", mustEncode(t, "confirmed", map[string]any{"store": "another"})},
	} {
		dir := t.TempDir()
		b, err := file.Open(dir, file.Options{})
		must(t, err)
		for name, raw := range files {
			if key, ok := strings.CutPrefix(name, "root/"); ok && key != c.key {
				_, err := b.PutIfAbsent(t.Context(), key, raw, "golden")
				must(t, err)
			}
		}
		if c.raw != nil {
			_, err := b.PutIfAbsent(t.Context(), c.key, c.raw, "broken")
			must(t, err)
		}
		rep, err := conformance.CheckRoot(t.Context(), b, nil)
		must(t, err)
		if !slices.ContainsFunc(rep.Violations, func(v conformance.Violation) bool { return v.Rule.Name == c.rule && v.Key == c.key }) {
			t.Errorf("%s of %s is not named: %v", c.rule, c.key, rep.Violations)
		}
	}
}

// otherCheckpoint is one that forgot a table.
func otherCheckpoint(t *testing.T, raw []byte) []byte {
	t.Helper()
	st, err := manifest.DecodeCheckpoint(manifest.CheckpointKey(16), raw)
	must(t, err)
	delete(st.Tables, "accounts")
	raw, err = manifest.EncodeCheckpoint(st)
	must(t, err)
	return raw
}

func mustEncode(t *testing.T, kind string, body any) []byte {
	t.Helper()
	raw, err := envelope.Encode(kind, 1, body)
	must(t, err)
	return raw
}
