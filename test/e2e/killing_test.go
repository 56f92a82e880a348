// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// kills is one run of many kills: what was seen of each.
type kills struct {
	options harness.StoreOptions
	gateway *harness.Gateway
	root    objstore.Bucket
	reader  *manifest.Store

	phases  map[string]int
	pending map[string]bool // operations that stood pending when their writer was killed
	healed  []time.Duration // kill to outcome read back
	ready   []time.Duration // kill to pod ready again
	absent  int             // kills after which the pod was kept away
	seen    map[string]life // every operation that the watcher of the bucket saw pending
	// since is the manifest's version when a pod was killed last.
	since map[string]manifest.Version
}

// life is what the watcher of the bucket saw of an operation.
type life struct {
	decided time.Time // the first look that found it in the manifest
	pending time.Time // the last look that found it pending
}

func (k *kills) hitAll() bool {
	for _, p := range hitPhases {
		if k.phases[p] < atLeast {
			return false
		}
	}
	return true
}

// eligible waits for a pod that has published since it was killed last, and picks
// one of those at random: a pod that is still coming up has nothing to be hit in.
func (k *kills) eligible(ctx context.Context) (pod string) {
	GinkgoHelper()
	Expect(h.Eventually(ctx, "a pod that publishes", 2*time.Minute, func(ctx context.Context) (string, error) {
		st, err := k.reader.Latest(ctx)
		if err != nil {
			return "", err
		}
		for _, i := range rand.Perm(k.options.Replicas) {
			name := fmt.Sprintf("%s-%d", k.options.Name, i)
			for _, o := range st.Outcomes {
				if o.Version > k.since[name] && o.By.Role == manifest.RoleWriter && string(o.By.Writer) == name {
					pod = name
					return "", nil
				}
			}
		}
		return fmt.Sprintf("none up to manifest %d", st.Version), nil
	})).To(Succeed())
	return pod
}

// kill stops a writer at a random moment, reads from the bucket what stands, and
// kills it from the outside. With keepAway its pod cannot come back until the
// operator has healed what it left.
func (k *kills) kill(ctx context.Context, pod string, keepAway bool, after time.Duration) {
	GinkgoHelper()
	ns := k.options.Namespace
	k.podReady(ctx, pod)
	if keepAway {
		k.cordon(ctx, true)
		defer k.cordon(ctx, false)
	}
	pause(ctx, after)
	before, err := h.Pod(ctx, ns, pod)
	Expect(err).NotTo(HaveOccurred())
	_, err = machine.Signal(ctx, ns, pod, "store", cluster.Stop)
	Expect(err).NotTo(HaveOccurred())
	Expect(k.gateway.Drained(ctx, before.Status.PodIP, time.Minute)).To(Succeed())
	stands, err := harness.PendingPhases(ctx, k.root, pod)
	Expect(err).NotTo(HaveOccurred())
	st, err := k.reader.Latest(ctx)
	Expect(err).NotTo(HaveOccurred())
	k.since[pod] = st.Version
	if keepAway {
		// The object goes first, so that kubelet has nothing to restart.
		now := int64(0)
		Expect(h.Delete(ctx, before, &client.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &before.UID}})).To(Succeed())
	}
	killed := time.Now()
	_, err = machine.Signal(ctx, ns, pod, "store", cluster.Kill)
	if !keepAway { // kubelet may have been faster
		Expect(err).NotTo(HaveOccurred())
	}
	if len(stands) == 0 {
		k.phases["nothing pending"]++
	}
	for _, p := range stands {
		k.phases[p.Phase]++
		k.pending[string(p.Operation)] = true
		_, at, err := harness.AwaitOutcome(ctx, k.root, p.Operation, time.Minute)
		Expect(err).NotTo(HaveOccurred())
		if p.Phase != "published" {
			k.healed = append(k.healed, at.Sub(killed))
		}
	}
	for _, p := range stands {
		op := p.Operation
		Expect(h.Eventually(ctx, "nothing left of "+string(op), time.Minute, func(ctx context.Context) (string, error) {
			_, err := k.root.Get(ctx, recovery.SidecarKey(op))
			if objstoreGone(err) {
				return "", nil
			}
			return "the sidecar is still there", err
		})).To(Succeed())
	}
	if keepAway {
		k.absent++
		return
	}
	restarts := before.Status.ContainerStatuses[0].RestartCount
	Expect(h.Eventually(ctx, pod+" restarted", 6*time.Minute, func(ctx context.Context) (string, error) {
		p, err := h.Pod(ctx, ns, pod)
		if err != nil {
			return "", err
		}
		c := p.Status.ContainerStatuses[0]
		if c.RestartCount > restarts && c.Ready {
			return "", nil
		}
		return fmt.Sprintf("restarts %d, ready %v", c.RestartCount, c.Ready), nil
	})).To(Succeed())
	k.ready = append(k.ready, time.Since(killed))
}

func (k *kills) podReady(ctx context.Context, pod string) {
	GinkgoHelper()
	Expect(h.Eventually(ctx, pod+" ready", 2*time.Minute, func(ctx context.Context) (string, error) {
		p, err := h.Pod(ctx, k.options.Namespace, pod)
		if err != nil {
			return "", err
		}
		for _, c := range p.Status.ContainerStatuses {
			if c.Name == "store" && c.Ready && p.DeletionTimestamp == nil {
				return "", nil
			}
		}
		return "phase " + string(p.Status.Phase), nil
	})).To(Succeed())
}

