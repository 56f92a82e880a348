// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance/rollout"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// observed is the StatefulSet's controller, as far as its status goes.
func (w *world) observed(name, revision string) {
	w.t.Helper()
	set := w.set(name)
	if set.Status.ObservedGeneration == set.Generation && set.Status.UpdateRevision == revision {
		return
	}
	set.Status.ObservedGeneration, set.Status.UpdateRevision, set.Status.CurrentRevision = set.Generation, revision, "a"
	must(w.t, w.client.Status().Update(w.ctx, set))
}

// managedPods makes a managed store with its pods, all of revision a.
func (w *world) managedPods(name string, n int32) (pods []*storePod) {
	w.t.Helper()
	w.opt.StoreImage = "salvor.local/salvor:dev"
	w.managedStore(name, n)
	w.start()
	w.becomes(name, v1alpha1.ConditionWorkloadAvailable, "False PodsMissing")
	w.observed(name, "a")
	w.revision = "a"
	for i := range n {
		pods = append(pods, w.pod(name, int(i)))
	}
	w.streaming(name)
	return pods
}

// asks changes the spec of a WALStore.
func (w *world) asks(name string, f func(*v1alpha1.ManagedStore)) {
	w.t.Helper()
	eventually(w.t, "the spec to be changed", func() bool {
		ws := w.get(name)
		f(ws.Spec.Managed)
		return w.client.Update(w.ctx, ws) == nil
	})
}

func (p *storePod) heeds() (order string, drains bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.order, p.drains
}

// drainsSoon waits until the pod takes no more writes because it was asked to.
func (p *storePod) drainsSoon() {
	p.w.t.Helper()
	eventually(p.w.t, p.name+" to drain", func() bool { _, is := p.heeds(); return is }, func() string {
		c, _ := find(p.w.get("ledger").Status.Conditions, v1alpha1.ConditionChanging)
		return fmt.Sprintf("%+v", c)
	})
}

func (w *world) replicasAre(n int32) bool { return *w.set("ledger").Spec.Replicas == n }

// A smaller store: the last pod is asked to drain, and stays until the root has what it
// has acknowledged; then it goes, and its epoch ends.
func TestAShrinkingStoreDrainsFirst(t *testing.T) {
	contract.Row(t, 165)
	w := newWorld(t)
	pods := w.managedPods("ledger", 3)
	pods[2].say(func() { pods[2].durable, pods[2].published = 10, 7 })
	w.asks("ledger", func(m *v1alpha1.ManagedStore) { m.Replicas = 2 })
	pods[2].drainsSoon()
	w.becomes("ledger", v1alpha1.ConditionChanging, "True PodDraining")
	throughout(t, never, "the pod to stay", func() bool { return w.replicasAre(3) })
	pods[2].say(func() { pods[2].waiting = "the checkpoint waits: 503" })
	eventually(t, "it to say what the pod waits for", func() bool {
		c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionChanging)
		return strings.Contains(c.Message, "pod ledger-2: ") && strings.Contains(c.Message, "the checkpoint waits: 503")
	})
	if _, is := pods[1].heeds(); is || w.condition("ledger", v1alpha1.ConditionReconciling) != "True Progressing" {
		t.Error("two pods drain, or nothing goes on")
	}
	pods[2].say(func() { pods[2].published, pods[2].waiting = 10, "" })
	eventually(t, "the workload to be smaller", func() bool { return w.replicasAre(2) })
	w.observed("ledger", "a")
	w.becomes("ledger", v1alpha1.ConditionChanging, "True PodRemoving")
	if e := w.manifest().Writers["ledger-2"]; e.Process == "" {
		t.Error("a writer was fenced whose pod is still there")
	}
	pods[2].hangUp()
	pods[2].delete()
	eventually(t, "the writer to be fenced", func() bool { return w.manifest().Writers["ledger-2"].Process == "" })
	w.becomes("ledger", v1alpha1.ConditionChanging, "False WorkloadAsIs")
	w.becomes("ledger", v1alpha1.ConditionReady, "True Healthy")
	if left := w.keys(manifest.OrderPrefix); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	st := w.manifest()
	if st.Writers["ledger-0"].Process == "" || st.Writers["ledger-1"].Process == "" {
		t.Errorf("others were fenced: %v", st.Writers)
	}
}

