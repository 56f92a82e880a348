// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/conformance"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// The golden files: a whole root, with every kind of object and of entry in it, and
// the objects that do not stay in a root.
var goldenDir = filepath.Join("..", "docs", "protocol")

// script makes the golden root, with ids that are counted and a clock that stands
// until it is moved.
type script struct {
	t    *testing.T
	disk *mem.Bucket
	now  time.Time
	ids  int
	m    *manifest.Store
	w    *recovery.Writer
	die  string // the put after which the writer sends nothing more
	dead bool
}

func (s *script) id() string { s.ids++; return fmt.Sprintf("ID%06d", s.ids) }

var errDead = errors.New("the process is gone")

// mortal is the bucket of a writer that dies.
type mortal struct {
	objstore.Bucket
	s *script
}

func (b mortal) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if b.s.dead {
		return objstore.PutResult{Outcome: objstore.Retry}, errors.Join(objstore.ErrAccessDenied, errDead)
	}
	b.s.dead = b.s.die != "" && strings.HasSuffix(key, b.s.die)
	return b.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

func (b mortal) Delete(ctx context.Context, key string) error {
	if b.s.dead {
		return errDead
	}
	return b.Bucket.Delete(ctx, key)
}

func (s *script) options() manifest.Options {
	return manifest.Options{
		NewID: s.id, Now: func() time.Time { return s.now }, CheckpointEvery: 8,
		Sleep: func(_ context.Context, d time.Duration) error { s.now = s.now.Add(d); return nil },
	}
}

func (s *script) writer(process string) *recovery.Writer {
	s.t.Helper()
	m, err := manifest.Open(s.t.Context(), mortal{s.disk, s}, s.options())
	must(s.t, err)
	w := recovery.NewWriter(m, recovery.WriterOptions{
		ID: "orders-0", Process: manifest.ProcessID(process), NewID: s.id, Now: func() time.Time { return s.now },
		Sleep: func(_ context.Context, d time.Duration) error { s.now = s.now.Add(d); return nil }, Await: time.Second,
	})
	must(s.t, w.Register(s.t.Context()))
	return w
}

// commit publishes new versions; drop removes a table.
func (s *script) commit(w *recovery.Writer, drop string, tables ...string) error {
	op := recovery.Operation{Kind: recovery.KindCheckpoint}
	for _, t := range tables {
		op.Changes = append(op.Changes, recovery.Change{Table: manifest.TableID(t), Position: manifest.Position(s.ids), Write: func(ctx context.Context, v recovery.TableVersion) (string, error) {
			raw, err := envelope.Encode("json", 1, map[string]any{"operation": v.Operation, "value": map[string]int{"n": int(v.Number)}})
			must(s.t, err)
			h, _, err := envelope.ParseHeader(raw)
			must(s.t, err)
			_, err = mortal{s.disk, s}.PutIfAbsent(ctx, v.Object, raw, s.id())
			return h.Digest, err
		}})
	}
	if drop != "" {
		op.Changes = append(op.Changes, recovery.Change{Table: manifest.TableID(drop), Drop: true})
	}
	_, err := w.Commit(s.t.Context(), op)
	return err
}

func (s *script) publish(role manifest.Role, e manifest.Entry) {
	s.t.Helper()
	_, err := s.m.Latest(s.t.Context())
	must(s.t, err)
	by := manifest.Publisher{Role: role, Process: "O1"}
	_, err = s.m.Publish(s.t.Context(), manifest.Publication{By: by, Entries: []manifest.Entry{e}})
	must(s.t, err)
	s.now = s.now.Add(time.Second)
}

