// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// Freezes over and over, by resources as admins make them, under writes that come
// by the clock; everybody who has a part in a freeze is killed now and then, somewhere in it.
var _ = Describe("A thousand freezes", Label("prove"), Serial, func() {
	It("refuse nobody who waits no longer than writes are parked, leave no lock, and lose nothing", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 106, 109, 110, 111, 137, 138)
		total, each := 1000, 50
		if n, err := strconv.Atoi(os.Getenv("SALVOR_CYCLES")); err == nil {
			total, each = n, n/20
		}
		c := &cycles{options: harness.StoreOptions{Namespace: "cycles", Name: "orders", Replicas: 2, Interval: "500ms"}}
		Expect(h.CreateStore(ctx, c.options, 3*time.Minute)).To(Succeed())
		cleanUp(c.options.Namespace)
		Expect(c.connect(ctx)).To(Succeed())
		DeferCleanup(func() { c.hangUp() })
		load, err := h.StartOpenLoad(ctx, c.options, nil, cyclesRate)
		Expect(err).NotTo(HaveOccurred())
		began := time.Now()

		for i, victim := range c.victims(total, each) {
			c.cycle(ctx, i, victim)
			if (i+1)%50 == 0 {
				h.Say("%d cycles: from creation to Held %s, from deletion to its end %s", i+1, harness.Quantiles(c.times(toHeld)), harness.Quantiles(c.times(toReleased)))
			}
		}
		took := time.Since(began)
		acked, traces, err := load.StopAndVerify(ctx)
		Expect(err).NotTo(HaveOccurred(), "what was acknowledged is there")
		c.report(took, acked, traces)
		c.judge(traces)
		Expect(float64(acked)/took.Seconds()).To(BeNumerically(">=", cyclesRate), "writes a second")
		Expect(c.parked(traces)).To(BeNumerically(">=", total*9/10), "cycles that parked a write")

		st, err := c.reader.Latest(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(st.Lock).To(BeNil())
		Expect(h.StoreReady(ctx, c.options.Namespace, c.options.Name, 2*time.Minute)).To(Succeed())
		outcomes, err := harness.Outcomes(ctx, c.root)
		Expect(err).NotTo(HaveOccurred())
		for op, by := range outcomes {
			Expect(by).To(HaveLen(1), "outcomes of %s", op)
		}
		Expect(h.Eventually(ctx, "nothing is pending", time.Minute, func(ctx context.Context) (string, error) {
			left, err := recovery.List(ctx, c.root)
			if len(left) > 0 {
				return fmt.Sprintf("%+v", left), err
			}
			return "", err
		})).To(Succeed())
	}, NodeTimeout(150*time.Minute))
})
