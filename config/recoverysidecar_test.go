// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/test/contract"
)

const sidecar = `
apiVersion: recovery.salvor.io/v1alpha1
kind: RecoverySidecar
metadata: {name: orders-01jx-0a1b2c3d, namespace: default}
spec: {storeRef: {name: orders}, key: recovery/01JXAMPLE, operationID: 01JXAMPLE}
`

func TestInvalidRecoverySidecarsAreRefused(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	r := parse(t, sidecar)
	const key = "the key must be recovery/ and the rest of the object's name"
	for _, c := range []struct {
		name string
		o    object
		says string
	}{
		{"no store", r.with("spec.storeRef", nil), "spec.storeRef: Required value"},
		{"no key", r.with("spec.key", nil).with("spec.operationID", nil), "spec.key: Required value"},
		{"a key elsewhere", r.with("spec.key", "manifest/00000000000000000001").with("spec.operationID", nil), key},
		{"a key with a space", r.with("spec.key", "recovery/a b").with("spec.operationID", nil), key},
		{"a key without a name", r.with("spec.key", "recovery/").with("spec.operationID", nil), "should be at least 10 chars long"},
		{"an operation that is not the key's", r.with("spec.operationID", "01JOTHER"), "operationID must be what follows recovery/ in key"},
		{"an operation with a dot", r.with("spec.key", "recovery/a.b").with("spec.operationID", "a.b"), "spec.operationID in body should match"},
		{"a long operation", r.with("spec.key", "recovery/"+strings.Repeat("a", 65)).with("spec.operationID", strings.Repeat("a", 65)), "Too long: may not be more than 64"},
	} {
		t.Run(c.name, func(t *testing.T) { refuses(t, s.create(t.Context(), c.o, client.DryRunAll), c.says) })
	}
}

// Any object under recovery/ gets its resource, whatever it is called.
func TestAnyListedKeyGetsARecoverySidecar(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	r := parse(t, sidecar)
	for name, o := range map[string]object{
		"an operation":             r,
		"no operation's name":      r.with("spec.key", "recovery/not.an.operation").with("spec.operationID", nil),
		"a name with folders":      r.with("spec.key", "recovery/a/b").with("spec.operationID", nil),
		"the longest name":         r.with("spec.key", "recovery/"+strings.Repeat("a", 503)).with("spec.operationID", nil),
		"the longest operation id": r.with("spec.key", "recovery/"+strings.Repeat("a", 64)).with("spec.operationID", strings.Repeat("a", 64)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.create(t.Context(), o, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}
