// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"strings"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// A state that cannot be is refused loudly, and nothing is touched.
func TestContradictionIsRefusedAndKept(t *testing.T) {
	contract.Row(t, 80)
	for name, spoil := range map[string]func(*world, manifest.OperationID){
		"a confirmed version is gone": func(w *world, op manifest.OperationID) {
			must(w.t, w.disk.Delete(ctx(w.t), manifest.TableKey("a", 2, op)))
		},
		"a confirmed version holds other bytes": func(w *world, op manifest.OperationID) {
			key := manifest.TableKey("a", 2, op)
			must(w.t, w.disk.Delete(ctx(w.t), key))
			raw, err := envelope.Encode("table", 1, "foreign")
			must(w.t, err)
			w.place(key, raw)
		},
		"a confirmed version is no version": func(w *world, op manifest.OperationID) {
			key := manifest.TableKey("a", 2, op)
			must(w.t, w.disk.Delete(ctx(w.t), key))
			w.place(key, []byte("garbage"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, op := confirmed(t)
			spoil(w, op)
			version, sidecars := w.state().Version, w.keys(recovery.Prefix)
			for range 2 { // and again: it is not retried into something else
				reps, err := w.recoverAll(w.disk, ended)
				must(t, err)
				v := reps[0].Verdict
				if v.Decision != recovery.Refuse || v.Reason != recovery.ReasonContradiction || !strings.Contains(v.Message, string(op)) {
					t.Fatalf("verdict %+v", v)
				}
			}
			if w.state().Version != version || len(w.keys(recovery.Prefix)) != len(sidecars) || len(w.rows("")) != 0 {
				t.Fatal("a refusal changed something")
			}
		})
	}
}

func TestBadSidecarBlocksOnlyItsOwner(t *testing.T) {
	contract.Row(t, 95)
	newer := []byte("salvor sidecar 99 sha256:00\n{}\n")
	damaged := []byte("salvor sidecar 1 sha256:00\n{}\n")
	for name, c := range map[string]struct {
		raw    []byte
		reason recovery.Reason
		says   string
	}{
		"garbage":        {[]byte("not a sidecar"), recovery.ReasonMalformed, "recovery/BAD"},
		"newer format":   {newer, recovery.ReasonNewerFormat, "upgrade salvor"},
		"damaged":        {damaged, recovery.ReasonMalformed, "recovery/BAD"},
		"another object": {mustEncode(t, "manifest", map[string]string{}), recovery.ReasonMalformed, "recovery/BAD"},
	} {
		t.Run(name, func(t *testing.T) {
			w, op := confirmed(t)
			w.place("recovery/BAD", c.raw)
			reps, err := w.recoverAll(w.disk, ended)
			must(t, err)
			var bad *recovery.Report
			for i := range reps {
				if reps[i].Key == "recovery/BAD" {
					bad = &reps[i]
				} else if !reps[i].Complete {
					t.Fatalf("a neighbour was held back: %+v", reps[i])
				}
			}
			if bad == nil || bad.Verdict.Decision != recovery.Refuse || bad.Verdict.Reason != c.reason || !strings.Contains(bad.Verdict.Message, c.says) {
				t.Fatalf("report %+v", bad)
			}
			if got := w.keys(recovery.Prefix); len(got) != 1 || got[0] != "recovery/BAD" {
				t.Fatalf("left %v: the bad one is kept, the good one finished", got)
			}
			if len(w.rows(op)) != 1 {
				t.Fatal("the neighbour has no row")
			}
			// Writers go on: the pins keep them safe.
			wr, err := w.writer(w.disk, "other")
			must(t, err)
			_, err = wr.Commit(ctx(t), checkpoint(put(w.disk, "a", "later")))
			must(t, err)
		})
	}
}

func TestMisnamedSidecarIsHealedUnderItsListedName(t *testing.T) {
	contract.Row(t, 93)
	w, op := confirmed(t)
	o, err := w.disk.Get(ctx(t), recovery.SidecarKey(op))
	must(t, err)
	must(t, w.disk.Delete(ctx(t), recovery.SidecarKey(op)))
	w.place("recovery/SOMETHINGELSE", o.Body)
	// The confirmation is now alone as well; whatever the order, both go.
	for range 2 {
		_, err = w.recoverAll(w.disk, ended)
		must(t, err)
	}
	if rows := w.rows(op); len(rows) != 1 {
		t.Fatalf("rows %+v", rows)
	}
	if left := w.keys(recovery.Prefix); len(left) != 0 {
		t.Fatalf("left over: %v", left)
	}
}

func mustEncode(t *testing.T, kind string, body any) []byte {
	raw, err := envelope.Encode(kind, 1, body)
	must(t, err)
	return raw
}

// place puts an object as somebody else would.
func (w *world) place(key string, raw []byte) {
	w.t.Helper()
	_, err := w.disk.PutIfAbsent(ctx(w.t), key, raw, "somebody")
	must(w.t, err)
}
