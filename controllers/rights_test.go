// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

var _ = contract.Uses("config/rbac/operator/", "config/rbac/hooks/")

// shippedRules are the rules that the operator is installed with.
func shippedRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	return roleOf(t, "operator").Rules
}

// roleOf is a ClusterRole of config/rbac.
func roleOf(t *testing.T, dir string) (role rbacv1.ClusterRole) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "config", "rbac", dir, "role.yaml"))
	must(t, err)
	must(t, yaml.UnmarshalStrict(raw, &role))
	return role
}

// With the shipped rules and nothing else the operator does all that it does: in
// all namespaces with a ClusterRole, in one with a Role made of the same rules.
func TestTheOperatorNeedsNoMoreThanItsRules(t *testing.T) {
	contract.Row(t, 149)
	for _, namespaced := range []bool{false, true} {
		name := map[bool]string{false: "in all namespaces", true: "in one namespace"}[namespaced]
		t.Run(name, func(t *testing.T) {
			w, other := newWorld(t), mem.New(mem.Options{})
			user := "operator-of-" + w.namespace
			meta := metav1.ObjectMeta{Name: user}
			subject := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
			if namespaced {
				meta.Namespace = w.namespace
				w.create(&rbacv1.Role{ObjectMeta: meta, Rules: shippedRules(t)})
				w.create(&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subject, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user}})
			} else {
				w.create(&rbacv1.ClusterRole{ObjectMeta: meta, Rules: shippedRules(t)})
				w.create(&rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subject, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}})
			}
			w.user = user
			w.opt.StoreImage = "salvor.local/salvor:dev"
			w.opt.RetainMost = 1
			w.opt.OpenBucket = func(_ context.Context, root v1alpha1.Root, _ Access) (objstore.Bucket, error) {
				if root.Credentials != nil {
					return other, nil
				}
				return w.root, nil
			}
			w.store("ledger", 1)
			w.start()
			p := w.pod("ledger", 0)
			w.streaming("ledger")
			if cluster := w.manifest().Claimant.Cluster; (cluster == "") != namespaced {
				t.Errorf("claimed for cluster %q", cluster)
			}
			p.crash("accounts")
			p.crash("transfers") // the first one retires
			eventually(t, "one finished resource to be deleted", func() bool { return len(w.sidecars()) == 1 })
			eventually(t, "events", func() bool {
				var l eventsv1.EventList
				must(t, w.client.List(w.ctx, &l, client.InNamespace(w.namespace)))
				return len(l.Items) > 0
			})
			p.poisons(control.IO)
			w.evicted("ledger-0")
			w.managedStore("managed", 1)
			w.becomes("managed", v1alpha1.ConditionReady, "False PodsMissing")
			w.set("managed")
		})
	}
}

// It may get a Secret whose name a WALStore gives, and never asks for more.
func TestSecretsAreGotAndNeverListed(t *testing.T) {
	contract.Row(t, 163)
	w, pods := ledgerWorld(t, 1)
	pods[0].crash("accounts")
	for _, line := range w.api.all {
		for _, bad := range []string{"GET /api/v1/secrets", "WATCH /api/v1/secrets", "GET /api/v1/namespaces/" + w.namespace + "/secrets", "WATCH /api/v1/namespaces/" + w.namespace + "/secrets"} {
			if line == bad {
				t.Errorf("it asked for %s", line)
			}
		}
	}
}
