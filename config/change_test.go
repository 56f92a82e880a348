// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/test/contract"
)

// update sets a field of a stored object; nil takes it away.
func (s *apiServer) update(t *testing.T, o *unstructured.Unstructured, path string, value any) error {
	t.Helper()
	now := object(o.Object).unstructured()
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(o), now); err != nil {
		t.Fatal(err)
	}
	return s.Update(t.Context(), object(now.Object).with(path, value).unstructured())
}

func (s *apiServer) stored(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := parse(t, text).unstructured()
	u.SetNamespace(s.namespace(t, nil))
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

func accepts(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("refused: %v", err)
	}
}

// A root may be corrected until it is claimed, and never again.
func TestRootIsImmutableOnceClaimed(t *testing.T) {
	contract.Row(t, 144, 162)
	s := server(t)
	o := s.stored(t, adopted)
	accepts(t, s.update(t, o, "spec.root.uri", "s3://stores/corrected"))

	if err := s.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	claimed := object(o.Object).with("status.root.uid", "6f2c").unstructured()
	if err := s.Status().Update(t.Context(), claimed); err != nil {
		t.Fatal(err)
	}
	refuses(t, s.update(t, o, "spec.root.uri", "s3://stores/moved"), "spec.root.uri is immutable once the root is claimed")
	accepts(t, s.update(t, o, "spec.root.endpoint", "https://moved.example.net"))
	accepts(t, s.update(t, o, "spec.suspend", pause("admin", "the root moves", "2030-01-01T00:00:00Z")))
}

// What a managed store is made of does not change under its pods.
func TestManagedStoreChanges(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	o := s.stored(t, managed)
	const (
		storage = "storage is immutable"
		who     = "who runs the pods is decided once"
	)
	accepts(t, s.update(t, o, "spec.managed.replicas", int64(5)))
	accepts(t, s.update(t, o, "spec.managed.replicas", int64(1))) // pods that leave are drained first
	refuses(t, s.update(t, o, "spec.managed.replicas", int64(0)), "should be greater than or equal to 1")
	refuses(t, s.update(t, o, "spec.managed.drainTimeout", "0s"), "drainTimeout must be between 1s and 1h")
	accepts(t, s.update(t, o, "spec.managed.drainTimeout", "2m"))
	refuses(t, s.update(t, o, "spec.managed.storage.size", "2Gi"), storage)
	refuses(t, s.update(t, o, "spec.managed.storage.storageClassName", "fast"), storage)
	accepts(t, s.update(t, o, "spec.managed.image", "example.net/store:2"))
	accepts(t, s.update(t, o, "spec.managed.resources", map[string]any{"limits": map[string]any{"memory": "1Gi"}}))

	if err := s.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	turned := object(o.Object).with("spec.managed", nil).with("spec.workload.statefulSetName", "orders").unstructured()
	refuses(t, s.Update(t.Context(), turned), who)
	a := s.stored(t, adopted)
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
		t.Fatal(err)
	}
	turned = object(a.Object).with("spec.workload", nil).with("spec.managed", map[string]any{}).unstructured()
	refuses(t, s.Update(t.Context(), turned), who)
	accepts(t, s.update(t, a, "spec.workload.statefulSetName", "renamed"))
}

// A RecoverySidecar names one object for its whole life, and its status can be
// written without touching that.
func TestRecoverySidecarSpecIsImmutable(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	o := s.stored(t, sidecar)
	const immutable = "a RecoverySidecar's spec is immutable"
	refuses(t, s.update(t, o, "spec.storeRef.name", "other"), immutable)
	refuses(t, s.update(t, o, "spec.operationID", nil), immutable)
	accepts(t, s.update(t, o, "metadata.labels", map[string]any{"a": "b"}))
}

// Status is written by its own door: a writer of status cannot change a spec, nor
// a writer of spec a status.
func TestStatusHasADoorOfItsOwn(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	for kind, text := range map[string]string{"WALStore": adopted, "RecoverySidecar": sidecar} {
		o := s.stored(t, text)
		accepts(t, s.update(t, o, "status", map[string]any{"observedGeneration": int64(7)}))
		if err := s.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		if st, found := o.Object["status"]; found {
			t.Errorf("%s: a writer of the spec wrote status %v", kind, st)
		}
		generation := o.GetGeneration()
		o = object(o.Object).with("status.observedGeneration", int64(7)).with("spec.suspend", pause("admin", "the root moves", "2030-01-01T00:00:00Z")).unstructured()
		if err := s.Status().Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if err := s.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		if n, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); n != 7 || o.GetGeneration() != generation {
			t.Errorf("%s: observedGeneration %d, generation %d, want 7 and %d", kind, n, o.GetGeneration(), generation)
		}
	}
}
