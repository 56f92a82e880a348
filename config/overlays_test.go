// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/salvor-io/salvor/test/contract"
)

// build returns what `kubectl kustomize` makes of a folder.
func (s *apiServer) build(t *testing.T, dir string) string {
	t.Helper()
	return s.mustKubectl(t, "", "kustomize", dir)
}

// find returns the only object of a kind and a name.
func find(t *testing.T, all []object, kind, name string) object {
	t.Helper()
	for _, o := range all {
		if o["kind"] == kind && o.unstructured().GetName() == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// Every folder that a person may apply builds.
func TestEveryOverlayBuilds(t *testing.T) {
	s := server(t)
	for _, dir := range []string{"crd", "rbac", "manager", "network-policy", "default", "namespaced", "namespaced/tenant", "namespaced/hooks", "prometheus", "samples"} {
		if len(objects(t, s.build(t, dir))) == 0 {
			t.Errorf("%s builds nothing", dir)
		}
	}
}

// The whole install is taken by a plain API server, needs no webhook and no
// certificates from elsewhere, and its pods may run where restricted is enforced.
func TestDefaultInstalls(t *testing.T) {
	contract.Row(t, 144, 150)
	s := server(t)
	text := s.build(t, "default")
	s.mustKubectl(t, text, "apply", "--server-side", "--validate=strict", "-f", "-")
	all := objects(t, text)
	for _, o := range all {
		kind := o["kind"].(string)
		if strings.Contains(kind, "Webhook") || kind == "Certificate" || kind == "Issuer" || kind == "Secret" {
			t.Errorf("the install has a %s", kind)
		}
		if len(o.unstructured().GetFinalizers()) > 0 {
			t.Errorf("%s %s has a finalizer", kind, o.unstructured().GetName())
		}
	}
	ns := find(t, all, "Namespace", "salvor-system").unstructured()
	if ns.GetLabels()["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("the operator's namespace does not enforce restricted: %v", ns.GetLabels())
	}
	d := find(t, all, "Deployment", "salvor-operator")
	accepts(t, s.podOf(t, d, "salvor-system"))

	c := container(t, d)
	args, _, _ := unstructured.NestedStringSlice(c, "args")
	if want := "--store-image=" + c["image"].(string); !slices.Contains(args, want) {
		t.Errorf("managed stores run another image than the operator: %v lacks %s", args, want)
	}
	for _, want := range []string{"--leader-elect", "--metrics-bind-address=:8443", "--health-probe-bind-address=:8081"} {
		if !slices.Contains(args, want) {
			t.Errorf("%v lacks %s", args, want)
		}
	}
	for _, want := range []string{"livenessProbe", "readinessProbe", "resources"} {
		if c[want] == nil {
			t.Errorf("the operator's container has no %s", want)
		}
	}
	if ro, _, _ := unstructured.NestedBool(c, "securityContext", "readOnlyRootFilesystem"); !ro {
		t.Error("the operator may write its root file system")
	}
}

func container(t *testing.T, deployment object) map[string]any {
	t.Helper()
	all, _, err := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	if err != nil || len(all) != 1 {
		t.Fatalf("want one container: %v, %v", all, err)
	}
	return all[0].(map[string]any)
}

// The namespaced install asks for nothing outside namespaces, and its Role has
// the rules of the ClusterRole.
func TestNamespacedInstallStaysInItsNamespaces(t *testing.T) {
	contract.Row(t, 150)
	s := server(t)
	all := objects(t, s.build(t, "namespaced"))
	for _, o := range all {
		switch o["kind"] {
		case "ServiceAccount", "Role", "RoleBinding", "Deployment", "PodDisruptionBudget", "NetworkPolicy":
		default:
			t.Errorf("the namespaced install has a %v", o["kind"])
		}
		if o.unstructured().GetNamespace() != "salvor-system" {
			t.Errorf("%v %s is in namespace %q", o["kind"], o.unstructured().GetName(), o.unstructured().GetNamespace())
		}
	}
	whole := find(t, objects(t, s.build(t, "default")), "ClusterRole", "salvor-operator")
	tenant := objects(t, s.build(t, "namespaced/tenant"))
	for _, role := range []object{find(t, all, "Role", "salvor-operator"), find(t, tenant, "Role", "salvor-operator")} {
		if !reflect.DeepEqual(role["rules"], whole["rules"]) {
			t.Error("the Role's rules differ from the ClusterRole's: run `make manifests`")
		}
	}
	args, _, _ := unstructured.NestedStringSlice(container(t, find(t, all, "Deployment", "salvor-operator")), "args")
	if !slices.Contains(args, "--namespaces=$(POD_NAMESPACE)") || !slices.Contains(args, "--metrics-bind-address=0") {
		t.Errorf("the operator would look beyond its namespace: %v", args)
	}
}
