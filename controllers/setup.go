// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/detect"
)

// NewScheme knows the kinds that the operator reads and writes.
func NewScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// CacheOptions bound what the operator keeps in memory: of pods only those that
// write a store, of pods and StatefulSets only what somebody here looks at. No
// namespaces means all of them.
func CacheOptions(namespaces []string) (cache.Options, error) {
	ours, err := labels.NewRequirement(v1alpha1.LabelStore, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	o := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:         {Label: labels.NewSelector().Add(*ours), Transform: TrimPod},
			&appsv1.StatefulSet{}: {Transform: TrimStatefulSet},
			&corev1.Node{}:        {Transform: TrimNode},

			&policyv1.PodDisruptionBudget{}: {Transform: TrimBudget},
		},
	}
	for _, ns := range namespaces {
		if o.DefaultNamespaces == nil {
			o.DefaultNamespaces = map[string]cache.Config{}
		}
		o.DefaultNamespaces[ns] = cache.Config{}
	}
	return o, nil
}

// ClientOptions keep Secrets, Services and Namespaces out of the cache: they are
// got by name, and never listed.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.Service{}, &corev1.Namespace{}}}}
}

// Setup adds the controllers and the stream manager to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, opt Options, metrics prometheus.Registerer) error {
	opt = opt.withDefaults()
	if err := index(ctx, mgr); err != nil {
		return err
	}
	roots, book, last, meters := &Roots{}, &ledger{}, &results{}, newMeters(metrics)
	stores, sidecars, maintenances, hooks := &wake{}, &wake{}, &wake{}, &wake{}
	held := &holders{wake: maintenances}
	events := mgr.GetEventRecorder("salvor-operator")
	streams := &Streams{
		opt: opt, log: mgr.GetLogger().WithName("streams"), cache: mgr.GetCache(), roots: roots, ledger: book, stores: stores, meters: meters, held: held,
		started: make(chan struct{}), det: detect.New(opt.Detect),
		watched: map[types.UID]*watched{}, byName: map[types.NamespacedName]types.UID{},
	}
	sweep := &sweeper{opt: opt, client: mgr.GetClient(), ledger: book, sidecars: sidecars, busy: streams.Busy}
	streams.sweep = sweep
	if err := mgr.Add(streams); err != nil {
		return err
	}
	s := &WALStoreReconciler{
		Client: mgr.GetClient(), opt: opt, live: mgr.GetAPIReader(), events: events, roots: roots, streams: streams, sweeper: sweep,
		ledger: book, results: last, sidecars: sidecars, maintenances: maintenances, meters: meters, each: map[types.NamespacedName]*memory{},
		opener: &opener{opt: opt, secrets: mgr.GetAPIReader(), requester: mgr.GetClient(), roots: roots},
	}
	if err := s.setup(mgr, stores); err != nil {
		return fmt.Errorf("set up the WALStore controller: %w", err)
	}
	r := &RecoverySidecarReconciler{
		Client: mgr.GetClient(), opt: opt, live: mgr.GetAPIReader(), events: events, roots: roots, streams: streams,
		ledger: book, stores: stores, results: last, meters: meters,
	}
	if err := r.setup(mgr, sidecars); err != nil {
		return fmt.Errorf("set up the RecoverySidecar controller: %w", err)
	}
	m := &StoreMaintenanceReconciler{
		Client: mgr.GetClient(), opt: opt, live: mgr.GetAPIReader(), events: events, roots: roots, streams: streams, stores: stores, held: held, hooks: hooks,
	}
	if err := m.setup(mgr, maintenances); err != nil {
		return fmt.Errorf("set up the StoreMaintenance controller: %w", err)
	}
	execs, err := newExecer(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("set up the HookRun controller: %w", err)
	}
	h := &HookRunReconciler{
		Client: mgr.GetClient(), opt: opt, live: mgr.GetAPIReader(), events: events, roots: roots, held: held, maintenances: maintenances,
		act: hookActor{pods: mgr.GetClient(), secrets: mgr.GetAPIReader(), exec: execs},
	}
	if err := h.setup(mgr, hooks); err != nil {
		return fmt.Errorf("set up the HookRun controller: %w", err)
	}
	return nil
}

// index lets the cache find RecoverySidecars by store and by object, and WALStores
// by the StatefulSet that they adopt.
func index(ctx context.Context, mgr ctrl.Manager) error {
	sidecar := func(f func(*v1alpha1.RecoverySidecar) string) client.IndexerFunc {
		return func(o client.Object) []string { return []string{f(o.(*v1alpha1.RecoverySidecar))} }
	}
	f := mgr.GetFieldIndexer()
	err := f.IndexField(ctx, &v1alpha1.RecoverySidecar{}, indexStore, sidecar(func(s *v1alpha1.RecoverySidecar) string { return s.Spec.StoreRef.Name }))
	if err != nil {
		return err
	}
	err = f.IndexField(ctx, &v1alpha1.RecoverySidecar{}, indexKey, sidecar(func(s *v1alpha1.RecoverySidecar) string {
		return keyIndex(s.Spec.StoreRef.Name, s.Spec.Key)
	}))
	if err != nil {
		return err
	}
	return f.IndexField(ctx, &v1alpha1.WALStore{}, indexSet, func(o client.Object) []string {
		if w := o.(*v1alpha1.WALStore).Spec.Workload; w != nil {
			return []string{w.StatefulSetName}
		}
		return nil
	})
}

