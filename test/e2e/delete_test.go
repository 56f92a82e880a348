// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// Deleting leaves nothing hanging, whatever goes first and whoever is not there
// any more to clean up.
var _ = Describe("Deleting", Serial, func() {
	const namespace, name = "farewell", "orders"
	steps := map[string]func(context.Context) error{
		"store": func(ctx context.Context) error {
			return client.IgnoreNotFound(h.Delete(ctx, &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}))
		},
		"operator": func(ctx context.Context) error { return h.UninstallOperator(ctx) },
		"namespace": func(ctx context.Context) error {
			return client.IgnoreNotFound(h.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
		},
	}
	orders := []struct {
		order []string
		label Labels
	}{
		{[]string{"operator", "namespace", "store"}, nil},
		{[]string{"store", "operator", "namespace"}, Label("prove")},
		{[]string{"store", "namespace", "operator"}, Label("prove")},
		{[]string{"operator", "store", "namespace"}, Label("prove")},
		{[]string{"namespace", "store", "operator"}, Label("prove")},
		{[]string{"namespace", "operator", "store"}, Label("prove")},
	}
	for _, o := range orders {
		It(fmt.Sprintf("%v leaves nothing hanging", o.order), o.label, func(ctx SpecContext) {
			contract.Row(GinkgoTB(), 147)
			// A store with something pending and a writer that does not go on with it, so
			// that there is something to hang on.
			options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 1, Interval: "200ms", Image: harness.FailpointImage}
			Expect(h.CreateStore(ctx, options, 3*time.Minute)).To(Succeed())
			Expect(h.Park(ctx, namespace, name+"-0", failpoint.WriterConfirmed)).To(Succeed())
			Expect(h.Transact(ctx, namespace, name+"-0", "a", 1)).To(Succeed())
			Expect(h.AwaitParked(ctx, namespace, name+"-0", failpoint.WriterConfirmed, time.Minute)).To(Succeed())
			DeferCleanup(func(ctx context.Context) {
				Expect(h.InstallOperator(ctx)).To(Succeed())
			}, NodeTimeout(3*time.Minute))
			for _, step := range o.order {
				Expect(steps[step](ctx)).To(Succeed(), step)
			}
			for _, ns := range []string{namespace, harness.OperatorNamespace} {
				Expect(h.DeleteNamespace(ctx, ns, 2*time.Minute)).To(Succeed())
			}
			// The API server finishes the deletion of a definition, and takes it out of what
			// it lists, behind the deletion of the namespaces.
			Eventually(func(g Gomega) {
				out, err := h.Kubectl(ctx, "get", "customresourcedefinitions", "-o", "jsonpath={.items[?(@.spec.group=='recovery.salvor.io')].metadata.name}")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(out).To(BeEmpty(), "definitions are left over")
				out, err = h.Kubectl(ctx, "api-resources", "--cached=false", "--api-group", "recovery.salvor.io", "-o", "name")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(out).To(BeEmpty(), "definitions are still listed")
			}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(Succeed())
		}, NodeTimeout(8*time.Minute))
	}
})
