// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// A freeze on a real cluster, with the commands that admins run: under load, with
// pods and operators killed meanwhile.
var _ = Describe("A store that is frozen", Ordered, Serial, func() {
	const namespace, name = "maintained", "orders"
	options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 2, Interval: "500ms"}
	var root objstore.Bucket
	var load *harness.Load

	BeforeAll(func(ctx SpecContext) {
		Expect(h.CreateStore(ctx, options, 3*time.Minute)).To(Succeed())
		cleanUp(namespace)
		b, closeBucket, err := h.Bucket(ctx, options.RootURI())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(closeBucket)
		root = b
		load, err = h.StartLoad(ctx, options, 20)
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(5*time.Minute))

	state := func(ctx context.Context) *manifest.State {
		GinkgoHelper()
		m, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
		Expect(err).NotTo(HaveOccurred())
		return m.View()
	}
	status := func(ctx context.Context, pod string) (st control.Status, err error) {
		raw, err := h.ToPod("GET", namespace, pod, harness.ControlPort, control.StatusPath).DoRaw(ctx)
		if err == nil {
			err = json.Unmarshal(raw, &st)
		}
		return st, err
	}
	// heeds waits until a pod says that it is held, and nobody writes in it.
	heeds := func(ctx context.Context, pod string) control.Status {
		GinkgoHelper()
		var st control.Status
		Expect(h.Eventually(ctx, pod+" is frozen", 2*time.Minute, func(ctx context.Context) (string, error) {
			var err error
			if st, err = status(ctx, pod); err != nil || st.State != control.Frozen {
				return fmt.Sprintf("%+v %v", st, err), nil
			}
			return "", nil
		})).To(Succeed())
		Expect(st.InFlight).To(BeZero())
		return st
	}
	freeze := func(ctx context.Context) *v1alpha1.StoreMaintenance {
		GinkgoHelper()
		out, code := salvor(ctx, "freeze", name, "-n", namespace, "--name", "restart", "--reason", "database restart", "--for", "20m", "-o", "json")
		Expect(code).To(BeZero(), out)
		var m v1alpha1.StoreMaintenance
		Expect(h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "restart"}, &m)).To(Succeed())
		Expect(meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionHeld)).To(BeTrue(), harness.Conditions(m.Status.Conditions))
		Expect(m.Status.Stores).To(HaveLen(1))
		Expect(m.Status.Stores[0].Acknowledged).To(Equal("2/2"))
		l := state(ctx).Lock
		Expect(l).NotTo(BeNil())
		Expect(l.Mode).To(Equal(manifest.Frozen))
		Expect(int64(l.Version)).To(Equal(m.Status.Stores[0].LockedAt))
		return &m
	}
	// thawed waits until both pods take writes and have published some.
	thawed := func(ctx context.Context) {
		GinkgoHelper()
		st := state(ctx)
		Expect(st.Lock).To(BeNil())
		for i := range 2 {
			Expect(publishesAfter(ctx, root, fmt.Sprintf("%s-%d", name, i), st.Version)).To(Succeed())
		}
		Expect(h.StoreReady(ctx, namespace, name, 2*time.Minute)).To(Succeed())
	}

	It("parks its writers until it is thawed, and loses nothing", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 106, 109, 110, 119)
		freeze(ctx)
		for i := range 2 {
			heeds(ctx, fmt.Sprintf("%s-%d", name, i))
		}
		out, code := salvor(ctx, "locks", "-n", namespace)
		Expect(code).To(Equal(11), out)
		Expect(out).To(ContainSubstring("database restart"))
		before := state(ctx).Version
		Consistently(func(ctx context.Context) manifest.Version { return state(ctx).Version }).WithContext(ctx).
			WithTimeout(3*time.Second).WithPolling(500*time.Millisecond).Should(Equal(before), "nothing is published under the lock")
		out, code = salvor(ctx, "thaw", "restart", "-n", namespace)
		Expect(code).To(BeZero(), out)
		thawed(ctx)
		out, code = salvor(ctx, "locks", "-n", namespace)
		Expect(code).To(BeZero(), out)
	}, NodeTimeout(6*time.Minute))

	It("stays frozen when a pod is killed and when it is deleted", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 106, 111)
		freeze(ctx)
		before := []string{heeds(ctx, name+"-0").Process, heeds(ctx, name+"-1").Process}
		_, err := machine.Signal(ctx, namespace, name+"-0", "store", cluster.Kill)
		Expect(err).NotTo(HaveOccurred())
		Expect(h.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-1"}})).To(Succeed())
		for i := range 2 {
			pod := fmt.Sprintf("%s-%d", name, i)
			Expect(h.Eventually(ctx, "another process of "+pod+" is frozen", 2*time.Minute, func(ctx context.Context) (string, error) {
				if st, err := status(ctx, pod); err != nil || st.Process == before[i] || st.State != control.Frozen {
					return fmt.Sprintf("%+v %v", st, err), nil
				}
				return "", nil
			})).To(Succeed())
		}
		out, code := salvor(ctx, "thaw", name, "-n", namespace)
		Expect(code).To(BeZero(), out)
		thawed(ctx)
	}, NodeTimeout(6*time.Minute))

	It("stays frozen without an operator, and is thawed without one", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 137)
		m := freeze(ctx)
		_, err := h.Kubectl(ctx, "scale", "deployment", "-n", harness.OperatorNamespace, "--all", "--replicas=0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx context.Context) { Expect(h.InstallOperator(ctx)).To(Succeed()) }, NodeTimeout(3*time.Minute))
		out, err := h.RunSalvor(ctx, options, "thaw", 2*time.Minute, "manifest", "thaw", "--root", options.InClusterRoot(), "--owner", "maintenance/restart/"+string(m.UID))
		Expect(err).NotTo(HaveOccurred(), out)
		st := state(ctx)
		Expect(st.Lock).To(BeNil())
		for i := range 2 { // nobody tells them
			Expect(publishesAfter(ctx, root, fmt.Sprintf("%s-%d", name, i), st.Version)).To(Succeed())
		}
		Expect(h.InstallOperator(ctx)).To(Succeed())
		Expect(h.Eventually(ctx, "the resource says that it is over", 2*time.Minute, func(ctx context.Context) (string, error) {
			if err := h.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
				return "", err
			}
			if meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReleased) {
				return "", nil
			}
			return harness.Conditions(m.Status.Conditions), nil
		})).To(Succeed())
		Expect(m.Status.Stores[0].EndedBy).To(Equal("release"))
		Expect(h.Delete(ctx, m)).To(Succeed())
	}, NodeTimeout(8*time.Minute))

	It("has every acknowledged write", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 137, 138)
		acked, err := load.StopAndVerify(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(acked).To(BeNumerically(">", 100), "the load was a load")
	}, NodeTimeout(5*time.Minute))
})
