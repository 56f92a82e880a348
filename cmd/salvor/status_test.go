// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

// statusNow is when the tables below look.
var statusNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// looked builds what is seen of a store from a sentence of changes.
func looked(changes ...func(*seenStore)) seenStore {
	s := seenStore{store: v1alpha1.WALStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ledger", Generation: 3},
		Status: v1alpha1.WALStoreStatus{
			ObservedGeneration: 3, Root: &v1alpha1.RootStatus{UID: "6f2c", ManifestVersion: 42},
			Writers: &v1alpha1.WritersStatus{Expected: 2, Streaming: 2, Summary: "2/2"},
		},
	}}
	condition("Ready", "True", "Healthy", "the root is ours")(&s)
	for _, f := range changes {
		f(&s)
	}
	return s
}

func minutesAgo(minutes int) metav1.Time {
	return metav1.NewTime(statusNow.Add(-time.Duration(minutes) * time.Minute))
}

// condition sets a condition of the store, as it is since five minutes.
func condition(t, status, reason, message string) func(*seenStore) {
	return func(s *seenStore) {
		c := metav1.Condition{Type: t, Status: metav1.ConditionStatus(status), Reason: reason, Message: message, LastTransitionTime: minutesAgo(5)}
		for i := range s.store.Status.Conditions {
			if s.store.Status.Conditions[i].Type == t {
				s.store.Status.Conditions[i] = c
				return
			}
		}
		s.store.Status.Conditions = append(s.store.Status.Conditions, c)
	}
}

// pends adds an operation, of which these conditions are True, since so many minutes.
func pends(name string, minutes int, conditions ...string) func(*seenStore) {
	return func(s *seenStore) {
		rsc := v1alpha1.RecoverySidecar{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: minutesAgo(minutes)},
			Spec:       v1alpha1.RecoverySidecarSpec{OperationID: "OP-" + name},
			Status:     v1alpha1.RecoverySidecarStatus{Decision: "RollBack", Reason: "VisibleEffects", Message: "readers can see it", Writer: &v1alpha1.WriterStatus{ID: "ledger-1"}},
		}
		for _, c := range conditions {
			rsc.Status.Conditions = append(rsc.Status.Conditions, metav1.Condition{Type: c, Status: metav1.ConditionTrue})
		}
		s.sidecars = append(s.sidecars, rsc)
	}
}

// locked is a lock of the maintenance "restart", whose pods are in this state.
func locked(mode string, minutesLeft int, pods ...v1alpha1.MaintainedPod) func(*seenStore) {
	return func(s *seenStore) {
		s.store.Status.Lock = &v1alpha1.LockStatus{
			Owner: "maintenance/restart/U1", Mode: mode, Reason: "database restart", Since: minutesAgo(7), Until: minutesAgo(-minutesLeft), Version: 40,
		}
		s.maintenances = append(s.maintenances, v1alpha1.StoreMaintenance{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "restart", UID: types.UID("U1"), Annotations: map[string]string{v1alpha1.AnnotationAskedBy: "ada"}},
			Status:     v1alpha1.StoreMaintenanceStatus{Stores: []v1alpha1.MaintainedStore{{Name: "ledger", Pods: pods}}},
		})
	}
}

func paused(minutesLeft int) func(*seenStore) {
	return func(s *seenStore) {
		s.store.Spec.Suspend = &v1alpha1.Suspension{By: "ada", Reason: "the root moves", Until: minutesAgo(-minutesLeft)}
		if minutesLeft > 0 {
			condition("Ready", "False", "Suspended", "suspended by ada")(s)
		}
	}
}