// A pod that cannot show that it has drained keeps the store at its size; whoever
// changes their mind gets it back.
func TestAPodThatCannotDrainStays(t *testing.T) {
	contract.Row(t, 165)
	w := newWorld(t)
	pods := w.managedPods("ledger", 2)
	pods[1].say(func() { pods[1].durable, pods[1].published = 10, 7 })
	w.root.On(fault.PutIfAbsent, manifest.OrderPrefix).Nth(1).Fail(errors.New("503 slow down"))
	w.asks("ledger", func(m *v1alpha1.ManagedStore) { m.Replicas = 1 })
	pods[1].drainsSoon()
	w.asks("ledger", func(m *v1alpha1.ManagedStore) { m.Replicas = 2 })
	eventually(t, "the order to be taken back", func() bool { order, is := pods[1].heeds(); return !is && order == "" })
	w.becomes("ledger", v1alpha1.ConditionChanging, "False WorkloadAsIs")
	if left := w.keys(manifest.OrderPrefix); len(left) > 0 || !w.replicasAre(2) {
		t.Errorf("left over: %v", left)
	}
	pods[1].hangUp()
	w.asks("ledger", func(m *v1alpha1.ManagedStore) { m.Replicas = 1 })
	w.becomes("ledger", v1alpha1.ConditionChanging, "True PodCannotDrain")
	throughout(t, never, "the pod to stay", func() bool { return w.replicasAre(2) })
	if e := w.manifest().Writers["ledger-1"]; e.Process == "" && e.Number == 1 {
		t.Log("fenced for its silence; it stays all the same")
	}
}

// Another image: pod by pod, each drained first, and none before the one that was
// replaced before it is ready.
func TestAnotherImageGoesPodByPod(t *testing.T) {
	contract.Row(t, 165)
	w := newWorld(t)
	pods := w.managedPods("ledger", 2)
	for _, p := range pods {
		p.say(func() { p.durable, p.published = 5, 4 })
	}
	before := partition(w.set("ledger"))
	w.asks("ledger", func(m *v1alpha1.ManagedStore) { m.Image = "salvor.local/salvor:next" })
	eventually(t, "the new template to be there, for no pod yet", func() bool {
		set := w.set("ledger")
		return set.Spec.Template.Spec.Containers[0].Image == "salvor.local/salvor:next" && partition(set) == 2
	})
	w.observed("ledger", "b")
	pods[1].drainsSoon()
	throughout(t, never, "the pod to keep its template", func() bool { return partition(w.set("ledger")) == 2 })
	pods[1].say(func() { pods[1].published = 5 })
	eventually(t, "the pod to be let go", func() bool { return partition(w.set("ledger")) == 1 })
	w.observed("ledger", "b")
	pods[1].hangUp()
	pods[1].delete()
	w.revision = "b"
	next := w.podDown(w.address(), "ledger", 1)
	next.status(terminated) // it crashes at first
	w.becomes("ledger", v1alpha1.ConditionChanging, "True PodNotReady")
	if _, is := pods[0].heeds(); is {
		t.Fatal("the next pod drains while one is not ready")
	}
	next.restart()
	pods[0].drainsSoon()
	pods[0].say(func() { pods[0].published = 5 })
	eventually(t, "the last pod to be let go", func() bool { return partition(w.set("ledger")) == 0 })
	w.observed("ledger", "b")
	pods[0].hangUp()
	pods[0].delete()
	w.pod("ledger", 0)
	w.becomes("ledger", v1alpha1.ConditionChanging, "False WorkloadAsIs")
	w.becomes("ledger", v1alpha1.ConditionReady, "True Healthy")
	if before != 0 || partition(w.set("ledger")) != 0 {
		t.Errorf("the partition was %d, is %d", before, partition(w.set("ledger")))
	}
}

