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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// A reverse proxy that strips a header it does not know is all it takes.
var _ = Describe("A bucket that does not enforce conditional writes", func() {
	It("makes no store Ready and gets no manifest; the same bucket without the proxy does", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 124)
		gateway, err := h.StartGateway(ctx, "lenient", "--strip-if-none-match")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(gateway.Stop)
		options := harness.StoreOptions{Namespace: "lenient", Name: "orders", Replicas: 1, Interval: "500ms", Endpoint: gateway.Endpoint()}
		Expect(h.ApplyStore(ctx, options)).To(Succeed())
		cleanUp(options.Namespace)
		root, closeBucket, err := h.Bucket(ctx, options.RootURI())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(closeBucket)

		key := client.ObjectKey{Namespace: options.Namespace, Name: options.Name}
		Expect(h.Eventually(ctx, "the probe's finding", time.Minute, func(ctx context.Context) (string, error) {
			var ws v1alpha1.WALStore
			if err := h.Get(ctx, key, &ws); err != nil {
				return "", err
			}
			for _, t := range []string{v1alpha1.ConditionConditionalWritesVerified, v1alpha1.ConditionReady} {
				c := meta.FindStatusCondition(ws.Status.Conditions, t)
				if c == nil || c.Status != "False" || c.Reason != v1alpha1.ReasonConditionalWritesNotEnforced {
					return harness.Conditions(ws.Status.Conditions), nil
				}
			}
			return "", nil
		})).To(Succeed())
		Expect(manifestsIn(ctx, root)).To(BeZero())
		var pods corev1.PodList
		Expect(h.List(ctx, &pods, client.InNamespace(options.Namespace))).To(Succeed())
		Expect(pods.Items).To(BeEmpty(), "no writer is started on such a root")

		By("taking the proxy out of the way")
		Expect(h.Delete(ctx, &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}})).To(Succeed())
		options.Endpoint = ""
		Expect(h.CreateStore(ctx, options, 2*time.Minute)).To(Succeed())
		Expect(manifestsIn(ctx, root)).To(BeNumerically(">", 0))
	}, NodeTimeout(6*time.Minute))
})

// manifestsIn counts the objects under manifest/.
func manifestsIn(ctx context.Context, root objstore.Bucket) (n int, err error) {
	for o, err := range root.List(ctx, manifest.Prefix, "") {
		if err != nil {
			return 0, fmt.Errorf("after %q: %w", o.Key, err)
		}
		n++
	}
	return n, nil
}
