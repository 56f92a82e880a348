// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/test/contract"
)

const maintained = `
apiVersion: recovery.salvor.io/v1alpha1
kind: StoreMaintenance
metadata: {name: restart, namespace: default}
spec: {storeRef: {name: orders}, reason: database restart, until: "2030-01-01T02:00:00Z"}
`

func TestInvalidStoreMaintenancesAreRefused(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	m := parse(t, maintained)
	for _, c := range []struct {
		name string
		o    object
		says string
	}{
		{"no store", m.with("spec.storeRef", nil), "set exactly one of storeRef"},
		{"a store and a selector", m.with("spec.selector", map[string]any{}), "set exactly one of storeRef"},
		{"no reason", m.with("spec.reason", nil), "spec.reason: Required value"},
		{"an empty reason", m.with("spec.reason", ""), "should be at least 1 chars long"},
		{"a long reason", m.with("spec.reason", strings.Repeat("a", 257)), "Too long: may not be more than 256"},
		{"no end", m.with("spec.until", nil), "spec.until: Required value"},
		{"no time", m.with("spec.until", "tomorrow"), "spec.until"},
		{"no time to drain", m.with("spec.drain", map[string]any{"timeout": "0s"}), "drain.timeout must be between 1s and 24h"},
		{"a drain without end", m.with("spec.drain", map[string]any{"timeout": "25h"}), "drain.timeout must be between 1s and 24h"},
		{"an unknown choice", m.with("spec.drain", map[string]any{"onTimeout": "Shrug"}), `Unsupported value: "Shrug"`},
	} {
		t.Run(c.name, func(t *testing.T) { refuses(t, s.create(t.Context(), c.o, client.DryRunAll), c.says) })
	}
}

// A maintenance that was made is not made into another one: its end may move to
// later, and that is all.
func TestAMaintenanceStaysWhatItIs(t *testing.T) {
	contract.Row(t, 120, 144)
	s := server(t)
	ns := s.namespace(t, nil)
	m := parse(t, maintained).with("metadata.namespace", ns)
	if err := s.create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	patch := func(spec string) error {
		_, err := s.kubectl(t, "", "patch", "smt", "restart", "-n", ns, "--type=merge", "-p", `{"spec":`+spec+`}`)
		return err
	}
	for name, spec := range map[string]string{
		"another store":             `{"storeRef":{"name":"other"}}`,
		"a selector instead":        `{"storeRef":null,"selector":{}}`,
		"another reason":            `{"reason":"x"}`,
		"an earlier end":            `{"until":"2030-01-01T01:00:00Z"}`,
		"another time to drain":     `{"drain":{"timeout":"7m"}}`,
		"another choice about it":   `{"drain":{"onTimeout":"Hold"}}`,
		"a drain that says nothing": `{"drain":null,"reason":"x"}`,
	} {
		if patch(spec) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, spec := range map[string]string{"a later end": `{"until":"2030-01-01T03:00:00Z"}`, "the same in other words": `{"drain":{"timeout":"300s"}}`} {
		if err := patch(spec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
