// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// tinyVolume makes the log of the roaming store one of small segments in 24 MiB of memory,
// which the kernel really refuses to exceed.
var tinyVolume = strings.NewReplacer(
	"volumes: [{name: data, emptyDir: {}}]", "volumes: [{name: data, emptyDir: {medium: Memory, sizeLimit: 24Mi}}]",
	"--checkpoint-interval, 1h,", "--checkpoint-interval, 1h, --segment-size, \"1048576\",",
)

// A volume that is really full: the pod is reported, and stays; what it had acknowledged
// goes to the root when somebody ends it, and is there when it has started again.
var _ = Describe("A volume that is full", Ordered, Serial, func() {
	const namespace, name, pod = "full", "orders", "orders-0"
	options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 1}
	acknowledged := 0

	put := func(ctx context.Context, n int) error {
		body, err := json.Marshal(map[string]any{"id": fmt.Sprint("row-", n), "statements": []any{map[string]any{
			"op": "put", "table": "t", "key": fmt.Sprint(n), "row": map[string]any{"x": strings.Repeat("x", 512<<10)},
		}}})
		if err != nil {
			return err
		}
		return h.ToPod("POST", namespace, pod, harness.APIPort, "/v1/transactions").SetHeader("Content-Type", "application/json").Body(body).MaxRetries(0).Do(ctx).Error()
	}
	poisoned := func(ctx context.Context) (string, string, error) {
		var ws v1alpha1.WALStore
		if err := h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &ws); err != nil {
			return "", "", err
		}
		c := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionPoisoned)
		if c == nil {
			return "", "", nil
		}
		return string(c.Status) + " " + c.Reason, c.Message, nil
	}
	becomes := func(ctx context.Context, want string) string {
		GinkgoHelper()
		message := ""
		Expect(h.Eventually(ctx, "Poisoned to be "+want, time.Minute, func(ctx context.Context) (string, error) {
			is, says, err := poisoned(ctx)
			if message = says; err != nil || is != want {
				return is + ": " + says, err
			}
			return "", nil
		})).To(Succeed())
		return message
	}

	BeforeAll(func(ctx SpecContext) {
		Expect(h.Namespace(ctx, namespace)).To(Succeed())
		cleanUp(namespace)
		Expect(h.ApplyTemplate(ctx, tinyVolume.Replace(roamingStore), map[string]any{
			"Namespace": namespace, "Name": name, "Image": harness.Image, "AccessKey": harness.AccessKey, "SecretKey": harness.SecretKey,
			"Root": options.InClusterRoot(), "URI": options.RootURI(), "Endpoint": harness.StorageEndpoint,
		})).To(Succeed())
		Expect(h.StoreReady(ctx, namespace, name, 3*time.Minute)).To(Succeed())
	}, NodeTimeout(6*time.Minute))

	It("is said before and when it is full, and nobody restarts its pod", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 134)
		before, err := h.Pod(ctx, namespace, pod)
		Expect(err).NotTo(HaveOccurred())
		for ; acknowledged < 100; acknowledged++ {
			if err = put(ctx, acknowledged); err != nil {
				break
			}
		}
		Expect(err).To(HaveOccurred(), "24 MiB take no 50")
		Expect(acknowledged).To(BeNumerically(">", 10))
		message := becomes(ctx, "True VolumeFull")
		Expect(message).To(And(ContainSubstring("no space left on device"), ContainSubstring("volume data (an emptyDir in memory)"), ContainSubstring("of 25165824 bytes used")))
		Consistently(func() (string, error) {
			p, err := h.Pod(ctx, namespace, pod)
			return string(p.UID), err
		}, 30*time.Second, time.Second).Should(Equal(string(before.UID)))
		var ws v1alpha1.WALStore
		Expect(h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &ws)).To(Succeed())
		Expect(ws.Status.Restarts).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))

	It("loses nothing that was acknowledged when somebody ends the pod", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 134)
		_, err := h.Kubectl(ctx, "-n", namespace, "delete", "pod", pod)
		Expect(err).NotTo(HaveOccurred())
		Expect(h.StoreReady(ctx, namespace, name, 3*time.Minute)).To(Succeed())
		becomes(ctx, "False LogsHealthy")
		raw, err := h.ToPod("GET", namespace, pod, harness.APIPort, "/v1/tables/t/rows").DoRaw(ctx)
		Expect(err).NotTo(HaveOccurred())
		for n := range acknowledged {
			Expect(string(raw)).To(ContainSubstring(fmt.Sprintf(`"key":"%d"`, n)))
		}
	}, NodeTimeout(5*time.Minute))
})
