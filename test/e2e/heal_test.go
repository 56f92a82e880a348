// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// windows are the places between every two steps of a commit, and what has to
// become of an operation whose process dies there.
var windows = []struct {
	point failpoint.Point
	kind  manifest.Kind
	by    manifest.Role
	audit string
}{
	{failpoint.WriterArmed, manifest.KindAbandon, manifest.RoleRecovery, "RolledBack"},
	{failpoint.WriterPartlyApplied, manifest.KindAbandon, manifest.RoleRecovery, "RolledBack"},
	{failpoint.WriterApplied, manifest.KindAbandon, manifest.RoleRecovery, "RolledBack"},
	{failpoint.WriterConfirmed, manifest.KindPublish, manifest.RoleRecovery, "RolledForward"},
	{failpoint.WriterPublished, manifest.KindPublish, manifest.RoleWriter, "RolledForward"},
}

var _ = Describe("A store whose writer is killed", Ordered, func() {
	const namespace, name = "heal", "orders"
	var root objstore.Bucket
	var load *harness.Load

	BeforeAll(func(ctx SpecContext) {
		options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 2, Interval: "500ms", Image: harness.FailpointImage}
		Expect(h.CreateStore(ctx, options, 3*time.Minute)).To(Succeed())
		cleanUp(namespace)
		b, closeBucket, err := h.Bucket(ctx, options.RootURI())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(closeBucket)
		root = b
		load, err = h.StartLoad(ctx, options, 20)
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(5*time.Minute))

	for _, w := range windows {
		It(fmt.Sprintf("heals by itself when it dies at %s", w.point), func(ctx SpecContext) {
			contract.Row(GinkgoTB(), 130, 131)
			victim := harness.Victim{Namespace: namespace, Store: name, Pod: name + "-0", Container: "store", Bucket: root}
			heal, err := h.KillAt(ctx, machine, victim, w.point)
			Expect(err).NotTo(HaveOccurred())
			Expect(heal.ExitCode).To(BeEquivalentTo(137), "the container was killed by SIGKILL")
			Expect(heal.Outcome.Kind).To(Equal(w.kind))
			Expect(heal.Outcome.By.Role).To(Equal(w.by))
			h.Say("%s: healed %v after the kill, pod ready after %v", w.point, heal.ToHealed(), heal.ToReady())
			if w.by == manifest.RoleRecovery {
				Expect(heal.ToHealed()).To(BeNumerically("<", heal.ToReady()), "decided before the pod is back")
			}
			Expect(resolved(ctx, namespace, name, string(heal.Operation), w.audit)).To(Succeed())
			gone(ctx, root, heal.Operation)
			Expect(h.StoreReady(ctx, namespace, name, time.Minute)).To(Succeed())
		}, NodeTimeout(5*time.Minute))
	}

	It("fences a writer that only went silent, and it comes back and loses nothing", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 121, 130, 161)
		pod := name + "-1"
		Expect(h.Park(ctx, namespace, pod, failpoint.WriterConfirmed)).To(Succeed())
		Expect(h.AwaitParked(ctx, namespace, pod, failpoint.WriterConfirmed, time.Minute)).To(Succeed())
		op, err := harness.PendingOf(ctx, root, pod)
		Expect(err).NotTo(HaveOccurred())
		before, err := h.Pod(ctx, namespace, pod)
		Expect(err).NotTo(HaveOccurred())
		_, err = machine.Signal(ctx, namespace, pod, "store", cluster.Stop)
		Expect(err).NotTo(HaveOccurred())
		out, _, err := harness.AwaitOutcome(ctx, root, op, time.Minute)
		_, cerr := machine.Signal(ctx, namespace, pod, "store", cluster.Continue)
		Expect(err).NotTo(HaveOccurred())
		Expect(cerr).NotTo(HaveOccurred())
		Expect(out.Kind).To(Equal(manifest.KindPublish))
		Expect(out.By.Role).To(Equal(manifest.RoleRecovery))
		Expect(h.ReleasePoint(ctx, namespace, pod, failpoint.WriterConfirmed)).To(Succeed())
		Expect(resolved(ctx, namespace, name, string(op), "RolledForward")).To(Succeed())
		// It registers again, under the same process, and publishes once more.
		Expect(publishesAfter(ctx, root, pod, out.Version)).To(Succeed())
		after, err := h.Pod(ctx, namespace, pod)
		Expect(err).NotTo(HaveOccurred())
		Expect(after.Status.ContainerStatuses[0].RestartCount).To(Equal(before.Status.ContainerStatuses[0].RestartCount), "the pod was not restarted")
	}, NodeTimeout(5*time.Minute))

	It("has every acknowledged write and no half of a transaction", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 131)
		acked, err := load.StopAndVerify(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(acked).To(BeNumerically(">", 100), "the load was a load")
	}, NodeTimeout(5*time.Minute))

	It("keeps the record when every RecoverySidecar is deleted", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 143)
		before, err := harness.AuditOperations(ctx, root)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(before)).To(BeNumerically(">=", len(windows)))
		Expect(h.DeleteAllOf(ctx, &v1alpha1.RecoverySidecar{}, inNamespace(namespace))).To(Succeed())
		after, err := harness.AuditOperations(ctx, root)
		Expect(err).NotTo(HaveOccurred())
		Expect(after).To(Equal(before))
		for op, n := range after {
			Expect(n).To(Equal(1), "rows of operation "+op)
		}
	}, NodeTimeout(time.Minute))

	It("answers `is it safe` in one look", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 145)
		out, err := h.Kubectl(ctx, "get", "salvor", "-A")
		Expect(err).NotTo(HaveOccurred())
		Expect(out).To(MatchRegexp(`(?m)^heal\s+walstore\S*/orders\s+True\s`), out)
	}, NodeTimeout(time.Minute))
})

// resolved waits until the operation's resource says Complete with the audit kind.
func resolved(ctx context.Context, namespace, store, op, audit string) error {
	return h.Eventually(ctx, "sidecar resource of "+op+" complete", time.Minute, func(ctx context.Context) (string, error) {
		list, err := h.Sidecars(ctx, namespace, store)
		if err != nil {
			return "", err
		}
		for _, s := range list {
			if s.Spec.OperationID != op {
				continue
			}
			for _, c := range []string{v1alpha1.ConditionObserved, v1alpha1.ConditionResolved, v1alpha1.ConditionAudited, v1alpha1.ConditionComplete} {
				if !meta.IsStatusConditionTrue(s.Status.Conditions, c) {
					return harness.Conditions(s.Status.Conditions), nil
				}
			}
			if s.Status.Audit == nil {
				return "Complete and no audit row in its status", nil
			}
			return "", nil
		}
		return fmt.Sprintf("none of %d resources is of this operation", len(list)), nil
	})
}

// gone asserts that nothing of the operation is left to do.
func gone(ctx context.Context, root objstore.Bucket, op manifest.OperationID) {
	GinkgoHelper()
	for _, key := range []string{recovery.SidecarKey(op), recovery.ConfirmedKey(op)} {
		_, err := root.Get(ctx, key)
		Expect(err).To(MatchError(objstore.ErrNotFound), key)
	}
	ops, err := harness.AuditOperations(ctx, root)
	Expect(err).NotTo(HaveOccurred())
	Expect(ops[string(op)]).To(Equal(1), "audit rows of "+string(op))
}
