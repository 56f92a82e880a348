// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance/restart"
	"github.com/salvor-io/salvor/manifest"
)

// treat does what one verdict says.
func (r *WALStoreReconciler) treat(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory, out *mending, i int) {
	v := &out.verdicts[i]
	var err error
	switch v.Step {
	case restart.Publish:
		if to, ok := r.memberOf(ctx, ws, root, v.Pod); ok {
			err = r.give(ctx, root, m, to, manifest.Hasten, "its log has failed, and its volume goes with it")
		}
	case restart.Record:
		// The status of this pass has it; the next pass evicts.
		out.restarts = restartStatus(restart.Remember(restartsOf(ws), *v, r.opt.Now()))
	case restart.Evict:
		err = r.evict(ctx, ws, root, m, v)
	}
	if err != nil {
		v.Step, v.Says = restart.Wait, v.Says+": "+short(err)
	}
}

func (r *WALStoreReconciler) memberOf(ctx context.Context, ws *v1alpha1.WALStore, root *Root, pod string) (member, bool) {
	members, err := r.members(ctx, ws, root)
	to, ok := members[pod]
	return to, ok && err == nil
}

// evict asks for the eviction of a pod whose restart was written down. It looks at
// everything anew first: who leads, the manifest, what pends, and at the WALStore on the
// API server itself, since what is not written down there is not done.
func (r *WALStoreReconciler) evict(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory, v *restart.Verdict) error {
	if err := r.fresh(ctx, root); err != nil {
		return err
	}
	if err := r.sweeper.all(ctx, root, normal); err != nil {
		return fmt.Errorf("list what pends: %w", err)
	}
	var now v1alpha1.WALStore
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(ws), &now); err != nil {
		return err
	}
	if now.UID != ws.UID {
		return fmt.Errorf("the WALStore is another one by now")
	}
	members, err := r.members(ctx, &now, root)
	if err != nil {
		return err
	}
	for _, again := range restart.Decide(r.sick(&now, root, m, members, r.volumes(ctx, m, members))) {
		if again.Pod != v.Pod {
			continue
		}
		if again.Step != restart.Evict || again.Process != v.Process {
			*v = again
			if v.Step == restart.Record { // it is not there yet, or any more: the next pass writes it
				v.Step = restart.Wait
			}
			return nil
		}
		return r.evictPod(ctx, ws, m, members[v.Pod], v)
	}
	return nil // it is well, or gone
}

// evictionPatience is how long one request for an eviction may take.
const evictionPatience = 5 * time.Second

// evictPod sends the eviction. A budget that refuses it is waited for.
func (r *WALStoreReconciler) evictPod(ctx context.Context, ws *v1alpha1.WALStore, m *memory, to member, v *restart.Verdict) error {
	uid := to.pod.UID
	eviction := &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: to.pod.Namespace, Name: to.pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
	}
	// A budget that nobody has looked at yet is answered with "ask again", which the client
	// would do for minutes.
	asking, cancel := context.WithTimeout(ctx, evictionPatience)
	defer cancel()
	err := r.SubResource("eviction").Create(asking, &to.pod, eviction)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // that pod is gone
	case err != nil:
		if m.refused == nil {
			m.refused = map[string]refusal{}
		}
		m.refused[v.Pod] = refusal{process: v.Process, by: refusedBy(err), at: r.opt.Now()}
		v.Step, v.Why, v.Says = restart.Wait, restart.WhyRefused, "its eviction was refused and is tried again: "+refusedBy(err)
		return nil
	}
	delete(m.refused, v.Pod)
	if m.mended[v.Pod] == v.Process {
		return nil // it was asked before, and has not gone yet
	}
	if m.mended == nil {
		m.mended = map[string]string{}
	}
	m.mended[v.Pod] = v.Process
	r.meters.restarts.WithLabelValues(ws.Namespace, ws.Name, string(v.Cause)).Inc()
	r.events.Eventf(ws, &to.pod, eventType(true), v1alpha1.ReasonPodRestarting, "Evict", "%s",
		clip(fmt.Sprintf("pod %s is restarted: %s: %s", v.Pod, v.Cause, to.status.PoisonReason)))
	return nil
}

// refusedBy says who refuses an eviction.
func refusedBy(err error) string {
	if apierrors.IsForbidden(err) {
		return short(err) + ": let the operator create pods/eviction in this namespace (config/rbac/operator)"
	}
	// The budget is named in the causes, and not in the message.
	var says string
	if status, ok := err.(apierrors.APIStatus); ok && status.Status().Details != nil {
		for _, c := range status.Status().Details.Causes {
			says += ": " + c.Message
		}
	}
	return short(err) + says
}
