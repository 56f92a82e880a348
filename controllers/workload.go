// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// workload is what is known of the pods that should be there.
type workload struct {
	expected int32
	step     step // its own part; the writers' streams come on top
	change   change
	budgets  step
}

// adopted looks at a StatefulSet that somebody else keeps. It is never changed.
func (r *WALStoreReconciler) adopted(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory) (w workload, err error) {
	name := ws.Spec.Workload.StatefulSetName
	var set appsv1.StatefulSet
	err = r.Get(ctx, client.ObjectKey{Namespace: ws.Namespace, Name: name}, &set)
	switch {
	case apierrors.IsNotFound(err):
		w.step.bad = found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonStatefulSetMissing, "StatefulSet %s/%s does not exist", ws.Namespace, name)
		return w, nil
	case err != nil:
		return w, err
	}
	w.expected = replicas(&set)
	if set.Spec.Template.Labels[v1alpha1.LabelStore] != ws.Name {
		w.step.bad = found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonLabelMissing,
			"the pods of StatefulSet %s lack the label %s=%s; its pods restart when you apply: %s",
			name, v1alpha1.LabelStore, ws.Name, labelCommand(ws)).final()
		return w, nil
	}
	w.step.ok = true
	if root == nil {
		return w, nil
	}
	members, err := r.members(ctx, ws, root)
	if err == nil {
		r.leaving(ctx, ws, root, m, members, &w.change)
	}
	return w, err
}

// labelCommand is the one command that lets the operator see the pods.
func labelCommand(ws *v1alpha1.WALStore) string {
	return fmt.Sprintf(`kubectl -n %s patch statefulset %s --type merge -p '{"spec":{"template":{"metadata":{"labels":{"%s":"%s"}}}}}'`,
		ws.Namespace, ws.Spec.Workload.StatefulSetName, v1alpha1.LabelStore, ws.Name)
}

func replicas(set *appsv1.StatefulSet) int32 {
	if set.Spec.Replicas == nil {
		return 1
	}
	return *set.Spec.Replicas
}

// available puts the writers' streams on top of what the workload says.
func (w workload) available(sum summary, streaming bool) step {
	switch {
	case w.step.bad != nil || !w.step.ok:
		return w.step
	case sum.pods < int(w.expected):
		return step{bad: found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonPodsMissing,
			"%d of %d pods carry the label %s", sum.pods, w.expected, v1alpha1.LabelStore)}
	case !streaming: // the root is not open: nobody streams, and that is not why
		return step{}
	case len(sum.behind) > 0:
		return step{bad: found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonWritersNotStreaming,
			"%s: no status under the registered process and epoch", list(sum.behind))}
	case sum.running < int(w.expected):
		return step{bad: found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonWritersNotStreaming,
			"%d of %d pods run", sum.running, w.expected)}
	}
	return step{ok: true}
}

// list names up to three things.
func list(names []string) string {
	out := ""
	for i, n := range slices.Sorted(slices.Values(names)) {
		switch {
		case i == 3:
			return fmt.Sprintf("%s and %d more", out, len(names)-3)
		case i > 0:
			out += ", "
		}
		out += n
	}
	return out
}

// TrimStatefulSet drops what nobody here looks at before one enters the cache.
func TrimStatefulSet(o any) (any, error) {
	set, ok := o.(*appsv1.StatefulSet)
	if !ok {
		return o, nil
	}
	slim := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: set.Name, Namespace: set.Namespace, UID: set.UID, ResourceVersion: set.ResourceVersion,
			Generation: set.Generation, OwnerReferences: set.OwnerReferences, DeletionTimestamp: set.DeletionTimestamp,
		},
		Spec: appsv1.StatefulSetSpec{Replicas: set.Spec.Replicas, UpdateStrategy: set.Spec.UpdateStrategy},
		Status: appsv1.StatefulSetStatus{
			Replicas: set.Status.Replicas, ReadyReplicas: set.Status.ReadyReplicas,
			ObservedGeneration: set.Status.ObservedGeneration, UpdateRevision: set.Status.UpdateRevision,
		},
	}
	if of, ok := set.Annotations[v1alpha1.AnnotationTemplate]; ok {
		slim.Annotations = map[string]string{v1alpha1.AnnotationTemplate: of}
	}
	slim.Spec.Template.Labels = set.Spec.Template.Labels // disruption budgets select by them
	return slim, nil
}
