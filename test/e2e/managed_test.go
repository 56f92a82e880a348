// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// A managed store that shrinks, gets another image, is deleted and made again, under
// load and with checkpoints an hour apart: what is published is published because a
// pod was drained.
var _ = Describe("A managed store that changes", Ordered, Serial, func() {
	const namespace, name = "changing", "orders"
	options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 3, Interval: "1h"}
	stay := options // the pods that stay
	stay.Replicas = 2
	var root objstore.Bucket
	var load *harness.Load

	BeforeAll(func(ctx SpecContext) {
		Expect(h.CreateStore(ctx, options, 4*time.Minute)).To(Succeed())
		cleanUp(namespace)
		b, closeBucket, err := h.Bucket(ctx, options.RootURI())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(closeBucket)
		root = b
		load, err = h.StartLoad(ctx, stay, 20)
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(6*time.Minute))

	patch := func(ctx context.Context, spec string) {
		GinkgoHelper()
		ws := &v1alpha1.WALStore{}
		ws.Namespace, ws.Name = namespace, name
		Expect(h.Patch(ctx, ws, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"managed":{`+spec+`}}}`)))).To(Succeed())
	}
	// settled waits until nothing is being changed, for the newest spec; each look sees
	// also what look says of the pods.
	settled := func(ctx context.Context, look func(pods []corev1.Pod) string) {
		GinkgoHelper()
		Expect(h.Eventually(ctx, "the change is made", 6*time.Minute, func(ctx context.Context) (string, error) {
			var ws v1alpha1.WALStore
			var pods corev1.PodList
			if err := h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &ws); err != nil {
				return "", err
			}
			if err := h.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelStore: name}); err != nil {
				return "", err
			}
			missing := look(pods.Items)
			if c := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionChanging); missing != "" || c == nil ||
				c.Reason != v1alpha1.ReasonWorkloadAsIs || ws.Status.ObservedGeneration != ws.Generation {
				return missing + " " + harness.Conditions(ws.Status.Conditions), nil
			}
			return "", nil
		})).To(Succeed())
		Expect(h.StoreReady(ctx, namespace, name, 2*time.Minute)).To(Succeed())
	}
	writers := func(ctx context.Context) map[manifest.WriterID]manifest.Epoch {
		GinkgoHelper()
		m, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
		Expect(err).NotTo(HaveOccurred())
		return m.View().Writers
	}

	It("shrinks when the pod that goes has published what it has acknowledged", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 165)
		for v := range 20 {
			Expect(h.Transact(ctx, namespace, name+"-2", fmt.Sprintf("t%d", v), v)).To(Succeed())
		}
		patch(ctx, `"replicas":2`)
		settled(ctx, func(pods []corev1.Pod) string {
			if len(pods) != 2 {
				return fmt.Sprintf("%d pods", len(pods))
			}
			return ""
		})
		Expect(writers(ctx)[name+"-2"].Fenced()).To(BeTrue(), "the writer of the pod that is gone is fenced")
		Expect(writers(ctx)[name+"-1"].Fenced()).To(BeFalse())
		dump, err := h.RunSalvor(ctx, options, "dump", 2*time.Minute, "store", "dump", "--root", options.InClusterRoot())
		Expect(err).NotTo(HaveOccurred(), dump)
		for v := range 20 {
			Expect(dump).To(ContainSubstring(fmt.Sprintf(`{"table":"%s-2.t%d","key":"k","row":{"v":%d}}`, name, v, v)))
		}
		var claim corev1.PersistentVolumeClaim
		Expect(h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "data-" + name + "-2"}, &claim)).To(Succeed(), "its volume stays")
	}, NodeTimeout(8*time.Minute))

	It("gets another image pod by pod, and takes it back when it is bad", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 165)
		most := 0
		image := func(want string) func([]corev1.Pod) string {
			return func(pods []corev1.Pod) string {
				old, down := 0, 2-len(pods)
				for _, p := range pods {
					if p.Spec.Containers[0].Image != want {
						old++
					}
					ready := false
					for _, c := range p.Status.Conditions {
						ready = ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
					}
					if !ready {
						down++
					}
				}
				most = max(most, down)
				if old+down > 0 {
					return fmt.Sprintf("%d of the old image, %d down", old, down)
				}
				return ""
			}
		}
		patch(ctx, `"image":"`+harness.FailpointImage+`"`)
		settled(ctx, image(harness.FailpointImage))
		Expect(most).To(Equal(1), "one pod at a time")

		patch(ctx, `"image":"salvor.local/none:bad"`)
		Expect(h.Eventually(ctx, "one pod fails to come up", 3*time.Minute, func(ctx context.Context) (string, error) {
			p, err := h.Pod(ctx, namespace, name+"-1")
			if client.IgnoreNotFound(err) != nil || p.UID == "" || p.Spec.Containers[0].Image != "salvor.local/none:bad" {
				return "not yet", client.IgnoreNotFound(err)
			}
			return "", nil
		})).To(Succeed())
		Consistently(func(ctx context.Context) string {
			p, err := h.Pod(ctx, namespace, name+"-0")
			Expect(err).NotTo(HaveOccurred())
			return p.Spec.Containers[0].Image
		}).WithContext(ctx).WithTimeout(10*time.Second).WithPolling(time.Second).Should(Equal(harness.FailpointImage), "the other pod is left alone")
		patch(ctx, `"image":"`+harness.Image+`"`)
		settled(ctx, image(harness.Image))
		Expect(most).To(Equal(1), "one pod at a time")
	}, NodeTimeout(15*time.Minute))

	It("has every acknowledged write when it is deleted and made again", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 165)
		Expect(load.Stop(ctx)).To(Succeed())
		ws := &v1alpha1.WALStore{}
		ws.Namespace, ws.Name = namespace, name
		Expect(h.Delete(ctx, ws)).To(Succeed())
		Expect(h.Eventually(ctx, "the pods are gone", 2*time.Minute, func(ctx context.Context) (string, error) {
			var pods corev1.PodList
			err := h.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelStore: name})
			if err == nil && len(pods.Items) > 0 {
				return fmt.Sprintf("%d left", len(pods.Items)), nil
			}
			return "", err
		})).To(Succeed())
		acked, err := load.VerifyRoot(ctx)
		Expect(err).NotTo(HaveOccurred(), "the pods' last checkpoints have everything")
		Expect(acked).To(BeNumerically(">", 100), "the load was a load")
		var set appsv1.StatefulSet
		Expect(objectGone(h.Get(ctx, client.ObjectKeyFromObject(ws), &set))).To(BeTrue())
		for i := range 3 {
			var claim corev1.PersistentVolumeClaim
			Expect(h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: fmt.Sprintf("data-%s-%d", name, i)}, &claim)).To(Succeed())
		}
		Expect(h.CreateStore(ctx, options, 4*time.Minute)).To(Succeed())
		again, err := load.VerifyAPI(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(again).To(Equal(acked))
		raw, err := h.ToPod(http.MethodGet, namespace, name+"-2", harness.APIPort, "v1/tables/t19/rows/k").DoRaw(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.TrimSpace(string(raw))).To(Equal(`{"key":"k","row":{"v":19}}`), "the pod that was removed has its rows when it comes back")
	}, NodeTimeout(12*time.Minute))
})

func objectGone(err error) bool { return err != nil && client.IgnoreNotFound(err) == nil }
