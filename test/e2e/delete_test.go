// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// Deleting leaves nothing hanging, whatever goes first and whoever is not there
// any more to clean up.
var _ = Describe("Deleting", Serial, func() {
	const namespace, name = "farewell", "orders"
	restart := &v1alpha1.StoreMaintenance{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "restart"}}
	steps := map[string]func(context.Context) error{
		"store": func(ctx context.Context) error {
			return client.IgnoreNotFound(h.Delete(ctx, &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}))
		},
		"maintenance": func(ctx context.Context) error { return client.IgnoreNotFound(h.Delete(ctx, restart.DeepCopy())) },
		"operator":    func(ctx context.Context) error { return h.UninstallOperator(ctx) },
		"namespace": func(ctx context.Context) error {
			return client.IgnoreNotFound(h.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
		},
	}
	orders := []struct {
		order []string
		label Labels
	}{
		{[]string{"operator", "namespace", "store"}, nil},
		{[]string{"store", "maintenance", "operator", "namespace"}, Label("prove")},
		{[]string{"maintenance", "store", "namespace", "operator"}, Label("prove")},
		{[]string{"operator", "store", "maintenance", "namespace"}, Label("prove")},
		{[]string{"namespace", "maintenance", "store", "operator"}, Label("prove")},
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
			// And with a lock that somebody has to let go of, or nobody.
			root, closeRoot, err := h.Bucket(ctx, options.RootURI())
			Expect(err).NotTo(HaveOccurred())
			defer closeRoot()
			m, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return ulid.Make().String() }})
			Expect(err).NotTo(HaveOccurred())
			until := time.Now().Add(45 * time.Second).Truncate(time.Second)
			freeze := restart.DeepCopy()
			freeze.Spec = v1alpha1.StoreMaintenanceSpec{StoreRef: &v1alpha1.LocalReference{Name: name}, Reason: "farewell", Until: metav1.NewTime(until)}
			Expect(h.Create(ctx, freeze)).To(Succeed())
			Expect(h.Eventually(ctx, "the store is locked", 30*time.Second, func(ctx context.Context) (string, error) {
				if st, err := m.Latest(ctx); err != nil || st.Lock == nil {
					return "no lock yet", err
				}
				return "", nil
			})).To(Succeed())
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
			// Whoever publishes next ends the lock, when its time is over.
			Expect(h.Eventually(ctx, "the lock has ended", 2*time.Minute, func(ctx context.Context) (string, error) {
				st, err := m.Latest(ctx)
				if err != nil || st.Lock == nil {
					return "", err
				}
				_, err = m.Expire(ctx, manifest.Publisher{Role: manifest.RoleOperator, Process: "PASSER-BY"})
				return fmt.Sprintf("%+v", st.Lock), err
			})).To(Succeed())
			st, err := m.Latest(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(st.EndedLock).NotTo(BeNil())
			if st.EndedLock.How == manifest.KindExpire {
				Expect(time.Now()).To(BeTemporally(">=", until), "it ended before its time")
			} else {
				Expect(st.EndedLock.How).To(Equal(manifest.KindRelease))
			}
		}, NodeTimeout(8*time.Minute))
	}
})