// golden returns every golden file: the root's under root/, the others beside it.
func golden(t *testing.T) map[string][]byte {
	t.Helper()
	s := &script{t: t, now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	s.disk = mem.New(mem.Options{Now: func() time.Time { return s.now }})
	_, err := manifest.CreateIdentity(t.Context(), s.disk, "01KAS7QDY2GOLDEN0000000000", s.id(), nil)
	must(t, err)
	s.m, err = manifest.Open(t.Context(), s.disk, s.options())
	must(t, err)

	w := s.writer("P1") // manifest 1
	for i := range 7 {  // 2 to 8
		must(t, s.commit(w, "", []string{"accounts", "ledger"}[i%2]))
	}
	claimant := manifest.Claimant{Cluster: "5b1e", Namespace: "shop", Name: "orders", UID: "c0ffee"}
	s.publish(manifest.RoleOperator, manifest.Entry{Kind: manifest.KindClaim, Claimant: &claimant}) // 9
	until := s.now.Add(time.Hour)
	lock := func(mode manifest.LockMode) manifest.Entry {
		return manifest.Entry{Kind: manifest.KindLock, Lock: &manifest.Lock{Owner: "M1", Reason: "database restart", Mode: mode, Since: s.now, Until: until}}
	}
	s.publish(manifest.RoleOperator, lock(manifest.Draining))                                                                                   // 10
	s.publish(manifest.RoleOperator, lock(manifest.Frozen))                                                                                     // 11
	s.publish(manifest.RoleOperator, manifest.Entry{Kind: manifest.KindExtend, Lock: &manifest.Lock{Owner: "M1", Until: until.Add(time.Hour)}}) // 12
	s.publish(manifest.RoleOperator, manifest.Entry{Kind: manifest.KindRelease, Lock: &manifest.Lock{Owner: "M1"}})                             // 13
	s.publish(manifest.RoleOperator, lock(manifest.Draining))                                                                                   // 14
	s.now = until                                                                                                                               // its end
	s.publish(manifest.RoleOperator, manifest.Entry{Kind: manifest.KindExpire, LockOwner: "M1", Date: until})                                   // 15
	s.publish(manifest.RoleRecovery, manifest.Entry{Kind: manifest.KindAnnounce, LowWater: 4})                                                  // 16
	s.publish(manifest.RoleRecovery, manifest.Entry{Kind: manifest.KindTrim, LowWater: 4})                                                      // 17
	s.publish(manifest.RoleOperator, manifest.Entry{Kind: manifest.KindAnchor})                                                                 // 18
	s.publish(manifest.RoleOperator, manifest.Entry{Kind: manifest.KindAdopt, Claimant: &claimant, Base: s.m.View().Version, Reason: "adopt"})  // 19
	w = s.writer("P2")                                                                                                                          // 20
	must(t, s.commit(w, "ledger", "accounts"))                                                                                                  // 21, drops a table
	s.die = ".confirmed"
	if err := s.commit(w, "", "accounts", "payments"); err == nil {
		t.Fatal("the writer did not die")
	}
	s.recover() // 22, forward
	s.dead, s.die = false, ""
	w = s.writer("P3") // 23
	s.killAfterArm(w)  // armed, nothing more
	s.recover()        // 24, abandoned
	s.dead, s.die = false, ""
	_, err = s.m.Latest(t.Context())
	must(t, err)
	_, err = s.m.Snapshot(t.Context(), time.Hour, "a long dump")
	must(t, err)
	s.now = s.now.Add(3 * time.Hour)
	_, err = s.m.Collect(t.Context(), manifest.CollectOptions{
		Retention: manifest.Retention{Versions: 16, Age: time.Hour}, Pending: recovery.Pending(s.disk), By: "C1",
	})
	must(t, err)
	_, err = s.m.Snapshot(t.Context(), time.Hour, "a long dump")
	must(t, err)
	w = s.writer("P4") // 25
	s.die = ".confirmed"
	_ = s.commit(w, "", "accounts") // armed and confirmed: left pending

	files := map[string][]byte{}
	for e, err := range s.disk.List(t.Context(), "", "") {
		must(t, err)
		o, err := s.disk.Get(t.Context(), e.Key)
		must(t, err)
		files["root/"+e.Key] = o.Body
	}
	raw, _, err := manifest.EncodeBatch(&manifest.Batch{
		Store: s.m.Identity().UID, Number: 26, Parent: s.m.View().Digest, Attempt: "ID999999", Format: 2,
		By:      manifest.Publisher{Role: manifest.RoleOperator, Process: "O1"},
		Entries: []manifest.Entry{{Kind: manifest.KindFormat, Format: 2, Base: 25}},
	})
	must(t, err)
	files["refuse/manifest-of-format-2"] = raw
	first := files["root/"+manifest.Key(25)]
	files["refuse/manifest-cut"] = first[:len(first)-20]
	files["refuse/manifest-altered"] = []byte(strings.Replace(string(first), "orders-0", "orders-1", 1))
	return files
}

// killAfterArm is a writer that dies once its intent is written.
func (s *script) killAfterArm(w *recovery.Writer) {
	s.t.Helper()
	s.die = fmt.Sprintf("ID%06d", s.ids+1) // the operation that comes next
	_ = s.commit(w, "", "accounts")
	if !s.dead {
		s.t.Fatal("the writer did not die")
	}
}

// recover resolves what pends, as salvor recover does.
func (s *script) recover() {
	s.t.Helper()
	keys, err := audit.NewKeyring(map[string][]byte{"k1": []byte("golden-golden-golden"), audit.CurrentName: []byte("k1")})
	must(s.t, err)
	trail, err := audit.Open(s.disk, "main", keys, audit.Options{Recoverer: "R1", Now: func() time.Time { return s.now }, NewAttempt: s.id})
	must(s.t, err)
	r := recovery.NewRecoverer(s.m, trail, recovery.RecovererOptions{Process: "R1"})
	listed, err := recovery.List(s.t.Context(), s.disk)
	must(s.t, err)
	for _, l := range listed {
		rep, err := r.Recover(s.t.Context(), l.Key, recovery.RollForwardOnly{EndEpoch: true})
		must(s.t, err)
		if !rep.Complete {
			s.t.Fatalf("not recovered: %+v", rep.Verdict)
		}
	}
}

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
