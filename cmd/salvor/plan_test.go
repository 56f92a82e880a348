// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
	"github.com/salvor-io/salvor/test/contract"
)

// inProcess runs the command in this process, and returns what it printed and its exit code.
func inProcess(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	cmd := newRootCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	var e *exitError
	switch {
	case err == nil:
		return out.String(), 0
	case errors.As(err, &e):
		return out.String() + err.Error(), e.code
	default:
		return out.String() + err.Error(), exitCannotRun
	}
}

// half is a root in a directory whose writer died between two tables that readers see.
func half(t *testing.T) (dir string, op manifest.OperationID) {
	t.Helper()
	dir = t.TempDir()
	disk, err := file.Open(dir, file.Options{})
	ok(t, err)
	_, err = manifest.CreateIdentity(t.Context(), disk, "uid", "attempt", nil)
	ok(t, err)
	commit := func(b objstore.Bucket, content string) (recovery.Result, error) {
		m, err := manifest.Open(t.Context(), b, manifest.Options{NewID: newID})
		ok(t, err)
		w := recovery.NewWriter(m, recovery.WriterOptions{ID: "w", Process: manifest.ProcessID(newID()), NewID: newID, Await: 1})
		ok(t, w.Register(t.Context()))
		op := recovery.Operation{Kind: recovery.KindForeign}
		for _, table := range []string{"x", "y"} {
			op.Changes = append(op.Changes, recovery.Change{Table: manifest.TableID(table), Write: commitlog.New(b, objstore.Patience{Bound: 1}).Write(content)})
		}
		return w.Commit(t.Context(), op)
	}
	_, err = commit(disk, "old")
	ok(t, err)
	dying := fault.Wrap(disk)
	dying.On(fault.PutIfAbsent, commitlog.Prefix).Nth(2).Crash(fault.Before)
	r, err := commit(dying, "new")
	if err == nil {
		t.Fatal("it survived its crash")
	}
	return dir, r.Operation
}

// files are the names and contents below a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		out[path] = string(raw)
		return err
	}))
	return out
}

// Looking at a root writes nothing, and its exit code says what there is to do.
func TestPlanOfARoot(t *testing.T) {
	contract.Row(t, 101, 132)
	dir, op := half(t)
	before := files(t, dir)
	var plans []planned
	out, code := inProcess(t, "plan", "--root", "file://"+dir, "--end-epochs", "-o", "json")
	ok(t, json.NewDecoder(strings.NewReader(out)).Decode(&plans))
	if code != exitPlanned || len(plans) != 1 || plans[0].Operation != string(op) || plans[0].Disposition != "NeedsCompensation" ||
		!strings.HasPrefix(plans[0].PlanHash, "sha256:") || len(plans[0].Tables) != 2 || !strings.HasPrefix(plans[0].Tables[0].Restores, "1-") {
		t.Errorf("code %d: %s", code, out)
	}
	if out, code := inProcess(t, "plan", "--root", "file://"+dir, "--end-epochs"); code != exitPlanned || !strings.Contains(out, plans[0].PlanHash) {
		t.Errorf("code %d: %s", code, out)
	}
	if out, code := inProcess(t, "plan", "--root", "file://"+dir); code != 0 || !strings.Contains(out, "WriterLive") { // its writer may live
		t.Errorf("code %d: %s", code, out)
	}
	after := files(t, dir)
	if len(after) != len(before) {
		t.Errorf("%d files, were %d", len(after), len(before))
	}
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s was changed", name)
		}
	}
	ok(t, os.WriteFile(filepath.Join(dir, "recovery", "RUBBISH"), []byte("?"), 0o644))
	ok(t, os.Remove(filepath.Join(dir, "recovery", string(op))))
	if out, code := inProcess(t, "plan", "--root", "file://"+dir); code != exitBad || !strings.Contains(out, "Blocked") {
		t.Errorf("code %d: %s", code, out)
	}
	ok(t, os.Remove(filepath.Join(dir, "recovery", "RUBBISH")))
	if out, code := inProcess(t, "plan", "--root", "file://"+dir); code != 0 || out != "nothing is pending\n" {
		t.Errorf("code %d: %s", code, out)
	}
}

// The commands that an engineer runs at night, against a real API server.
func TestPlanAndApprove(t *testing.T) {
	contract.Row(t, 132)
	c, _ := operatorServer(t)
	hash, other := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	rsc := &v1alpha1.RecoverySidecar{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "orders-x"},
		Spec:       v1alpha1.RecoverySidecarSpec{StoreRef: v1alpha1.LocalReference{Name: "orders"}, Key: "recovery/01JX", OperationID: "01JX"},
	}
	ok(t, c.Create(t.Context(), rsc))
	status := func(f func(*v1alpha1.RecoverySidecarStatus)) {
		t.Helper()
		ok(t, c.Get(t.Context(), client.ObjectKeyFromObject(rsc), rsc))
		f(&rsc.Status)
		rsc.Status.ObservedGeneration = rsc.Generation
		ok(t, c.Status().Update(t.Context(), rsc))
	}
	says := func(code int, words string, args ...string) {
		t.Helper()
		out, got := inProcess(t, args...)
		if got != code || !strings.Contains(out, words) {
			t.Errorf("%v: code %d, want %d and %q in:\n%s", args, got, code, words, out)
		}
	}
	says(exitBad, "Unknown", "plan") // nobody has looked yet
	says(exitBad, "has no plan to approve", "approve", "orders-x", "--plan-hash", hash)
	status(func(st *v1alpha1.RecoverySidecarStatus) {
		st.Disposition, st.Decision, st.Reason, st.Message = "NeedsCompensation", "RollBack", "VisibleEffects", "readers can see it"
		st.Plan = &v1alpha1.PlanStatus{Hash: hash, TableCount: 1, Tables: []v1alpha1.PlannedTableStatus{{Name: "x", Head: "2-01JX", Restores: "1-01JW"}}}
	})
	says(exitPlanned, "kubectl salvor approve -n default orders-x --plan-hash "+hash, "plan", "-n", "default", "orders-x")
	says(exitPlanned, "x: readers see 2-01JX, and will see what 1-01JW was", "plan", "-A")
	says(exitCannotRun, "no RecoverySidecar nobody in namespace default", "plan", "nobody")
	says(exitBad, "is "+hash+" by now", "approve", "orders-x", "--plan-hash", other)
	says(0, "approved by admin", "approve", "orders-x", "--plan-hash", hash)
	ok(t, c.Get(t.Context(), client.ObjectKeyFromObject(rsc), rsc))
	if a := rsc.Spec.Approval; a == nil || a.PlanHash != hash || a.Approver != "admin" {
		t.Errorf("%+v", a)
	}
	says(exitPlanned, "approved", "plan")
	says(exitBad, "is not complete after 10ms", "approve", "orders-x", "--plan-hash", hash, "--wait", "10ms")
	status(func(st *v1alpha1.RecoverySidecarStatus) {
		st.Disposition = "Clean"
		st.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionTrue, Reason: "Healed", Message: "RolledBack: done", LastTransitionTime: metav1.Now()}}
	})
	says(0, "RolledBack: done", "approve", "orders-x", "--plan-hash", hash, "--wait", "20s")
	says(0, "nothing is pending", "plan")
}
