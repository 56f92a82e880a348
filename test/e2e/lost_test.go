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

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// quickMirror makes the roaming store one that mirrors four times a second, and whose
// checkpoints never go out by themselves.
var quickMirror = strings.NewReplacer("--checkpoint-interval, 1h,", "--checkpoint-interval, 1h, --mirror-interval, 250ms,")

// A loaded store's volume is lost with its pod, which is killed without a last word: it
// comes back on an empty one with everything up to the mirror's end, and says what that was.
var _ = Describe("A volume that is lost", Ordered, Serial, func() {
	const namespace, name, pod = "lost", "orders", "orders-0"
	options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 1}

	put := func(ctx context.Context, n int) (position uint64, err error) {
		body, err := json.Marshal(map[string]any{"id": fmt.Sprint("row-", n), "statements": []any{map[string]any{
			"op": "put", "table": "t", "key": fmt.Sprintf("%05d", n), "row": map[string]any{"n": n},
		}}})
		if err != nil {
			return 0, err
		}
		raw, err := h.ToPod("POST", namespace, pod, harness.APIPort, "/v1/transactions").SetHeader("Content-Type", "application/json").Body(body).DoRaw(ctx)
		var result struct{ Position uint64 }
		if err == nil {
			err = json.Unmarshal(raw, &result)
		}
		return result.Position, err
	}
	status := func(ctx context.Context) (st control.Status, err error) {
		raw, err := h.ToPod("GET", namespace, pod, harness.ControlPort, "/control/v1/status").DoRaw(ctx)
		if err == nil {
			err = json.Unmarshal(raw, &st)
		}
		return st, err
	}

	BeforeAll(func(ctx SpecContext) {
		Expect(h.Namespace(ctx, namespace)).To(Succeed())
		cleanUp(namespace)
		Expect(h.ApplyTemplate(ctx, quickMirror.Replace(roamingStore), map[string]any{
			"Namespace": namespace, "Name": name, "Image": harness.Image, "AccessKey": harness.AccessKey, "SecretKey": harness.SecretKey,
			"Root": options.InClusterRoot(), "URI": options.RootURI(), "Endpoint": harness.StorageEndpoint,
		})).To(Succeed())
		Expect(h.StoreReady(ctx, namespace, name, 3*time.Minute)).To(Succeed())
	}, NodeTimeout(6*time.Minute))

	It("comes back from the mirror, up to its end", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 59, 60)
		acknowledged := map[uint64]int{}
		for n := range 300 {
			p, err := put(ctx, n)
			Expect(err).NotTo(HaveOccurred())
			acknowledged[p] = n
		}
		before, err := status(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(before.Mirror).NotTo(BeNil())
		Expect(before.Mirror.Position).To(BeNumerically(">", 0))
		Expect(before.Published).To(BeZero(), "no checkpoint has gone out")

		// SIGKILL, and an emptyDir that goes with the pod: nothing is published or mirrored any more.
		was, err := h.Pod(ctx, namespace, pod)
		Expect(err).NotTo(HaveOccurred())
		_, err = h.Kubectl(ctx, "-n", namespace, "delete", "pod", pod, "--grace-period=0", "--force")
		Expect(err).NotTo(HaveOccurred())
		Expect(h.Eventually(ctx, "another pod", time.Minute, func(ctx context.Context) (string, error) {
			is, err := h.Pod(ctx, namespace, pod)
			if err != nil || is.UID == was.UID || is.DeletionTimestamp != nil {
				return "the old one", err
			}
			return "", nil
		})).To(Succeed())
		Expect(h.StoreReady(ctx, namespace, name, 3*time.Minute)).To(Succeed())

		after, err := status(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(after.Mirror).NotTo(BeNil())
		end := after.Mirror.Restored
		Expect(end).To(BeNumerically(">=", before.Mirror.Position), "what it said that the root has")
		raw, err := h.ToPod("GET", namespace, pod, harness.APIPort, "/v1/tables/t/rows").Param("limit", "1000").DoRaw(ctx)
		Expect(err).NotTo(HaveOccurred())
		for p, n := range acknowledged {
			is := strings.Contains(string(raw), fmt.Sprintf(`"key":"%05d"`, n))
			Expect(is).To(Equal(p <= end), "position %d, row %d: restored up to %d", p, n, end)
		}
		logs, err := h.Kubectl(ctx, "-n", namespace, "logs", pod)
		Expect(err).NotTo(HaveOccurred())
		Expect(logs).To(ContainSubstring(fmt.Sprintf("the data directory was empty: restored from the root up to position %d", end)))
		GinkgoWriter.Printf("300 acknowledged, mirrored up to %d, restored up to %d\n", before.Mirror.Position, end)

		_, err = put(ctx, 1000)
		Expect(err).NotTo(HaveOccurred())
		_, err = h.ToPod("POST", namespace, pod, harness.APIPort, "/v1/checkpoint").DoRaw(ctx)
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(8*time.Minute))
})