func (k *kills) cordon(ctx context.Context, on bool) {
	GinkgoHelper()
	var nodes corev1.NodeList
	Expect(h.List(ctx, &nodes)).To(Succeed())
	for i := range nodes.Items {
		patch := fmt.Sprintf(`{"spec":{"unschedulable":%v}}`, on)
		Expect(h.Patch(ctx, &nodes.Items[i], client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
	}
}

// stopPods ends all pods in an orderly way and keeps them from coming back: the
// nodes take no new pods but those of the harness.
func (k *kills) stopPods(ctx context.Context) {
	GinkgoHelper()
	k.cordon(ctx, true)
	DeferCleanup(func(ctx context.Context) { k.cordon(ctx, false) }, NodeTimeout(time.Minute))
	for i := range k.options.Replicas {
		name := fmt.Sprintf("orders-%d", i)
		p, err := h.Pod(ctx, k.options.Namespace, name)
		Expect(err).NotTo(HaveOccurred())
		uid := p.UID
		Expect(h.Delete(ctx, p)).To(Succeed())
		Expect(h.Eventually(ctx, name+" stopped", 2*time.Minute, func(ctx context.Context) (string, error) {
			now, err := h.Pod(ctx, k.options.Namespace, name)
			if client.IgnoreNotFound(err) == nil && err != nil || err == nil && now.UID != uid {
				return "", nil
			}
			return "still there", err
		})).To(Succeed())
	}
}

// startPods lets them come back.
func (k *kills) startPods(ctx context.Context) {
	GinkgoHelper()
	k.cordon(ctx, false)
	for i := range k.options.Replicas {
		k.podReady(ctx, fmt.Sprintf("orders-%d", i))
	}
}

// watchOverlap samples how many writers have an operation pending, and returns
// the share of samples in which two or more had.
func (k *kills) watchOverlap(ctx context.Context) func() float64 {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	samples, over := 0, 0
	watcher, err := manifest.Open(ctx, k.root, manifest.Options{NewID: func() string { return "watcher" }})
	Expect(err).NotTo(HaveOccurred())
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			listed, err := recovery.List(ctx, k.root)
			if err != nil {
				continue
			}
			now := time.Now()
			st, err := watcher.Latest(ctx)
			if err != nil {
				continue
			}
			n := 0
			for _, l := range listed {
				if l.Lone {
					continue
				}
				n++
				op := k.seen[string(l.Operation())]
				op.pending = now
				if _, decided := st.Outcome(l.Operation()); decided && op.decided.IsZero() {
					op.decided = now
				}
				k.seen[string(l.Operation())] = op
			}
			samples++
			if n >= 2 {
				over++
			}
		}
	})
	return func() float64 { cancel(); wg.Wait(); return float64(over) / float64(max(samples, 1)) }
}

// checkAudit compares the trail with what was seen in the bucket: a row for each
// operation that its writer left behind, and for each that recovery decided
// although its writer lived, having been silent for too long; none for any other.
func (k *kills) checkAudit(ctx context.Context) {
	GinkgoHelper()
	rows, err := harness.AuditOperations(ctx, k.root)
	Expect(err).NotTo(HaveOccurred())
	outcomes, err := harness.Outcomes(ctx, k.root)
	Expect(err).NotTo(HaveOccurred())
	want, wrong := maps.Clone(k.pending), 0
	for op, by := range outcomes {
		Expect(by).To(HaveLen(1), "entries that decide "+string(op))
		if by[0] == manifest.RoleRecovery && !want[string(op)] {
			want[string(op)] = true
			wrong++
		}
	}
	h.Say("  %d operations were left behind by a kill; %d more were taken from a writer that lived and had been silent", len(k.pending), wrong)
	for op, n := range rows {
		Expect(n).To(Equal(1), "rows of "+op)
		life, seen := k.seen[op]
		Expect(seen || k.pending[op]).To(BeTrue(), op+" has a row, and the watcher of the bucket never saw it pending")
		if !want[op] {
			Fail(fmt.Sprintf("%s has a row, and its writer published it: seen decided at %s, pending until %s; its RecoverySidecar: %s",
				op, life.decided.Format(time.RFC3339Nano), life.pending.Format(time.RFC3339Nano), k.resource(ctx, op)))
		}
	}
	Expect(rows).To(HaveLen(len(want)), "an operation was left behind and not recorded")
}

// resource is what the API server still has of an operation.
func (k *kills) resource(ctx context.Context, op string) string {
	GinkgoHelper()
	var all v1alpha1.RecoverySidecarList
	Expect(h.List(ctx, &all, client.InNamespace(k.options.Namespace))).To(Succeed())
	for i := range all.Items {
		if s := &all.Items[i]; s.Spec.OperationID == op || s.Spec.Key == recovery.SidecarKey(manifest.OperationID(op)) {
			s.ManagedFields = nil
			raw, err := json.Marshal(s)
			Expect(err).NotTo(HaveOccurred())
			return string(raw)
		}
	}
	return fmt.Sprintf("none among the %d that are left", len(all.Items))
}

func (k *kills) report(total, acked int, share float64) {
	h.Say(`%d kills, phase of the sidecar at the kill (read from the bucket):
%s  checkpoints overlapped %.0f %% of the time; %d kills kept the pod away
  acknowledged transactions, all there: %d
  kill to outcome read back: %s
  kill to pod ready again:   %s`, total, harness.Bars(k.phases), 100*share, k.absent, acked, harness.Quantiles(k.healed), harness.Quantiles(k.ready))
}
