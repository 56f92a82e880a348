// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/salvor-io/salvor/api/v1alpha1"
	recoveryac "github.com/salvor-io/salvor/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

// condition as an operator applies it.
func condition(typ, status, reason string) *metaac.ConditionApplyConfiguration {
	return metaac.Condition().WithType(typ).WithStatus(metav1.ConditionStatus(status)).WithReason(reason).
		WithMessage("").WithLastTransitionTime(metav1.NewTime(time.Unix(1, 0)))
}

// applyStatus is one server-side apply of status, as the operator does it.
func (s *apiServer) applyStatus(t *testing.T, owner string, o any) {
	t.Helper()
	var err error
	switch c := o.(type) {
	case *recoveryac.WALStoreApplyConfiguration:
		err = s.Status().Apply(t.Context(), c, client.FieldOwner(owner), client.ForceOwnership)
	case *recoveryac.RecoverySidecarApplyConfiguration:
		err = s.Status().Apply(t.Context(), c, client.FieldOwner(owner), client.ForceOwnership)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// `kubectl get salvor` shows every kind, and in each the columns from which a
// person sees whether it is safe.
func TestKubectlGetSalvorAnswersIsItSafe(t *testing.T) {
	contract.Row(t, 145)
	s := server(t)
	ns := s.namespace(t, nil)
	store := parse(t, adopted).with("metadata.namespace", ns).unstructured()
	rsc := parse(t, sidecar).with("metadata.namespace", ns).unstructured()
	if err := s.Create(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), rsc); err != nil {
		t.Fatal(err)
	}

	out := s.mustKubectl(t, "", "get", "salvor", "-n", ns, "--no-headers=false")
	wantLine(t, out, "NAME READY REASON PENDING WRITERS MANIFEST AGE")
	wantLine(t, out, "NAME STORE WRITER PHASE DECISION COMPLETE AGE")

	s.applyStatus(t, "salvor-operator", recoveryac.WALStore("orders", ns).WithStatus(recoveryac.WALStoreStatus().
		WithConditions(condition("Ready", "False", "ApprovalPending"), condition("Recovering", "True", "OperationsPending"),
			condition("Stalled", "True", "ApprovalPending"), condition("Isolated", "False", "StreamsHealthy")).
		WithPendingSidecars(2).
		WithWriters(recoveryac.WritersStatus().WithExpected(3).WithStreaming(2).WithSummary("2/3")).
		WithRoot(recoveryac.RootStatus().WithUID("6f2c").WithManifestVersion(42))))
	s.applyStatus(t, "salvor-operator", recoveryac.RecoverySidecar("orders-01jx-0a1b2c3d", ns).WithStatus(recoveryac.RecoverySidecarStatus().
		WithConditions(condition("Complete", "True", "Healed"), condition("NeedsApproval", "False", "NotNeeded"), condition("Stalled", "False", "Settled")).
		WithPhase("Confirmed").WithDecision("RollForward").WithReason("Confirmed").
		WithWriter(recoveryac.WriterStatus().WithID("orders-1").WithEpoch(4)).
		WithOutcome(recoveryac.OutcomeStatus().WithKind("publish").WithManifestVersion(43).WithPublishedBy("recovery")).
		WithAudit(recoveryac.AuditRowStatus().WithID(7))))

	out = s.mustKubectl(t, "", "get", "salvor", "-n", ns)
	wantLine(t, out, "walstore.recovery.salvor.io/orders False ApprovalPending 2 2/3 42")
	wantLine(t, out, "recoverysidecar.recovery.salvor.io/orders-01jx-0a1b2c3d orders orders-1 Confirmed RollForward True")
	out = s.mustKubectl(t, "", "get", "wals,rsc", "-n", ns, "-o", "wide")
	wantLine(t, out, "NAME READY REASON PENDING WRITERS MANIFEST AGE RECOVERING STALLED ISOLATED SUSPENDED-UNTIL SUSPENDED-BY ROOT")
	wantLine(t, out, "NAME STORE WRITER PHASE DECISION COMPLETE AGE REASON NEEDS-APPROVAL STALLED OUTCOME BY MANIFEST ROW")
	wantLine(t, out, "True True False s3://stores/orders")
	wantLine(t, out, "Confirmed False False publish recovery 43 7")
}

// wantLine looks for words in one line, whatever the space between them.
func wantLine(t *testing.T, out, words string) {
	t.Helper()
	for line := range strings.Lines(out) {
		if strings.Contains(strings.Join(strings.Fields(line), " "), words) {
			return
		}
	}
	t.Errorf("no line has %q:\n%s", words, out)
}

// The API server itself selects a store's RecoverySidecars.
func TestRecoverySidecarsAreSelectedByStore(t *testing.T) {
	contract.Row(t, 145)
	s := server(t)
	ns := s.namespace(t, nil)
	for name, store := range map[string]string{"a": "orders", "b": "ledger", "c": "orders"} {
		o := parse(t, sidecar).with("metadata.name", name).with("metadata.namespace", ns).with("spec.storeRef.name", store)
		if err := s.create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	out := s.mustKubectl(t, "", "get", "rsc", "-n", ns, "-o", "name", "--field-selector", "spec.storeRef.name=orders")
	if got, want := strings.Fields(out), []string{"recoverysidecar.recovery.salvor.io/a", "recoverysidecar.recovery.salvor.io/c"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Conditions are a map by type: who applies some of them leaves the others alone.
func TestConditionsAreAMap(t *testing.T) {
	contract.Row(t, 145)
	s := server(t)
	ns := s.namespace(t, nil)
	o := parse(t, adopted).with("metadata.namespace", ns)
	if err := s.create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	first := recoveryac.WALStoreStatus()
	for _, c := range v1alpha1.WALStoreConditions {
		first.WithConditions(condition(c, "Unknown", v1alpha1.ReasonNotObserved))
	}
	s.applyStatus(t, "salvor-operator", recoveryac.WALStore("orders", ns).WithStatus(first))
	s.applyStatus(t, "somebody-else", recoveryac.WALStore("orders", ns).WithStatus(
		recoveryac.WALStoreStatus().WithConditions(condition("Theirs", "True", "Because"))))
	var store v1alpha1.WALStore
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "orders"}, &store); err != nil {
		t.Fatal(err)
	}
	if len(store.Status.Conditions) != len(v1alpha1.WALStoreConditions)+1 {
		t.Errorf("got %d conditions, want %d and one of somebody else: %+v", len(store.Status.Conditions), len(v1alpha1.WALStoreConditions), store.Status.Conditions)
	}
}

// A definition of more than 262,144 bytes could not be applied by plain kubectl,
// which keeps the last applied text in an annotation. 200 KB leave room.
func TestDefinitionsStaySmall(t *testing.T) {
	contract.Row(t, 144)
	files, err := filepath.Glob(filepath.Join("crd", "bases", "*.yaml"))
	if err != nil || len(files) != 4 {
		t.Fatalf("found %v, %v; want a file for each of four kinds", files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := yaml.YAMLToJSON(raw)
		if err != nil {
			t.Fatal(err)
		}
		if n := max(len(raw), len(asJSON)); n > 200_000 {
			t.Errorf("%s has %d bytes, at most 200,000 are allowed", f, n)
		}
		if strings.Contains(string(raw), "finalizer") {
			t.Errorf("%s speaks of a finalizer", f)
		}
	}
}
