// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

func TestPodsWithoutTheLabelAreAskedFor(t *testing.T) {
	w := newWorld(t)
	w.store("ledger", 1)
	set := w.set("ledger")
	set.Spec.Template.Labels = nil
	set.Spec.Selector = nil
	must(t, w.client.Delete(w.ctx, set))
	w.create(&appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ledger"},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: "ledger", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "ledger"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "ledger"}}, Spec: podSpec()},
		},
	})
	w.start()
	w.becomes("ledger", v1alpha1.ConditionReady, "False LabelMissing")
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionReady)
	command := c.Message[strings.Index(c.Message, "kubectl"):]
	if want := fmt.Sprintf("kubectl -n %s patch statefulset ledger --type merge -p '", w.namespace); !strings.HasPrefix(command, want) {
		t.Fatalf("it says: %s", c.Message)
	}
	patch := strings.Split(command, "'")[1]
	must(t, w.client.Patch(w.ctx, w.set("ledger"), client.RawPatch(types.MergePatchType, []byte(patch))))
	w.pod("ledger", 0)
	w.streaming("ledger")
}

func TestAStatefulSetThatIsNotThereIsSaid(t *testing.T) {
	w := newWorld(t)
	w.store("ledger", 1)
	must(t, w.client.Delete(w.ctx, w.set("ledger")))
	w.start()
	w.becomes("ledger", v1alpha1.ConditionReady, "False StatefulSetMissing")
}

func (w *world) set(name string) *appsv1.StatefulSet {
	w.t.Helper()
	var s appsv1.StatefulSet
	must(w.t, w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, &s))
	return &s
}

// managedStore makes a WALStore whose pods the operator is to run.
func (w *world) managedStore(name string, replicas int32) {
	w.t.Helper()
	w.secret("creds", v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey)
	w.create(&v1alpha1.WALStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.WALStoreSpec{
			Root: v1alpha1.Root{URI: "s3://bucket/root", Endpoint: "http://s3.example", PathStyle: true,
				Credentials: &v1alpha1.Credentials{SecretRef: v1alpha1.LocalReference{Name: "creds"}}},
			Managed: &v1alpha1.ManagedStore{Replicas: replicas, NodeSelector: map[string]string{"disk": "fast"}},
			Audit:   v1alpha1.Audit{KeySecretRef: v1alpha1.LocalReference{Name: "audit"}},
		},
	})
}

func TestAManagedStoreIsRunByServerSideApply(t *testing.T) {
	contract.Row(t, 146)
	w := newWorld(t)
	w.opt.StoreImage = "salvor.local/salvor:dev"
	w.managedStore("ledger", 1)
	w.start()
	w.becomes("ledger", v1alpha1.ConditionWorkloadAvailable, "False PodsMissing")
	set := w.set("ledger")
	c := set.Spec.Template.Spec.Containers[0]
	args := strings.Join(c.Args, " ")
	for _, part := range []string{
		"store serve --root s3://bucket/root?credentials_dir=%2Fvar%2Frun%2Fsecrets%2Fsalvor-root&endpoint=http%3A%2F%2Fs3.example&path_style=true",
		"--writer $(POD_NAME)", "--listen :8410", "--control-listen :8411", "--checkpoint-interval 10s", "--recover operator",
	} {
		if !strings.Contains(args, part) {
			t.Errorf("no %q in: %s", part, args)
		}
	}
	if c.Image != w.opt.StoreImage || !metav1.IsControlledBy(set, w.get("ledger")) || set.Spec.Template.Labels[v1alpha1.LabelStore] != "ledger" {
		t.Errorf("%+v", set.ObjectMeta)
	}
	// A person adds what is not ours, and it stays; what is ours comes back.
	for _, patch := range []string{
		`{"metadata":{"labels":{"team":"ledger"}},"spec":{"template":{"metadata":{"annotations":{"note":"mine"}}}}}`,
		`{"spec":{"template":{"spec":{"nodeSelector":{"disk":"slow"}}}}}`,
		`{"spec":{"replicas":3}}`,
	} {
		must(t, w.client.Patch(w.ctx, w.set("ledger"), client.RawPatch(types.MergePatchType, []byte(patch))))
	}
	eventually(t, "what is ours to be back", func() bool { return w.set("ledger").Spec.Template.Spec.NodeSelector["disk"] == "fast" })
	set = w.set("ledger")
	if set.Labels["team"] != "ledger" || set.Spec.Template.Annotations["note"] != "mine" {
		t.Errorf("a person's edits are gone: %v %v", set.Labels, set.Spec.Template.Annotations)
	}
	eventually(t, "what nobody asked for in the WALStore to be gone, since it has never run", func() bool {
		w.observed("ledger", "")
		return *w.set("ledger").Spec.Replicas == 1
	})
	w.observed("ledger", "")
	w.becomes("ledger", v1alpha1.ConditionChanging, "False WorkloadAsIs")
	before := w.api.count()
	throughout(t, never, "no more applies", func() bool { return len(w.api.writes(before, "statefulsets")) == 0 })
}

