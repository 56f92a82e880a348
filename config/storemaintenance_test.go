// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

const maintained = `
apiVersion: recovery.salvor.io/v1alpha1
kind: StoreMaintenance
metadata: {name: restart, namespace: default}
spec: {storeRef: {name: orders}, reason: database restart, until: "2030-01-01T02:00:00Z"}
`

func TestInvalidStoreMaintenancesAreRefused(t *testing.T) {
	contract.Row(t, 139, 144)
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
		{"a hook without pre", hooked(m, `[{name: a, post: {http: {port: 1}}}]`), "spec.hooks[0].pre: Required value"},
		{"a hook of no kind", hooked(m, `[{name: a, pre: {}}]`), "set exactly one of exec"},
		{"a hook of two kinds", hooked(m, `[{name: a, pre: {http: {port: 1}, exec: {command: [x]}}}]`), "set exactly one of exec"},
		{"two hooks of one name", hooked(m, `[{name: a, pre: {http: {port: 1}}}, {name: a, pre: {http: {port: 1}}}]`), "two hooks have one name"},
		{"a hook's name in capitals", hooked(m, `[{name: A, pre: {http: {port: 1}}}]`), "a hook's name is made of a-z"},
		{"a prior that nobody gets", hooked(m, `[{name: a, prior: {http: {port: 1}}, pre: {http: {port: 1}}}]`), "a hook without post has no use for it"},
		{"a prior that may fail", hooked(m, `[{name: a, prior: {http: {port: 1}, onError: Continue}, pre: {http: {port: 1}}, post: {http: {port: 1}}}]`), "what could not be read cannot be restored"},
		{"a hook without end", hooked(m, `[{name: a, pre: {http: {port: 1}, timeout: 11m}}]`), "a hook's timeout must be between 100ms and 10m"},
		{"a hook that shrugs", hooked(m, `[{name: a, pre: {http: {port: 1}, onError: Shrug}}]`), `Unsupported value: "Shrug"`},
		{"another host by path", hooked(m, `[{name: a, pre: {http: {port: 1, path: "@elsewhere/"}}}]`), "the host is always the pod's own"},
		{"no port", hooked(m, `[{name: a, pre: {http: {port: 0}}}]`), "should be greater than or equal to 1"},
		{"another scheme", hooked(m, `[{name: a, pre: {http: {port: 1, scheme: gopher}}}]`), `Unsupported value: "gopher"`},
		{"a method that only asks", hooked(m, `[{name: a, pre: {http: {port: 1, method: TRACE}}}]`), `Unsupported value: "TRACE"`},
		{"a header that the request sets", hooked(m, `[{name: a, pre: {http: {port: 1, header: {name: Host, secretName: s, key: k}}}}]`), "is none that the request itself sets"},
		{"no command", hooked(m, `[{name: a, pre: {exec: {command: []}}}]`), "should have at least 1 items"},
		{"a long body", hooked(m, `[{name: a, pre: {http: {port: 1, body: "`+strings.Repeat("a", 4097)+`"}}}]`), "Too long: may not be more than 4096"},
		{"nine hooks", m.with("spec.hooks", nine()), "must have at most 8 items"},
		{"an unknown choice", m.with("spec.drain", map[string]any{"onTimeout": "Shrug"}), `Unsupported value: "Shrug"`},
	} {
		t.Run(c.name, func(t *testing.T) { refuses(t, s.create(t.Context(), c.o, client.DryRunAll), c.says) })
	}
}

// hooked is a maintenance with hooks.
func hooked(m object, hooks string) object {
	var o struct{ Hooks []any }
	if err := yaml.Unmarshal([]byte("hooks: "+hooks), &o); err != nil {
		panic(err)
	}
	return m.with("spec.hooks", o.Hooks)
}

func nine() (out []any) {
	for i := range 9 {
		out = append(out, map[string]any{"name": fmt.Sprint("h", i), "pre": map[string]any{"exec": map[string]any{"command": []any{"x"}}}})
	}
	return out
}

// Hooks take what they are documented to take, with defaults, and stay what they are; so
// does the record of what they did.
func TestHooksStayWhatTheyAre(t *testing.T) {
	contract.Row(t, 139, 144)
	s := server(t)
	ns := s.namespace(t, nil)
	m := hooked(parse(t, maintained).with("metadata.namespace", ns), `
- name: read-only
  prior: {exec: {container: postgres, command: [/hooks/prior]}}
  pre: {exec: {container: postgres, command: [/hooks/pre]}, timeout: 90s}
  post: {exec: {container: postgres, command: [/hooks/post]}}
- name: pause
  pre: {http: {port: 8080, path: "/admin/pause?for=1h", header: {name: Authorization, secretName: admin, key: token}}, onError: Continue}
  post: {http: {scheme: https, port: 8443, path: /admin/resume, method: PUT, body: "{}"}, onError: Continue}`)
	if err := s.create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var stored v1alpha1.StoreMaintenance
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "restart"}, &stored); err != nil {
		t.Fatal(err)
	}
	pause := stored.Spec.Hooks[1].Pre
	if p := stored.Spec.Hooks[0]; p.Post.Timeout.Duration != v1alpha1.DefaultHookTimeout || p.Pre.OnError != v1alpha1.HookFail || pause.HTTP.Method != "POST" || pause.HTTP.Scheme != "http" {
		t.Errorf("%+v", stored.Spec.Hooks)
	}
	for name, patch := range map[string]string{
		"none any more":    `[{"op":"remove","path":"/spec/hooks"}]`,
		"one less":         `[{"op":"remove","path":"/spec/hooks/1"}]`,
		"the other order":  `[{"op":"move","from":"/spec/hooks/1","path":"/spec/hooks/0"}]`,
		"another command":  `[{"op":"replace","path":"/spec/hooks/0/post/exec/command/0","value":"/bin/true"}]`,
		"another patience": `[{"op":"replace","path":"/spec/hooks/0/pre/timeout","value":"91s"}]`,
	} {
		if out, err := s.kubectl(t, "", "patch", "smt", "restart", "-n", ns, "--type=json", "-p", patch); err == nil || !strings.Contains(out, "all but until is immutable") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	run := object{
		"apiVersion": "recovery.salvor.io/v1alpha1", "kind": v1alpha1.KindHookRun, "metadata": map[string]any{"name": "orders", "namespace": ns},
		"spec": map[string]any{"storeRef": map[string]any{"name": "orders"}, "maintenance": map[string]any{"name": "restart", "uid": "u"}, "hooks": object(m)["spec"].(map[string]any)["hooks"]},
	}
	if err := s.create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	out, err := s.kubectl(t, "", "patch", "hkr", "orders", "-n", ns, "--type=merge", "-p", `{"spec":{"hooks":[{"name":"x","pre":{"exec":{"command":["x"]}}}]}}`)
	if err == nil || !strings.Contains(out, "a HookRun is the operator's record and never changes") {
		t.Errorf("%v: %s", err, out)
	}
	wantLine(t, s.mustKubectl(t, "", "get", "salvor", "-n", ns), "hookrun.recovery.salvor.io/orders restart")
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
