// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/salvor-io/salvor/test/contract"
)

const planA, planB = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

func approval(hash, approver string) string {
	return fmt.Sprintf(`{"spec":{"approval":{"planHash":%q,"approver":%q}}}`, hash, approver)
}

// An approval takes a right of its own, and is given in one's own name: asked of the
// API server with its real authorization, by users who have all other rights.
func TestWhoMayApprove(t *testing.T) {
	contract.Row(t, 132)
	s := server(t)
	s.mustKubectl(t, s.build(t, "default"), "apply", "--server-side", "-f", "-")
	ns := s.namespace(t, nil)
	s.bind(t, ns, "salvor-approver", "ada")
	s.bind(t, ns, "salvor-editor", "ed")
	s.mustKubectl(t, "", "create", "role", "-n", ns, "patcher", "--verb=get,patch,update", "--resource=recoverysidecars.recovery.salvor.io")
	s.mustKubectl(t, "", "create", "rolebinding", "-n", ns, "patchers", "--role=patcher", "--user=mallory", "--user=ed")

	const name = "orders-01jx-0a1b2c3d"
	o := parse(t, sidecar).with("metadata.namespace", ns)
	s.mustKubectl(t, asYAML(t, o), "create", "-f", "-")
	patch := func(user, body string) (string, error) {
		return s.kubectl(t, "", "patch", "rsc", name, "-n", ns, "--as", user, "--type=merge", "-p", body)
	}
	// The API server takes its policies up some time after they are made.
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := s.kubectl(t, "", "patch", "rsc", name, "-n", ns, "--as", "mallory", "--type=merge", "--dry-run=server", "-p", approval(planA, "mallory"))
		if err != nil && strings.Contains(out, "ValidatingAdmissionPolicy") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no policy after a minute: %v %s", err, out)
		}
	}
	for _, c := range []struct {
		name, user, body string
		says             string // empty: it is taken
	}{
		{"who may patch and not approve", "mallory", approval(planA, "mallory"), "mallory may not approve: it takes the verb approve on recoverysidecars in namespace " + ns},
		{"in the name of one who may", "mallory", approval(planA, "ada"), "mallory may not approve"},
		{"who may approve, in another's name", "ada", approval(planA, "ed"), "spec.approval.approver must be who approves: ada"},
		{"no hash", "ada", approval("", "ada"), "spec.approval.planHash in body should match"},
		{"another object", "ada", `{"spec":{"key":"recovery/01JOTHER","operationID":"01JOTHER"}}`, "all but the approval of a RecoverySidecar's spec is immutable"},
		{"who may approve", "ada", approval(planA, "ada"), ""},
		{"another plan by one who may not", "mallory", approval(planB, "ada"), "mallory may not approve"},
		{"taken back by one who may not", "mallory", `{"spec":{"approval":null}}`, "mallory may not approve"},
		{"something else by one who may not", "mallory", `{"metadata":{"labels":{"seen":"yes"}}}`, ""},
		{"another plan", "ada", approval(planB, "ada"), ""},
		{"taken back", "ada", `{"spec":{"approval":null}}`, ""},
	} {
		out, err := patch(c.user, c.body)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %s", c.name, out)
		case c.says != "" && (err == nil || !strings.Contains(out, c.says)):
			t.Errorf("%s: %v, want %q in:\n%s", c.name, err, c.says, out)
		}
	}
	approved := o.with("metadata.name", "made-approved").with("spec.approval", map[string]any{"planHash": planA, "approver": "ed"})
	if out, err := s.kubectl(t, asYAML(t, approved), "create", "--as", "ed", "-f", "-"); err == nil || !strings.Contains(out, "ed may not approve") {
		t.Errorf("made with its approval by one who may not: %v %s", err, out)
	}
	if out, err := s.kubectl(t, asYAML(t, o.with("metadata.name", "made-by-hand")), "create", "--as", "ed", "-f", "-"); err != nil {
		t.Errorf("made without one: %s", out)
	}
}

func asYAML(t *testing.T, o object) string {
	t.Helper()
	raw, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