// What is asked for of a log is told to its pods; what is not is left to their image.
func TestFlagsOfALog(t *testing.T) {
	contract.Row(t, 46)
	every := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	for want, l := range map[string]v1alpha1.ManagedLog{
		"":                                       {},
		"--sync commit":                          {Sync: v1alpha1.SyncCommit},
		"--sync none --mirror-interval 0s":       {Sync: v1alpha1.SyncNone, MirrorInterval: every(0)},
		"--sync interval --sync-interval 100ms":  {Sync: v1alpha1.SyncInterval, SyncInterval: every(100 * time.Millisecond)},
		"--sync interval --mirror-interval 1m0s": {Sync: v1alpha1.SyncInterval, MirrorInterval: every(time.Minute)},
	} {
		if got := strings.Join(logFlags(l), " "); got != want {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
		args := container(&v1alpha1.WALStore{Spec: v1alpha1.WALStoreSpec{Managed: &v1alpha1.ManagedStore{Log: l}}}, "image", time.Second, false).Args
		if got := strings.Join(args, " "); want == "" && strings.Contains(got, "--sync") || !strings.HasSuffix(got, want) {
			t.Errorf("%+v: %q", l, got)
		}
	}
}

// A pod asks for a little of the processor and of the memory when nobody has said what,
// and for what was said when somebody has.
func TestAStorePodIsNotBestEffort(t *testing.T) {
	contract.Row(t, 144)
	amount := func(s string) *resource.Quantity { q := resource.MustParse(s); return &q }
	for want, m := range map[string]*v1alpha1.ManagedResources{
		"cpu 10m, memory 32Mi": nil,
		"cpu 0, memory 0":      {},
		"cpu 2, memory 0":      {Requests: &v1alpha1.ResourceAmounts{CPU: amount("2")}},
		"cpu 0, memory 1Gi":    {Requests: &v1alpha1.ResourceAmounts{Memory: amount("1Gi")}},
	} {
		c := container(&v1alpha1.WALStore{Spec: v1alpha1.WALStoreSpec{Managed: &v1alpha1.ManagedStore{Resources: m}}}, "image", time.Second, false)
		requests := *c.Resources.Requests
		if got := fmt.Sprintf("cpu %s, memory %s", requests.Cpu(), requests.Memory()); got != want {
			t.Errorf("%+v: %s, want %s", m, got, want)
		}
	}
}

func TestAForeignObjectOfOurNameIsRefused(t *testing.T) {
	contract.Row(t, 146)
	for kind, o := range map[string]client.Object{
		"StatefulSet": &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{
			ServiceName: "x", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}}, Spec: podSpec()},
		}},
		"Service": &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 1}}}},
	} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.opt.StoreImage = "salvor.local/salvor:dev"
			o := o.DeepCopyObject().(client.Object)
			o.SetName("ledger")
			o.SetNamespace(w.namespace)
			w.create(o)
			version := o.GetResourceVersion()
			w.managedStore("ledger", 1)
			w.start()
			w.becomes("ledger", v1alpha1.ConditionReady, "False ForeignObject")
			must(t, w.client.Get(w.ctx, client.ObjectKeyFromObject(o), o))
			if o.GetResourceVersion() != version {
				t.Errorf("the foreign %s was touched", kind)
			}
			eventually(t, "an event", func() bool {
				var l eventsv1.EventList
				must(t, w.client.List(w.ctx, &l, client.InNamespace(w.namespace)))
				for _, e := range l.Items {
					if e.Reason == v1alpha1.ReasonForeignObject && strings.Contains(e.Note, kind) {
						return true
					}
				}
				return false
			})
		})
	}
}

func TestWithoutARootOfItsOwnNoPodIsRun(t *testing.T) {
	contract.Row(t, 162)
	w := newWorld(t)
	w.opt.StoreImage = "salvor.local/salvor:dev"
	w.store("first", 0)
	w.start()
	w.becomes("first", v1alpha1.ConditionRootClaimed, "True Claimed")
	w.managedStore("second", 1) // the same bucket stands behind every door here
	w.becomes("second", v1alpha1.ConditionReady, "False RootClaimedByAnother")
	var l appsv1.StatefulSetList
	must(t, w.client.List(w.ctx, &l, client.InNamespace(w.namespace)))
	if len(l.Items) != 1 {
		t.Errorf("%d StatefulSets, want that of the first store only", len(l.Items))
	}
}
