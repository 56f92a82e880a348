// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance/rollout"
	"github.com/salvor-io/salvor/manifest"
)

// change is what is being done to the pods of a store, for its conditions.
type change struct {
	next rollout.Next
	pod  string // that next is about
	over int64  // generation of the StatefulSet that next was decided over; 0: of none
	// failed says why the step could not be done; it is tried again.
	failed error
	// leaving are the pods whose nodes are about to go, each with why.
	leaving []string
	// blind: nodes are not watched, so nobody sees one that is about to go.
	blind bool
}

// member is one pod of a store: what the cluster says of it, and what its process does.
type member struct {
	pod    corev1.Pod
	status *control.Status // nil: it does not report under the registered process and epoch
}

// members are the pods of a store by name, as the cache and the streams have them.
func (r *WALStoreReconciler) members(ctx context.Context, ws *v1alpha1.WALStore, root *Root) (map[string]member, error) {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(ws.Namespace), client.MatchingLabels{v1alpha1.LabelStore: ws.Name}); err != nil {
		return nil, err
	}
	out := map[string]member{}
	words := r.streams.Words(root)
	for _, p := range pods.Items {
		out[p.Name] = member{pod: p, status: words[manifest.WriterID(p.Name)]}
	}
	return out, nil
}

// Words are the newest statuses of the processes that the manifest has registered.
func (s *Streams) Words(root *Root) map[manifest.WriterID]*control.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[manifest.WriterID]*control.Status{}
	w := s.watched[root.UID]
	if w == nil {
		return out
	}
	epochs := root.Manifest.View().Writers
	for id, wr := range w.writers {
		if st := wr.status; st != nil && st.Store == root.ID() && st.Writer == string(id) &&
			(manifest.Epoch{Number: st.Epoch, Process: manifest.ProcessID(st.Process)}) == epochs[id] {
			said := *st
			out[id] = &said
		}
	}
	return out
}

// fleet is what is decided over: the StatefulSet as it is, and its pods.
func (r *WALStoreReconciler) fleet(ws *v1alpha1.WALStore, root *Root, set *appsv1.StatefulSet, members map[string]member) rollout.World {
	view, words := root.Manifest.View(), r.streams.Words(root)
	window, _, bad := windowStatus(ws, r.opt.Now())
	w := rollout.World{
		Want: int(ws.Spec.Managed.Replicas), Have: int(replicas(set)), Partition: int(partition(set)),
		Observed: set.Status.ObservedGeneration == set.Generation, Suspended: suspended(ws, r.opt.Now()) != nil, Locked: view.Lock != nil,
		Open: bad == nil && (window == nil || window.Open), Pods: map[int]rollout.Pod{},
	}
	for id, epoch := range view.Writers {
		if n, ok := ordinal(ws.Name, string(id)); ok {
			w.Pods[n] = rollout.Pod{Epoch: epoch, Pending: pendingOf(r.ledger.of(root.UID, id), words[id])}
		}
	}
	for name, m := range members {
		if n, ok := ordinal(ws.Name, name); ok {
			w.Pods[n] = m.facts(w.Pods[n], set, r)
		}
	}
	return w
}

// facts adds what is known of a pod to what is known of its writer.
func (m member) facts(p rollout.Pod, set *appsv1.StatefulSet, r *WALStoreReconciler) rollout.Pod {
	p.Exists, p.Ending = true, !m.pod.DeletionTimestamp.IsZero()
	p.Updated = set.Status.UpdateRevision != "" && m.pod.Labels[appsv1.ControllerRevisionHashLabelKey] == set.Status.UpdateRevision
	p.Age = r.opt.Now().Sub(m.pod.CreationTimestamp.Time)
	for _, c := range m.pod.Status.Conditions {
		p.Ready = p.Ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}
	for _, c := range m.pod.Status.ContainerStatuses {
		p.Started = p.Started || c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
	}
	if st := m.status; st != nil {
		p.Reports, p.Says = true, st.Waiting
		p.Drained = drained(st)
	}
	return p
}

// pendingOf counts the operations of a writer that wait for recovery: what a live
// process works on does not.
func pendingOf(known []pending, st *control.Status) (n int) {
	for _, p := range known {
		if st == nil || !contains(st.Open, string(p.operation)) {
			n++
		}
	}
	if st != nil {
		n = max(n, len(st.Abandoned))
	}
	return n
}

// drained reports whether a process that was asked to has nothing left that only it
// has: it takes no writes, has none under way, and the root covers its log. One that
// a write lock holds may go on when the lock ends: its word does not count.
func drained(st *control.Status) bool {
	return st.State == control.Draining && st.Lock == "" && st.Order != "" && st.InFlight == 0 && len(st.Open) == 0 && st.Next <= st.Durable+1 && st.Published >= st.Durable
}

// ordinal is the number of a pod of a StatefulSet.
func ordinal(set, pod string) (int, bool) {
	rest, ok := strings.CutPrefix(pod, set+"-")
	n, err := strconv.Atoi(rest)
	return n, ok && err == nil && n >= 0 && strconv.Itoa(n) == rest
}

func podName(ws *v1alpha1.WALStore, n int) string { return ws.Name + "-" + strconv.Itoa(n) }

// partition is the number from which on a StatefulSet's controller replaces pods.
func partition(set *appsv1.StatefulSet) int32 {
	if u := set.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		return *u.Partition
	}
	return 0
}

// shape is what of a StatefulSet moves by itself.
type shape struct {
	replicas, partition int32
	// template tells the wanted pod template from others.
	template string
}

// shapeOf is the shape that a StatefulSet is to have after a step. It is pure. While
// another template than the wanted one is there, no pod gets it: all keep theirs.
func shapeOf(set *appsv1.StatefulSet, want int32, template string, next rollout.Next) shape {
	if set.UID == "" {
		return shape{replicas: want, template: template}
	}
	s := shape{replicas: replicas(set), partition: partition(set), template: template}
	if set.Annotations[v1alpha1.AnnotationTemplate] != template {
		s.partition = s.replicas
		return s
	}
	switch next.Step {
	case rollout.Grow, rollout.Shrink:
		s.replicas = int32(next.Replicas)
	case rollout.Replace:
		s.partition = int32(next.Pod)
	case rollout.None:
		if next.Why == rollout.WhySettled && set.Status.ObservedGeneration == set.Generation {
			s.partition = 0
		}
	}
	return s
}