// The specification of salvor status, line by line.
func TestStatusOfAStore(t *testing.T) {
	contract.Row(t, 148)
	unseen := func(s *seenStore) { s.store.Status.Conditions = nil }
	behind := func(s *seenStore) { s.store.Generation = 4 }
	for _, c := range []struct {
		name   string
		seen   seenStore
		want   standing
		code   int
		next   string
		oldest string
	}{
		{"healthy", looked(), standsReady, 0, "nothing to do", ""},
		{"nobody has looked", looked(unseen), standsUnknown, 10, "see whether the operator runs", ""},
		{"the newest spec was not seen", looked(behind), standsUnknown, 10, "see whether the operator runs", ""},
		{"the root does not answer", looked(condition("Ready", "False", "RootUnreachable", "no route")), standsNotReady, 10, "Check spec.root.endpoint", "not Ready (RootUnreachable) 300"},
		{"the root is another's", looked(condition("Ready", "False", "RootClaimedByAnother", "m"), condition("Stalled", "True", "RootClaimedByAnother", "m")), standsStalled, 12, "Give this WALStore a root of its own", "Stalled (RootClaimedByAnother) 300"},
		{"recovering", looked(condition("Recovering", "True", "OperationsPending", "1"), pends("a", 1)), standsRecovering, 10, "nothing to do: the operator is at work", "Recovering (OperationsPending) 300"},
		{"recovering for long", looked(pends("a", 30)), standsRecovering, 10, "it takes long: kubectl describe rsc -n shop a", "operation OP-a 1800"},
		{"a finished operation", looked(pends("a", 30, "Complete")), standsReady, 0, "nothing to do", ""},
		{"needs approval", looked(pends("a", 3, "NeedsApproval"), condition("Ready", "False", "ApprovalPending", "m"), condition("Stalled", "True", "ApprovalPending", "m")), standsApproval, 12, "kubectl salvor plan -n shop a", "Stalled (ApprovalPending) 300"},
		{"stalled and needs approval", looked(pends("a", 3, "NeedsApproval"), pends("b", 2, "Stalled")), standsStalled, 12, "kubectl describe rsc -n shop b: readers can see it", "operation OP-a 180"},
		{"poisoned", looked(condition("Poisoned", "True", "LogPoisoned", "pod ledger-1: EIO"), condition("Ready", "False", "LogPoisoned", "m"), condition("Stalled", "True", "LogPoisoned", "m")), standsPoisoned, 12, "Look at the disk of the pod", ""},
		{"isolated", looked(condition("Isolated", "True", "ManyStreamsLost", "m"), condition("Ready", "False", "ManyStreamsLost", "m")), standsIsolated, 10, "Check the operator's own network", ""},
		{"frozen", looked(locked("Frozen", 20)), standsFrozen, 11, "nothing until 2026-11-23T12:20:00Z, then it thaws by itself; when the work is done: kubectl salvor thaw -n shop ledger", "write lock of maintenance/restart/U1 420"},
		{"frozen for too long", looked(locked("Frozen", -1)), standsFrozen, 11, "whoever publishes next ends the lock", ""},
		{"draining", looked(locked("Draining", 20, v1alpha1.MaintainedPod{Name: "ledger-1", WaitsFor: "2 transactions in flight"}, v1alpha1.MaintainedPod{Name: "ledger-0", Acknowledged: true})),
			standsDraining, 11, "wait for ledger-1 (2 transactions in flight); to give up: kubectl salvor thaw -n shop ledger", ""},
		{"suspended", looked(paused(60)), standsSuspended, 10, "nothing until 2026-11-23T13:00:00Z, then the operator goes on by itself; when the work is done: kubectl salvor resume -n shop ledger", ""},
		{"a suspension that is over", looked(paused(-1)), standsReady, 0, "nothing to do", ""},

		// The worst wins: 12, 11, 10.
		{"frozen and suspended", looked(locked("Frozen", 20), paused(60)), standsFrozen, 11, "thaw", ""},
		{"frozen and recovering", looked(locked("Frozen", 20), pends("a", 1)), standsFrozen, 11, "thaw", ""},
		{"frozen and its root does not answer", looked(locked("Frozen", 20), condition("Ready", "False", "RootUnreachable", "no route")), standsFrozen, 11, "thaw", ""},
		{"frozen and needs approval", looked(locked("Frozen", 20), pends("a", 1, "NeedsApproval")), standsApproval, 12, "salvor plan", ""},
		{"suspended and poisoned", looked(paused(60), condition("Poisoned", "True", "LogPoisoned", "m")), standsPoisoned, 12, "disk", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := judge(c.seen, statusNow)
			if got.Standing != c.want || got.ExitCode != c.code || !strings.Contains(got.Next, c.next) || got.Message == "" || got.Reason == "" {
				t.Errorf("%+v", got)
			}
			oldest := ""
			if got.Oldest != nil {
				oldest = fmt.Sprintf("%s %d", got.Oldest.What, got.Oldest.AgeSeconds)
			}
			if c.oldest != "" && !strings.HasPrefix(oldest, c.oldest) || c.code == 0 && oldest != "" {
				t.Errorf("the oldest is %q, want %q", oldest, c.oldest)
			}
		})
	}
}

