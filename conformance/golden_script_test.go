// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
)

// script makes the golden root, with ids that are counted and a clock that stands
// until it is moved.
type script struct {
	t    *testing.T
	disk *mem.Bucket
	now  time.Time
	ids  int
	m    *manifest.Store
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