const indexSet = "salvor.statefulset"

// setup: WALStores by their spec, the StatefulSets that they own or adopt, and
// whatever streams, pods and recoveries report.
func (r *WALStoreReconciler) setup(mgr ctrl.Manager, woken *wake) error {
	b := ctrl.NewControllerManagedBy(mgr).Named("walstore").
		For(&v1alpha1.WALStore{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&appsv1.StatefulSet{}).
		Watches(&appsv1.StatefulSet{}, handler.EnqueueRequestsFromMapFunc(r.adopters)).
		Watches(&policyv1.PodDisruptionBudget{}, handler.EnqueueRequestsFromMapFunc(r.neighbours), builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	if r.opt.Nodes {
		b = b.Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.hosted), builder.WithPredicates(leavingChanged))
	}
	return b.WatchesRawSource(source.Func(woken.Start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, SkipNameValidation: &r.opt.SkipNameValidation}).
		Complete(r)
}

// adopters are the WALStores that name a StatefulSet.
func (r *WALStoreReconciler) adopters(ctx context.Context, o client.Object) (out []reconcile.Request) {
	var l v1alpha1.WALStoreList
	if err := r.List(ctx, &l, client.InNamespace(o.GetNamespace()), client.MatchingFields{indexSet: o.GetName()}); err != nil {
		return nil // the cache is not there yet: every store is looked at when it is
	}
	for i := range l.Items {
		out = append(out, reconcile.Request{NamespacedName: nameOf(&l.Items[i])})
	}
	return out
}

// setup: RecoverySidecars when they appear, change or vanish by somebody else's
// hand, and whatever streams, pods and sweeps report. Our own status is no news.
func (r *RecoverySidecarReconciler) setup(mgr ctrl.Manager, woken *wake) error {
	return ctrl.NewControllerManagedBy(mgr).Named("recoverysidecar").
		Watches(&v1alpha1.RecoverySidecar{}, r.arrivals(woken), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Func(woken.Start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.opt.Concurrency, SkipNameValidation: &r.opt.SkipNameValidation}).
		Complete(r)
}

// setup: StoreMaintenances when they appear, change or vanish, HookRuns that somebody
// deletes, and whatever pods say of a lock. Our own status is no news.
func (r *StoreMaintenanceReconciler) setup(mgr ctrl.Manager, woken *wake) error {
	return ctrl.NewControllerManagedBy(mgr).Named("storemaintenance").
		For(&v1alpha1.StoreMaintenance{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.HookRun{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.(*v1alpha1.HookRun).Spec.Maintenance.Name}}}
		}), builder.WithPredicates(onlyDeletions)).
		WatchesRawSource(source.Func(woken.Start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, SkipNameValidation: &r.opt.SkipNameValidation}).
		Complete(r)
}

// onlyDeletions: everything else that a HookRun comes to is told by its own reconciler.
var onlyDeletions = predicate.Funcs{
	CreateFunc:  func(event.CreateEvent) bool { return false },
	UpdateFunc:  func(event.UpdateEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

// arrivals puts a resource into the queue with the urgency of what it stands for,
// and brings one back that was deleted while its object is there.
func (r *RecoverySidecarReconciler) arrivals(woken *wake) handler.EventHandler {
	up := func(o client.Object, priority int) { woken.up(nameOf(o), priority, 0) }
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			switch {
			case r.ledger.urgent(nameOf(e.Object)):
				up(e.Object, urgent)
			case e.IsInInitialList:
				up(e.Object, background)
				if s, ok := e.Object.(*v1alpha1.RecoverySidecar); ok && !holds(s.Status.Conditions, cComplete) {
					// After a hand-over: where something pends, somebody may be dead. Such a
					// store is opened before the others, and its writers get their streams first.
					r.stores.up(types.NamespacedName{Namespace: s.Namespace, Name: s.Spec.StoreRef.Name}, normal, 0)
				}
			default:
				up(e.Object, normal)
			}
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			up(e.ObjectNew, normal)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if s, ok := e.Object.(*v1alpha1.RecoverySidecar); ok && !holds(s.Status.Conditions, cComplete) {
				r.streams.Missing(types.NamespacedName{Namespace: s.Namespace, Name: s.Spec.StoreRef.Name})
			}
		},
	}
}
