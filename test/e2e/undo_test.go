// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery/commitlog"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// A roll-back on a real cluster: approved by its hash with the command that engineers
// run, while the operators that carry it out are killed and put to sleep.
var _ = Describe("An operation that readers can see", Ordered, Serial, func() {
	const namespace, name = "lake", "orders"
	options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 1, Interval: "500ms"}
	var root objstore.Bucket
	var operators []string

	BeforeAll(func(ctx SpecContext) {
		// The writer here is no pod: only a listing finds what it has left.
		const elected = "- --leader-elect\n"
		Expect(h.InstallOperator(ctx, "image: "+harness.Image, "image: "+harness.FailpointImage,
			elected, elected+"        - --sweep-interval=5s\n        - --idle-sweep-interval=5s\n")).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(h.InstallOperator(ctx)).To(Succeed()) }, NodeTimeout(3*time.Minute))
		var err error
		operators, err = h.OperatorPods(ctx, 2, time.Minute)
		Expect(err).NotTo(HaveOccurred())
		Expect(h.CreateStore(ctx, options, 3*time.Minute)).To(Succeed())
		cleanUp(namespace)
		ws := &v1alpha1.WALStore{}
		ws.Namespace, ws.Name = namespace, name
		soon := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"recovery":{"orphanAfter":"1s"}}}`))
		Expect(h.Patch(ctx, ws, soon)).To(Succeed())
		b, closeBucket, err := h.Bucket(ctx, options.RootURI())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(closeBucket)
		root = b
		_, err = harness.ForeignCommit(ctx, root, "old", nil)
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(8*time.Minute))

	// left leaves an operation half done, and waits until it needs approval.
	left := func(ctx SpecContext) (op manifest.OperationID, rsc *v1alpha1.RecoverySidecar) {
		GinkgoHelper()
		op, err := harness.ForeignCommit(ctx, root, "new", harness.HalfDone)
		Expect(err).To(HaveOccurred())
		Expect(readers(ctx, root)).To(Equal("new old"))
		Expect(h.Eventually(ctx, "the operation needs approval", 2*time.Minute, func(ctx context.Context) (string, error) {
			rsc, err = sidecarOf(ctx, namespace, name, op)
			if err != nil || rsc == nil {
				return "no resource yet", err
			}
			if meta.IsStatusConditionTrue(rsc.Status.Conditions, v1alpha1.ConditionNeedsApproval) && rsc.Status.Plan != nil {
				return "", nil
			}
			return harness.Conditions(rsc.Status.Conditions), nil
		})).To(Succeed())
		return op, rsc
	}
	// parked approves the plan and waits until one of the operators stands in the middle of it.
	parked := func(ctx SpecContext, rsc *v1alpha1.RecoverySidecar) (stands, other string) {
		GinkgoHelper()
		out, code := salvor(ctx, "plan", "-n", namespace, rsc.Name)
		Expect(code).To(Equal(3), out)
		Expect(out).To(ContainSubstring(rsc.Status.Plan.Hash))
		for _, pod := range operators {
			Expect(h.ParkOperator(ctx, pod, failpoint.RecoveryPartlyRestored)).To(Succeed())
		}
		out, code = salvor(ctx, "approve", "-n", namespace, rsc.Name, "--plan-hash", rsc.Status.Plan.Hash)
		Expect(code).To(BeZero(), out)
		Expect(h.Eventually(ctx, "one of the operators restores", time.Minute, func(ctx context.Context) (string, error) {
			for i, pod := range operators {
				if h.AwaitOperatorParked(ctx, pod, failpoint.RecoveryPartlyRestored, time.Second) == nil {
					stands, other = pod, operators[1-i]
					return "", nil
				}
			}
			return "neither does", nil
		})).To(Succeed())
		Expect(h.ReleaseOperator(ctx, other, failpoint.RecoveryPartlyRestored)).To(Succeed())
		Expect(readers(ctx, root)).To(Equal("old old"), "the first table is restored")
		return stands, other
	}
	undone := func(ctx SpecContext, op manifest.OperationID) {
		GinkgoHelper()
		Expect(resolved(ctx, namespace, name, string(op), "RolledBack")).To(Succeed())
		gone(ctx, root, op)
		Expect(readers(ctx, root)).To(Equal("old old"))
		m, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
		Expect(err).NotTo(HaveOccurred())
		o, ok := m.View().Outcome(op)
		Expect(ok).To(BeTrue())
		Expect(o.Kind).To(Equal(manifest.KindRollBack))
		Expect(o.Restored).NotTo(BeZero())
		Expect(m.View().Lock).To(BeNil())
		row, err := rowOf(ctx, root, op)
		Expect(err).NotTo(HaveOccurred())
		Expect(row.Kind).To(Equal(audit.RolledBack))
		Expect(row.Actor).NotTo(HavePrefix("salvor:"), "somebody approved it")
		Expect(row.Tables).To(HaveLen(2))
	}

	It("is undone when it is approved, although the operator is killed in the middle", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 84, 85, 132)
		op, rsc := left(ctx)
		stands, _ := parked(ctx, rsc)
		_, err := machine.Signal(ctx, harness.OperatorNamespace, stands, "operator", cluster.Kill)
		Expect(err).NotTo(HaveOccurred())
		undone(ctx, op)
	}, NodeTimeout(6*time.Minute))

	It("is undone by one, although the other wakes up in the middle of it", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 86)
		op, rsc := left(ctx)
		stands, _ := parked(ctx, rsc)
		_, err := machine.Signal(ctx, harness.OperatorNamespace, stands, "operator", cluster.Stop)
		Expect(err).NotTo(HaveOccurred())
		undone(ctx, op)
		before, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
		Expect(err).NotTo(HaveOccurred())

		By("waking it")
		_, err = machine.Signal(ctx, harness.OperatorNamespace, stands, "operator", cluster.Continue)
		Expect(err).NotTo(HaveOccurred())
		_ = h.ReleaseOperator(ctx, stands, failpoint.RecoveryPartlyRestored) // it may have ended: its Lease is over
		_, err = harness.ForeignCommit(ctx, root, "later", nil)
		Expect(err).NotTo(HaveOccurred(), "a writer of the new term goes on")
		Expect(h.Eventually(ctx, "the sleeper has ended or goes on", time.Minute, func(ctx context.Context) (string, error) {
			p, err := h.Pod(ctx, harness.OperatorNamespace, stands)
			if err != nil {
				return "", err
			}
			if p.Status.ContainerStatuses[0].RestartCount > 0 && p.Status.ContainerStatuses[0].Ready {
				return "", nil
			}
			return "it has not restarted: its Lease is over, and nobody told it", nil
		})).To(Succeed())
		Expect(readers(ctx, root)).To(Equal("later later"))
		after, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
		Expect(err).NotTo(HaveOccurred())
		was, _ := before.View().Outcome(op)
		is, _ := after.View().Outcome(op)
		Expect(is).To(Equal(was))
		gone(ctx, root, op)
	}, NodeTimeout(6*time.Minute))
})

// readers is what readers of the two tables see.
func readers(ctx context.Context, b objstore.Bucket) string {
	var out []string
	for _, t := range harness.ForeignTables {
		c, err := commitlog.New(b, objstore.Patience{}).Read(ctx, t)
		if err != nil {
			return err.Error()
		}
		var s string
		if err := json.Unmarshal(c.Content, &s); err != nil {
			return err.Error()
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func sidecarOf(ctx context.Context, namespace, store string, op manifest.OperationID) (*v1alpha1.RecoverySidecar, error) {
	all, err := h.Sidecars(ctx, namespace, store)
	for i := range all {
		if all[i].Spec.OperationID == string(op) {
			return &all[i], err
		}
	}
	return nil, err
}

func rowOf(ctx context.Context, b objstore.Bucket, op manifest.OperationID) (audit.Row, error) {
	log, err := audit.Open(b, "main", nil, audit.Options{Recoverer: "e2e"})
	if err != nil {
		return audit.Row{}, err
	}
	for row, err := range log.Rows(ctx, 0) {
		if err != nil || row.Operation == string(op) {
			return row, err
		}
	}
	return audit.Row{}, fmt.Errorf("no row of %s", op)
}

// salvor runs the command that was built, with the suite's kubeconfig.
func salvor(ctx context.Context, args ...string) (string, int) {
	GinkgoHelper()
	top, err := cluster.Root()
	Expect(err).NotTo(HaveOccurred())
	cmd := exec.CommandContext(ctx, filepath.Join(top, "bin", "kubectl-salvor"), args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		Expect(err).NotTo(HaveOccurred(), "make image builds it")
	}
	return string(out), cmd.ProcessState.ExitCode()
}