// A managed store's disruption budget always lets one pod go, and its volumes stay.
func TestAManagedStoreCanAlwaysBeEvicted(t *testing.T) {
	contract.Row(t, 140, 165)
	w := newWorld(t)
	w.managedPods("ledger", 1)
	var b policyv1.PodDisruptionBudget
	must(t, w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "ledger"}, &b))
	if !metav1.IsControlledBy(&b, w.get("ledger")) || b.Spec.MinAvailable != nil || *b.Spec.MaxUnavailable != intstr.FromInt32(1) ||
		*b.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow || b.Spec.Selector.MatchLabels[v1alpha1.LabelStore] != "ledger" {
		t.Errorf("%+v", b.Spec)
	}
	w.becomes("ledger", v1alpha1.ConditionDrainable, "True BudgetAllows")
	set := w.set("ledger")
	keep := appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	if p := set.Spec.PersistentVolumeClaimRetentionPolicy; p == nil || p.WhenDeleted != keep || p.WhenScaled != keep {
		t.Errorf("%+v", p)
	}
	args := strings.Join(set.Spec.Template.Spec.Containers[0].Args, " ")
	if g := *set.Spec.Template.Spec.TerminationGracePeriodSeconds; g != 40 || !strings.Contains(args, "--shutdown-timeout 30s") {
		t.Errorf("grace %d s, %s", g, args)
	}
	must(t, w.client.Create(w.ctx, w.budget("theirs", "ledger", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.FromInt32(1))})))
	w.becomes("ledger", v1alpha1.ConditionDrainable, "False BudgetsClash")
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionDrainable)
	if !strings.Contains(c.Message, "theirs and ledger (ours)") {
		t.Errorf("it says %q", c.Message)
	}
}

func (w *world) budget(name, store string, spec policyv1.PodDisruptionBudgetSpec) *policyv1.PodDisruptionBudget {
	spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelStore: store}}
	return &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: spec}
}

// A budget over adopted pods that can never be met is said, and when it is mended, that.
func TestABudgetThatIsNeverMetIsSaid(t *testing.T) {
	contract.Row(t, 140)
	w := newWorld(t)
	w.store("ledger", 1)
	w.start()
	w.pod("ledger", 0)
	w.streaming("ledger")
	w.becomes("ledger", v1alpha1.ConditionDrainable, "True BudgetAllows")
	must(t, w.client.Create(w.ctx, w.budget("strict", "ledger", policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(1))})))
	w.becomes("ledger", v1alpha1.ConditionDrainable, "False BudgetNeverMet")
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionDrainable)
	if !strings.Contains(c.Message, "strict has minAvailable 1 of 1") {
		t.Errorf("it says %q", c.Message)
	}
	if w.condition("ledger", v1alpha1.ConditionReady) != "True Healthy" {
		t.Error("a budget makes a store unhealthy")
	}
	must(t, w.client.Delete(w.ctx, w.budget("strict", "ledger", policyv1.PodDisruptionBudgetSpec{})))
	w.becomes("ledger", v1alpha1.ConditionDrainable, "True BudgetAllows")
}

// A pod on a node that is cordoned is asked to have little unpublished, and goes on
// serving; when the node stays after all it is let be.
func TestACordonedNodeHastensItsPods(t *testing.T) {
	contract.Row(t, 140)
	w := newWorld(t)
	w.opt.Nodes = true
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.namespace + "-n1"}}
	w.create(node)
	t.Cleanup(func() { _ = w.client.Delete(t.Context(), node) })
	w.store("ledger", 2)
	w.start()
	w.node = node.Name
	on := w.pod("ledger", 0)
	w.node = ""
	off := w.pod("ledger", 1)
	w.streaming("ledger")
	w.becomes("ledger", v1alpha1.ConditionChanging, "False WorkloadAsIs")
	cordon := func(is bool) {
		must(t, w.client.Get(w.ctx, client.ObjectKeyFromObject(node), node))
		node.Spec.Unschedulable = is
		must(t, w.client.Update(w.ctx, node))
	}
	cordon(true)
	w.becomes("ledger", v1alpha1.ConditionChanging, "True NodeLeaving")
	eventually(t, "the pod to be asked", func() bool { order, _ := on.heeds(); return order != "" })
	if _, drains := on.heeds(); drains {
		t.Error("a cordon stops writes")
	}
	if order, _ := off.heeds(); order != "" {
		t.Error("a pod on another node was asked")
	}
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionChanging)
	if want := fmt.Sprintf("pod ledger-0: its node %s is cordoned; it publishes every second", node.Name); c.Message != want {
		t.Errorf("it says %q", c.Message)
	}
	if w.condition("ledger", v1alpha1.ConditionReady) != "True Healthy" {
		t.Error("a cordon makes a store unhealthy")
	}
	before := w.api.count()
	throughout(t, never, "no more writes", func() bool { return len(w.api.writes(before, "walstores")) == 0 })
	cordon(false)
	w.becomes("ledger", v1alpha1.ConditionChanging, "False WorkloadAsIs")
	eventually(t, "the pod to be let be", func() bool { order, _ := on.heeds(); return order == "" && len(w.keys(manifest.OrderPrefix)) == 0 })
}

