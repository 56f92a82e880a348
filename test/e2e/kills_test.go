// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// The bucket takes writeDelay for every write, as a far one does, so that a
// checkpoint of three tables takes about eight times as long as the pause between
// two, and kills hit every part of it.
const writeDelay = 300 * time.Millisecond

// atLeast is how often each of these phases has to be hit.
const atLeast = 20

var hitPhases = []string{"armed", "partly applied", "confirmed", "published"}

var _ = Describe("Two hundred kills at random moments", Label("prove"), func() {
	It("loses nothing, and every operation that was left behind has one row", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 130, 131)
		total := 200
		if n, err := strconv.Atoi(os.Getenv("SALVOR_KILLS")); err == nil {
			total = n
		}
		gateway, err := h.StartGateway(ctx, "slow", "--write-delay", writeDelay.String())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(gateway.Stop)
		k := &kills{
			options: harness.StoreOptions{Namespace: "kills", Name: "orders", Replicas: 3, Interval: "100ms", Endpoint: gateway.Endpoint()},
			gateway: gateway, phases: map[string]int{}, pending: map[string]bool{}, seen: map[string]life{}, since: map[string]manifest.Version{},
		}
		Expect(h.CreateStore(ctx, k.options, 3*time.Minute)).To(Succeed())
		cleanUp(k.options.Namespace)
		b, closeBucket, err := h.Bucket(ctx, k.options.RootURI())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(closeBucket)
		k.root = b
		k.reader, err = manifest.Open(ctx, b, manifest.Options{NewID: func() string { return "reader" }})
		Expect(err).NotTo(HaveOccurred())
		load, err := h.StartLoad(ctx, k.options, 60)
		Expect(err).NotTo(HaveOccurred())

		overlap := k.watchOverlap(ctx)
		done := 0
		// Random moments hit short phases seldom: it goes on, but not for ever, until each was hit.
		for ; done < total || total >= 200 && done < 2*total && !k.hitAll(); done++ {
			keepAway := done%6 == 0 && k.absent < 30
			k.kill(ctx, k.eligible(ctx), keepAway, rand.N(8*writeDelay))
			if (done+1)%20 == 0 {
				h.Say("%d kills\n%s", done+1, harness.Bars(k.phases))
			}
		}
		share := overlap()

		By("checking the data through the API")
		Expect(load.Stop(ctx)).To(Succeed())
		for i := range k.options.Replicas {
			k.podReady(ctx, fmt.Sprintf("orders-%d", i))
		}
		acked, err := load.VerifyAPI(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(h.StoreReady(ctx, k.options.Namespace, k.options.Name, time.Minute)).To(Succeed())
		By("checking the data in the root, with all pods stopped after a last checkpoint")
		k.stopPods(ctx)
		inRoot, err := load.VerifyRoot(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(inRoot).To(Equal(acked))
		k.report(done, acked, share)

		left, err := recovery.List(ctx, k.root)
		Expect(err).NotTo(HaveOccurred())
		Expect(left).To(BeEmpty())
		k.checkAudit(ctx)
		k.startPods(ctx)
		Expect(h.StoreReady(ctx, k.options.Namespace, k.options.Name, 2*time.Minute)).To(Succeed())
		if total >= 200 {
			for _, p := range hitPhases {
				Expect(k.phases[p]).To(BeNumerically(">=", atLeast), p)
			}
			Expect(k.absent).To(BeNumerically(">=", 30))
			Expect(share).To(BeNumerically(">=", 0.8), "share of the time in which checkpoints overlapped")
		}
	}, NodeTimeout(150*time.Minute))
})
