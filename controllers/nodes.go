// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
)

// leavingTaints say that a node is about to go, each in somebody's words.
var leavingTaints = map[string]string{
	corev1.TaintNodeUnschedulable:                 "is cordoned",
	"ToBeDeletedByClusterAutoscaler":              "is about to be deleted by the cluster autoscaler",
	"DeletionCandidateOfClusterAutoscaler":        "may be deleted by the cluster autoscaler",
	"karpenter.sh/disrupted":                      "is about to be deleted by Karpenter",
	"karpenter.sh/disruption":                     "is about to be deleted by Karpenter",
	corev1.TaintNodeOutOfService:                  "is out of service",
	"node.cloudprovider.kubernetes.io/shutdown":   "is shut down",
	"aws-node-termination-handler/spot-itn":       "is a spot instance that is taken back",
	"cloud.google.com/impending-node-termination": "is about to be terminated by its cloud",
}

// leavingNode says why a node is about to go; empty: it is not. It is pure.
func leavingNode(n *corev1.Node) string {
	if !n.DeletionTimestamp.IsZero() {
		return "is being deleted"
	}
	if n.Spec.Unschedulable {
		return leavingTaints[corev1.TaintNodeUnschedulable]
	}
	for _, t := range n.Spec.Taints {
		if why := leavingTaints[t.Key]; why != "" {
			return why
		}
	}
	return ""
}

// leaving asks the pods whose nodes are about to go to have little unpublished, so that
// their end takes a moment; they go on taking writes. Those whose nodes stay after all
// are let be.
func (r *WALStoreReconciler) leaving(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory, members map[string]member, c *change) {
	c.blind = !r.opt.Nodes
	if c.blind || suspended(ws, r.opt.Now()) != nil {
		return
	}
	for name, to := range members {
		var node corev1.Node
		if to.pod.Spec.NodeName == "" || r.Get(ctx, client.ObjectKey{Name: to.pod.Spec.NodeName}, &node) != nil {
			continue
		}
		why := leavingNode(&node)
		if why == "" {
			if m.orders[name].mode == manifest.Hasten && (to.status == nil || to.status.State != control.Poisoned) {
				r.takeBack(ctx, root, m, name)
			}
			continue
		}
		says := fmt.Sprintf("pod %s: its node %s %s", name, node.Name, why)
		switch {
		case to.status == nil:
			says += "; it does not report"
		case root.Manifest.View().Lock != nil:
			says += "; a write lock holds the store, so it can publish nothing"
		case to.status.State == control.Serving:
			if err := r.give(ctx, root, m, to, manifest.Hasten, "its node "+why); err != nil {
				says += "; " + short(err)
			} else {
				says += "; it publishes every second"
			}
		}
		c.leaving = append(c.leaving, says)
	}
	slices.Sort(c.leaving)
}

// hosted are the WALStores with a pod on a node.
func (r *WALStoreReconciler) hosted(ctx context.Context, o client.Object) (out []reconcile.Request) {
	var pods corev1.PodList
	if err := r.List(ctx, &pods); err != nil {
		return nil // the cache is not there yet: every store is looked at when it is
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		at := reconcile.Request{NamespacedName: client.ObjectKey{Namespace: p.Namespace, Name: p.Labels[v1alpha1.LabelStore]}}
		if p.Spec.NodeName == o.GetName() && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// leavingChanged lets through what may begin or end a node's leaving; not its heartbeats.
var leavingChanged = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return isLeaving(e.Object) },
	UpdateFunc: func(e event.UpdateEvent) bool { return isLeaving(e.ObjectOld) != isLeaving(e.ObjectNew) },
	DeleteFunc: func(event.DeleteEvent) bool { return false },
}

func isLeaving(o client.Object) bool {
	n, ok := o.(*corev1.Node)
	return ok && leavingNode(n) != ""
}

// TrimNode drops what nobody here looks at before a node enters the cache.
func TrimNode(o any) (any, error) {
	n, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	slim := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, DeletionTimestamp: n.DeletionTimestamp}}
	slim.Spec.Unschedulable = n.Spec.Unschedulable
	for _, t := range n.Spec.Taints {
		slim.Spec.Taints = append(slim.Spec.Taints, corev1.Taint{Key: t.Key, Effect: t.Effect})
	}
	return slim, nil
}

// MayWatchNodes asks the API server whether this operator may see nodes.
func MayWatchNodes(ctx context.Context, cfg *rest.Config) (bool, error) {
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return false, err
	}
	for _, verb := range []string{"list", "watch"} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: "nodes"},
		}}
		is, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil || !is.Status.Allowed {
			return false, err
		}
	}
	return true, nil
}