// An operator that may not see nodes says so.
func TestAnOperatorThatSeesNoNodesSaysSo(t *testing.T) {
	contract.Row(t, 140)
	w := newWorld(t)
	w.store("ledger", 1)
	w.start()
	w.pod("ledger", 0)
	w.streaming("ledger")
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionDrainable)
	if !strings.Contains(c.Message, "the operator may not watch nodes") {
		t.Errorf("it says %q", c.Message)
	}
}

func TestLeavingNodes(t *testing.T) {
	contract.Row(t, 140)
	now := metav1.NewTime(time.Unix(1, 0))
	for name, c := range map[string]struct {
		node corev1.Node
		is   bool
	}{
		"a node":    {corev1.Node{}, false},
		"cordoned":  {corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true}}, true},
		"deleted":   {corev1.Node{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}, true},
		"not ready": {tainted("node.kubernetes.io/not-ready"), false},
		"reserved":  {tainted("team"), false},

		"node.kubernetes.io/unschedulable":     {tainted("node.kubernetes.io/unschedulable"), true},
		"ToBeDeletedByClusterAutoscaler":       {tainted("ToBeDeletedByClusterAutoscaler"), true},
		"DeletionCandidateOfClusterAutoscaler": {tainted("DeletionCandidateOfClusterAutoscaler"), true},
		"karpenter.sh/disrupted":               {tainted("karpenter.sh/disrupted"), true},
		"karpenter.sh/disruption":              {tainted("karpenter.sh/disruption"), true},
	} {
		slim, err := TrimNode(&c.node)
		must(t, err)
		if is := leavingNode(&c.node) != ""; is != c.is || isLeaving(slim.(*corev1.Node)) != c.is {
			t.Errorf("%s: leaves: %v", name, is)
		}
	}
}

func tainted(key string) corev1.Node {
	return corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "other"}, {Key: key, Effect: corev1.TaintEffectNoSchedule}}}}
}

func TestNeverMet(t *testing.T) {
	contract.Row(t, 140)
	least := func(v string) policyv1.PodDisruptionBudgetSpec {
		return policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.Parse(v))}
	}
	most := func(v string) policyv1.PodDisruptionBudgetSpec {
		return policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.Parse(v))}
	}
	for _, c := range []struct {
		spec  policyv1.PodDisruptionBudgetSpec
		pods  int
		never bool
	}{
		{policyv1.PodDisruptionBudgetSpec{}, 3, false},
		{least("1"), 1, true}, {least("1"), 2, false}, {least("3"), 3, true}, {least("4"), 3, true}, {least("0"), 1, false},
		{least("100%"), 3, true}, {least("67%"), 3, true}, {least("50%"), 2, false}, {least("50%"), 1, true}, {least("0%"), 1, false},
		{most("1"), 1, false}, {most("0"), 3, true}, {most("0%"), 3, true}, {most("1%"), 3, false},
	} {
		if why := neverMet(c.spec, c.pods); (why != "") != c.never {
			t.Errorf("%+v of %d: %q, want never: %v", c.spec, c.pods, why, c.never)
		}
	}
}

