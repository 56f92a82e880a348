// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// Two operator processes that both believe to be the one: no Lease elects them,
// and one sleeps where it has decided and not written yet.
var _ = Describe("Two operators without election", Ordered, Serial, func() {
	const namespace, name = "rivals", "orders"
	var root objstore.Bucket
	var load *harness.Load
	var operators []string

	BeforeAll(func(ctx SpecContext) {
		Expect(h.InstallOperator(ctx,
			"- --leader-elect\n", "- --leader-elect=false\n",
			"image: "+harness.Image, "image: "+harness.FailpointImage)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(h.InstallOperator(ctx)).To(Succeed()) }, NodeTimeout(3*time.Minute))
		var err error
		operators, err = h.OperatorPods(ctx, 2, time.Minute)
		Expect(err).NotTo(HaveOccurred())
		options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 2, Interval: "500ms", Image: harness.FailpointImage}
		Expect(h.CreateStore(ctx, options, 3*time.Minute)).To(Succeed())
		cleanUp(namespace)
		b, closeBucket, err := h.Bucket(ctx, options.RootURI())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(closeBucket)
		root = b
		load, err = h.StartLoad(ctx, options, 20)
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(8*time.Minute))

	for sleeper := range 2 {
		It(fmt.Sprintf("nothing comes of what operator %d had in mind when it fell asleep", sleeper), func(ctx SpecContext) {
			contract.Row(GinkgoTB(), 121)
			asleep, awake := operators[sleeper], operators[1-sleeper]
			victim := fmt.Sprintf("%s-%d", name, sleeper)
			Expect(h.Park(ctx, namespace, victim, failpoint.WriterConfirmed)).To(Succeed())
			Expect(h.AwaitParked(ctx, namespace, victim, failpoint.WriterConfirmed, time.Minute)).To(Succeed())
			op, err := harness.PendingOf(ctx, root, victim)
			Expect(err).NotTo(HaveOccurred())

			By("letting both decide, and one fall asleep before it writes")
			for _, pod := range operators {
				Expect(h.ParkOperator(ctx, pod, failpoint.RecoveryObserved)).To(Succeed())
			}
			_, err = machine.Signal(ctx, namespace, victim, "store", cluster.Kill)
			Expect(err).NotTo(HaveOccurred())
			for _, pod := range operators {
				Expect(h.AwaitOperatorParked(ctx, pod, failpoint.RecoveryObserved, time.Minute)).To(Succeed())
			}
			By("putting it to sleep")
			_, err = machine.Signal(ctx, harness.OperatorNamespace, asleep, "operator", cluster.Stop)
			Expect(err).NotTo(HaveOccurred())
			Expect(h.ReleaseOperator(ctx, awake, failpoint.RecoveryObserved)).To(Succeed())
			out, _, err := harness.AwaitOutcome(ctx, root, op, time.Minute)
			Expect(err).NotTo(HaveOccurred())
			By("seeing the other one's outcome")
			Expect(out.Kind).To(Equal(manifest.KindPublish))
			Expect(out.By.Role).To(Equal(manifest.RoleRecovery))
			Expect(publishesAfter(ctx, root, victim, out.Version)).To(Succeed())

			By("waking it")
			_, err = machine.Signal(ctx, harness.OperatorNamespace, asleep, "operator", cluster.Continue)
			Expect(err).NotTo(HaveOccurred())
			Expect(h.ReleaseOperator(ctx, asleep, failpoint.RecoveryObserved)).To(Succeed())
			Expect(resolved(ctx, namespace, name, string(op), "RolledForward")).To(Succeed())
			gone(ctx, root, op)
		}, NodeTimeout(5*time.Minute))
	}

	It("has every acknowledged write, each operation decided once and recorded once", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 121)
		acked, err := load.StopAndVerify(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(acked).To(BeNumerically(">", 50))
		outcomes, err := harness.Outcomes(ctx, root)
		Expect(err).NotTo(HaveOccurred())
		for op, by := range outcomes {
			Expect(by).To(HaveLen(1), "entries that decide "+string(op))
		}
		rows, err := harness.AuditOperations(ctx, root)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(rows)).To(BeNumerically(">=", 2))
		for op, n := range rows {
			Expect(n).To(Equal(1), "rows of "+op)
			Expect(outcomes).To(HaveKey(manifest.OperationID(op)))
		}
		for _, pod := range operators { // each slept, neither died of what it woke up to
			p, err := h.Pod(ctx, harness.OperatorNamespace, pod)
			Expect(err).NotTo(HaveOccurred())
			Expect(p.Status.ContainerStatuses[0].RestartCount).To(BeZero(), pod)
		}
		Expect(h.Eventually(ctx, "nothing left", time.Minute, func(ctx context.Context) (string, error) {
			left, err := recovery.List(ctx, root)
			if err != nil || len(left) == 0 {
				return "", err
			}
			return fmt.Sprintf("%d sidecars", len(left)), nil
		})).To(Succeed())
	}, NodeTimeout(5*time.Minute))
})

// publishesAfter waits until a writer has published something beyond a version.
func publishesAfter(ctx context.Context, root objstore.Bucket, writer string, beyond manifest.Version) error {
	return h.Eventually(ctx, writer+" publishes again", time.Minute, func(ctx context.Context) (string, error) {
		m, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
		if err != nil {
			return "", err
		}
		for _, o := range m.View().Outcomes {
			if o.Version > beyond && o.Kind == manifest.KindPublish && o.By.Role == manifest.RoleWriter && string(o.By.Writer) == writer {
				return "", nil
			}
		}
		return fmt.Sprintf("nothing by %s after manifest %d", writer, beyond), nil
	})
}
