// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/salvor-io/salvor/test/contract"
)

// can asks the API server, as that user, whether they may.
func (s *apiServer) can(t *testing.T, user, ns, question string) bool {
	t.Helper()
	args := append([]string{"auth", "can-i", "--as", user}, strings.Fields(question)...)
	if ns != "" {
		args = append(args, "-n", ns)
	}
	out, err := s.kubectl(t, "", args...)
	switch answer := lastLine(out); {
	case answer == "yes" && err == nil:
		return true
	case answer == "no" || strings.HasPrefix(answer, "no -"):
		return false
	default:
		t.Fatalf("kubectl %v: %v: %s", args, err, out)
		return false
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func (s *apiServer) bind(t *testing.T, ns, role, user string) {
	t.Helper()
	s.mustKubectl(t, "", "create", "rolebinding", "-n", ns, fmt.Sprintf("%s-%s", role, user), "--clusterrole", role, "--user", user)
}

// The roles for people, asked of the API server by impersonation. Approving is in
// none of them but its own.
func TestRolesForPeople(t *testing.T) {
	contract.Row(t, 149)
	s := server(t)
	s.mustKubectl(t, s.build(t, "default"), "apply", "--server-side", "-f", "-")
	ns, elsewhere := s.namespace(t, nil), s.namespace(t, nil)
	for role, user := range map[string]string{"salvor-viewer": "vera", "salvor-editor": "ed", "salvor-approver": "ada", "salvor-maintainer": "mia"} {
		s.bind(t, ns, role, user)
	}
	s.bind(t, ns, "salvor-viewer", "ed")
	for _, c := range []struct {
		user, question string
		want           bool
	}{
		{"vera", "list walstores", true},
		{"vera", "watch recoverysidecars", true},
		{"vera", "create walstores", false},
		{"vera", "delete recoverysidecars", false},
		{"ed", "create walstores", true},
		{"ed", "patch walstores", true},
		{"ed", "create recoverysidecars", true},
		{"ed", "update recoverysidecars", false},
		{"ed", "patch walstores --subresource=status", false},
		{"ed", "approve recoverysidecars", false},
		{"ed", "get secrets", false},
		{"vera", "list storemaintenances", true},
		{"vera", "delete storemaintenances", false},
		{"ed", "create storemaintenances", false},
		{"mia", "create storemaintenances", true},
		{"mia", "delete storemaintenances", true},
		{"mia", "get walstores", true},
		{"mia", "patch walstores", false},
		{"mia", "approve recoverysidecars", false},
		{"mia", "patch storemaintenances --subresource=status", false},
		{"mia", "delete hookruns", true},
		{"mia", "create hookruns", false},
		{"mia", "create pods --subresource=exec", false},
		{"vera", "list hookruns", true},
		{"ed", "delete hookruns", false},
		{"ada", "approve recoverysidecars", true},
		{"ada", "get walstores", true},
		{"ada", "patch walstores", false},
	} {
		if got := s.can(t, c.user, ns, c.question); got != c.want {
			t.Errorf("%s, %s: %v, want %v", c.user, c.question, got, c.want)
		}
	}
	if s.can(t, "ed", elsewhere, "create walstores") {
		t.Error("ed may make stores in a namespace that is not his")
	}
}

// view, edit and admin grow by aggregation; approve is aggregated into nothing.
func TestAggregation(t *testing.T) {
	contract.Row(t, 149)
	s := server(t)
	all := objects(t, s.build(t, "rbac"))
	const prefix = "rbac.authorization.k8s.io/aggregate-to-"
	for role, want := range map[string][]string{
		"salvor-viewer": {"admin", "edit", "view"}, "salvor-editor": {"admin", "edit"},
		"salvor-maintainer": {"admin"}, "salvor-approver": nil, "salvor-operator": nil, "salvor-token-requester": nil, "salvor-hook-runner": nil, "salvor-node-watcher": nil, "salvor-metrics-auth": nil, "salvor-metrics-reader": nil,
	} {
		var got []string
		for label, value := range find(t, all, "ClusterRole", role).unstructured().GetLabels() {
			if into, ok := strings.CutPrefix(label, prefix); ok && value == "true" {
				got = append(got, into)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s is aggregated into %v, want %v", role, got, want)
		}
	}
}

// The operator may do what it does and no more. The e2e suite shows that what is
// granted is used; here stands what must never be granted.
func TestOperatorHasLeastPrivilege(t *testing.T) {
	contract.Row(t, 150, 163)
	s := server(t)
	text := s.build(t, "default")
	s.mustKubectl(t, text, "apply", "--server-side", "-f", "-")
	ns := s.namespace(t, nil)
	const operator = "system:serviceaccount:salvor-system:salvor-operator"
	for question, want := range map[string]bool{
		"get secrets": true, "list secrets": false, "watch secrets": false, "create secrets": false, "update secrets": false,
		"list pods": true, "create pods": false, "delete pods": false, "create pods --subresource=exec": false, "get pods --subresource=exec": false,
		"list hookruns": true, "create hookruns": true, "delete hookruns": true, "update hookruns": false, "update hookruns --subresource=status": true,
		"patch statefulsets.apps": true, "delete statefulsets.apps": false,
		"list walstores": true, "update walstores": false, "patch walstores": false, "delete walstores": false,
		"patch walstores --subresource=status": true, "patch recoverysidecars --subresource=status": true,
		"create recoverysidecars": true, "delete recoverysidecars": true, "approve recoverysidecars": false,
		"list storemaintenances": true, "create storemaintenances": false, "delete storemaintenances": false, "update storemaintenances --subresource=status": true,
		"create leases.coordination.k8s.io": false, "create events.events.k8s.io": true,
		"create serviceaccounts --subresource=token": false,
		"create poddisruptionbudgets.policy":         true, "list poddisruptionbudgets.policy": true, "delete poddisruptionbudgets.policy": false,
		"create pods --subresource=eviction": true, "update pods": false, "patch pods": false, "watch nodes": true, "patch nodes": false, "get nodes --subresource=proxy": false,
	} {
		if got := s.can(t, operator, ns, question); got != want {
			t.Errorf("the operator, %s in a tenant's namespace: %v, want %v", question, got, want)
		}
	}
	// Tokens are a namespace's to give, by the binding that its stores' conditions ask for.
	s.mustKubectl(t, "", "-n", ns, "create", "rolebinding", "salvor-token-requester", "--clusterrole", "salvor-token-requester", "--serviceaccount", "salvor-system:salvor-operator")
	const token = "create serviceaccounts --subresource=token"
	if !s.can(t, operator, ns, token) || s.can(t, operator, s.namespace(t, nil), token) {
		t.Error("the operator may not ask for tokens where it was allowed to, or may elsewhere")
	}
	// So is running commands in its pods.
	s.mustKubectl(t, "", "-n", ns, "create", "rolebinding", "salvor-hook-runner", "--clusterrole", "salvor-hook-runner", "--serviceaccount", "salvor-system:salvor-operator")
	for _, verb := range []string{"get", "create"} {
		if command := verb + " pods --subresource=exec"; !s.can(t, operator, ns, command) || s.can(t, operator, s.namespace(t, nil), command) {
			t.Errorf("the operator may not %s where it was allowed to, or may elsewhere", command)
		}
	}
	if !s.can(t, operator, "salvor-system", "create leases.coordination.k8s.io") {
		t.Error("the operator cannot make its own Lease")
	}
	for _, o := range objects(t, text) {
		if kind := o["kind"]; kind == "ClusterRole" || kind == "Role" {
			noWildcard(t, o)
		}
	}
}

func noWildcard(t *testing.T, role object) {
	t.Helper()
	rules, _, err := unstructured.NestedSlice(role, "rules")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		for key, list := range r.(map[string]any) {
			if slices.Contains(list.([]any), any("*")) {
				t.Errorf("%s grants * in %s", role.unstructured().GetName(), key)
			}
		}
	}
}

// Installed for one namespace, and for one more, the operator can read what is
// there and nothing elsewhere.
func TestNamespacedOperatorReachesItsNamespacesOnly(t *testing.T) {
	contract.Row(t, 150, 163)
	s := server(t)
	home, tenant, foreign := s.namespace(t, nil), s.namespace(t, nil), s.namespace(t, nil)
	move := func(text, to string) string {
		return strings.NewReplacer("salvor-system", home, "namespace: default", "namespace: "+to).Replace(text)
	}
	s.mustKubectl(t, move(s.build(t, "namespaced"), home), "apply", "--server-side", "--validate=strict", "-f", "-")
	s.mustKubectl(t, move(s.build(t, "namespaced/tenant"), tenant), "apply", "--server-side", "--validate=strict", "-f", "-")
	operator := "system:serviceaccount:" + home + ":salvor-operator"
	const exec = "create pods --subresource=exec"
	if s.can(t, operator, tenant, exec) {
		t.Error("the operator may run commands although nobody has said so")
	}
	s.mustKubectl(t, move(s.build(t, "namespaced/hooks"), tenant), "apply", "--server-side", "--validate=strict", "-f", "-")
	if !s.can(t, operator, tenant, exec) || !s.can(t, operator, tenant, "get pods --subresource=exec") || s.can(t, operator, home, exec) {
		t.Error("config/namespaced/hooks does not let the operator run commands in that namespace alone")
	}
	for _, question := range []string{"get secrets", "list pods", "list walstores", "create recoverysidecars", "create serviceaccounts --subresource=token"} {
		for ns, want := range map[string]bool{home: true, tenant: true, foreign: false} {
			if got := s.can(t, operator, ns, question); got != want {
				t.Errorf("%s in %s (home %s, tenant %s): %v, want %v", question, ns, home, tenant, got, want)
			}
		}
	}
	if s.can(t, operator, "", "list nodes") {
		t.Error("a namespaced operator may see nodes")
	}
	if s.can(t, operator, "", "list walstores --all-namespaces") {
		t.Error("a namespaced operator may list every namespace's stores")
	}
}