func TestShapeOf(t *testing.T) {
	contract.Row(t, 165)
	set := func(n, at int32, template string) *appsv1.StatefulSet {
		s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{UID: "u", Generation: 4, Annotations: map[string]string{v1alpha1.AnnotationTemplate: template}}}
		s.Spec.Replicas, s.Status.ObservedGeneration = &n, 4
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &at}
		return s
	}
	bare := set(3, 0, "t")
	bare.Annotations, bare.Spec.UpdateStrategy.RollingUpdate = nil, nil
	unseen := set(3, 2, "t")
	unseen.Status.ObservedGeneration = 3
	for _, c := range []struct {
		name string
		set  *appsv1.StatefulSet
		next rollout.Next
		want shape
	}{
		{"there is none", &appsv1.StatefulSet{}, rollout.Next{}, shape{2, 0, "t"}},
		{"nothing is to be done", set(3, 0, "t"), rollout.Next{Step: rollout.None, Why: rollout.WhySettled}, shape{3, 0, "t"}},
		{"all are replaced", set(3, 3, "t"), rollout.Next{Step: rollout.None, Why: rollout.WhySettled}, shape{3, 0, "t"}},
		{"nobody knows that all are", unseen, rollout.Next{Step: rollout.None, Why: rollout.WhySettled}, shape{3, 2, "t"}},
		{"suspended in the middle", set(3, 2, "t"), rollout.Next{Step: rollout.None, Why: rollout.WhySuspended}, shape{3, 2, "t"}},
		{"another template", set(3, 0, "x"), rollout.Next{Step: rollout.Replace, Pod: 1}, shape{3, 3, "t"}},
		{"another template in the middle of one", set(3, 1, "x"), rollout.Next{Step: rollout.Shrink, Replicas: 2}, shape{3, 3, "t"}},
		{"made by an operator that knew no templates", bare, rollout.Next{Step: rollout.Replace, Pod: 1}, shape{3, 3, "t"}},
		{"one is replaced", set(3, 3, "t"), rollout.Next{Step: rollout.Replace, Pod: 2}, shape{3, 2, "t"}},
		{"one drains", set(3, 3, "t"), rollout.Next{Step: rollout.Drain, Pod: 2}, shape{3, 3, "t"}},
		{"something is waited for", set(3, 1, "t"), rollout.Next{Step: rollout.Wait, Pod: 2, Why: rollout.WhyNotReady}, shape{3, 1, "t"}},
		{"larger", set(3, 3, "t"), rollout.Next{Step: rollout.Grow, Replicas: 5}, shape{5, 3, "t"}},
		{"smaller", set(3, 0, "t"), rollout.Next{Step: rollout.Shrink, Replicas: 2}, shape{2, 0, "t"}},
		{"not known what", set(3, 1, "t"), rollout.Next{}, shape{3, 1, "t"}},
	} {
		if got := shapeOf(c.set, 2, "t", c.next); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestOurBudgetLetsOnePodGo(t *testing.T) {
	contract.Row(t, 140, 165)
	for _, pods := range []int32{1, 3} {
		ws := &v1alpha1.WALStore{Spec: v1alpha1.WALStoreSpec{Managed: &v1alpha1.ManagedStore{Replicas: pods}}}
		s := storeBudget(ws).Spec
		spec := policyv1.PodDisruptionBudgetSpec{MinAvailable: s.MinAvailable, MaxUnavailable: s.MaxUnavailable}
		if why := neverMet(spec, int(pods)); why != "" || s.MaxUnavailable == nil || *s.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
			t.Errorf("%d pods: %q, %+v", pods, why, s)
		}
	}
}

func TestPendingOf(t *testing.T) {
	contract.Row(t, 165)
	known := []pending{{operation: "A"}, {operation: "B"}}
	for name, c := range map[string]struct {
		known []pending
		st    *control.Status
		want  int
	}{
		"nothing":                         {nil, nil, 0},
		"it does not report":              {known, nil, 2},
		"it works on one of them":         {known, &control.Status{Open: []string{"B"}}, 1},
		"it works on one that is not due": {nil, &control.Status{Open: []string{"C"}}, 0},
		"it cannot finish one":            {nil, &control.Status{Abandoned: []string{"C"}}, 1},
	} {
		if got := pendingOf(c.known, c.st); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestDrained(t *testing.T) {
	contract.Row(t, 165)
	is := control.Status{State: control.Draining, Order: "O", Durable: 9, Next: 10, Published: 9}
	but := func(f func(*control.Status)) control.Status {
		st := is
		f(&st)
		return st
	}
	for name, c := range map[string]struct {
		st   control.Status
		want bool
	}{
		"it is":                         {is, true},
		"the root covers more":          {but(func(s *control.Status) { s.Durable, s.Next = 0, 1 }), true},
		"it serves":                     {but(func(s *control.Status) { s.State = control.Serving }), false},
		"it is poisoned":                {but(func(s *control.Status) { s.State = control.Poisoned }), false},
		"nobody asked":                  {but(func(s *control.Status) { s.Order = "" }), false},
		"a write lock holds it":         {but(func(s *control.Status) { s.Lock = "M" }), false},
		"a transaction is under way":    {but(func(s *control.Status) { s.InFlight = 1 }), false},
		"a checkpoint is under way":     {but(func(s *control.Status) { s.Open = []string{"op"} }), false},
		"a record is not durable":       {but(func(s *control.Status) { s.Next = 11 }), false},
		"something is in the log alone": {but(func(s *control.Status) { s.Published = 8 }), false},
	} {
		if got := drained(&c.st); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