// Every combination: somebody speaks, the code is that of the worst, and a store is
// healthy only when nothing at all is wrong.
func TestStatusIsTotal(t *testing.T) {
	contract.Row(t, 148)
	parts := []struct {
		f    func(*seenStore)
		code int
	}{
		{condition("Poisoned", "True", "LogPoisoned", "m"), 12}, {pends("a", 1, "Stalled"), 12}, {pends("b", 1, "NeedsApproval"), 12},
		{locked("Frozen", 5), 11}, {paused(5), 10}, {condition("Isolated", "True", "ManyStreamsLost", "m"), 10},
		{condition("Ready", "False", "RootUnreachable", "m"), 10}, {pends("c", 1), 10},
	}
	for bits := range 1 << len(parts) {
		s, want := looked(), 0
		for i, p := range parts {
			if bits&(1<<i) != 0 {
				p.f(&s)
				want = max(want, p.code)
			}
		}
		got := judge(s, statusNow)
		if got.ExitCode != want || got.Next == "" || got.Standing.exitCode() != got.ExitCode || rank(got.Standing) < 0 {
			t.Fatalf("%b: want %d: %+v", bits, want, got)
		}
		code, next := worstOf([]storeStatus{judge(looked(), statusNow), got})
		if code != want || want > 0 && next != "shop/ledger: "+got.Next {
			t.Fatalf("%b: beside a healthy one: %d %q", bits, code, next)
		}
	}
}

// The JSON is what scripts read: UPDATE=1 writes the file anew, and a changed name in
// it is a change for everybody.
func TestStatusJSONIsStable(t *testing.T) {
	contract.Row(t, 148)
	position := int64(128)
	full := looked(locked("Draining", 20, v1alpha1.MaintainedPod{Name: "ledger-0", Acknowledged: true, Position: &position}, v1alpha1.MaintainedPod{Name: "ledger-1", WaitsFor: "2 transactions in flight"}),
		paused(60), pends("ledger-op-1", 30, "NeedsApproval"), pends("ledger-op-2", 2), condition("Recovering", "True", "OperationsPending", "2 operations pend"))
	full.pods = []podStatus{{Name: "ledger-1", Restarts: 2, Unknown: "it does not answer"}, {Name: "ledger-0", Ready: true, State: "Draining"}}
	told := fleetStatus{Stores: []storeStatus{judge(looked(), statusNow), judge(full, statusNow)}}
	told.ExitCode, told.Next = worstOf(told.Stores)
	var out bytes.Buffer
	ok(t, (&rootFlags{output: "json"}).print(&out, told, nil))
	golden := filepath.Join("testdata", "status.json")
	if os.Getenv("UPDATE") == "1" {
		ok(t, os.MkdirAll("testdata", 0o755))
		ok(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	ok(t, err)
	if out.String() != string(want) {
		t.Errorf("the JSON is another than %s:\n%s", golden, out.String())
	}
	out.Reset()
	tellStatus(&out, told)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; last != "Next step: shop/ledger: kubectl salvor plan -n shop ledger-op-1, and approve what you have looked at" {
		t.Errorf("the last line is %q", last)
	}
	for _, words := range []string{"by ada (maintenance/restart/U1)", "suspended  by ada until 2026-11-23T13:00:00Z: the root moves", "ledger-op-1 for 30m0s",
		"ledger-0 ready, Draining, log durable up to 128", "ledger-1 not ready, 2 restarts, position unknown: it does not answer", "oldest     operation OP-ledger-op-1, for 30m0s"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("no %q in\n%s", words, out.String())
		}
	}
}

// A pod is asked through the API server; who cannot be asked says why.
func TestPodsAreAskedForTheirPositions(t *testing.T) {
	contract.Row(t, 148)
	answers := map[string]func(http.ResponseWriter){
		"a": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"writer":"a","state":"Serving","durable":7,"published":5}`))
		},
		"forbidden": func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
		"dead":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"another":   func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"writer":"b"}`)) },
		"rubbish":   func(w http.ResponseWriter) { _, _ = w.Write([]byte(`<html>`)) },
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/shop/pods/"), ":8411/proxy/control/v1/status")
		answers[name](w)
	}))
	defer api.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	ok(t, os.WriteFile(kubeconfig, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],"users":[{"name":"x","user":{}}],"clusters":[{"name":"x","cluster":{"server":"`+api.URL+`"}}]}`), 0o600))
	s := looked()
	for name := range answers {
		s.pods = append(s.pods, podStatus{Name: name})
	}
	stores := []seenStore{s}
	(&clusterFlags{kubeconfig: kubeconfig}).positions(t.Context(), stores)
	why := map[string]string{"forbidden": "it takes the right to get pods/proxy", "dead": "HTTP 503", "another": "it says that it is writer b", "rubbish": "not one of the control protocol"}
	for _, p := range stores[0].pods {
		if p.Name == "a" {
			if p.Position == nil || *p.Position != 7 || *p.Published != 5 || p.State != "Serving" || p.Unknown != "" {
				t.Errorf("%+v", p)
			}
		} else if p.Position != nil || !strings.Contains(p.Unknown, why[p.Name]) {
			t.Errorf("%s: %+v", p.Name, p)
		}
	}
}
