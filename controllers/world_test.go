// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
)

const (
	// soon bounds what a test waits for: generous, because the machine may be busy.
	soon = 20 * time.Second
	// never is how long a test watches for what must not happen.
	never = 500 * time.Millisecond
)

var worlds atomic.Int32

// world is a namespace, a root in memory, and an operator that sees only them.
type world struct {
	t         *testing.T
	ctx       context.Context
	client    client.WithWatch
	namespace string
	number    int32
	disk      *mem.Bucket            // the root itself
	more      map[string]*mem.Bucket // roots of stores that have their own, see manyRoots
	root      *fault.Bucket          // the operator's door to it
	opt       Options
	meters    *prometheus.Registry
	api       *requests
	user      string                                    // that the operator is to the API server; empty: an admin
	wrap      func(http.RoundTripper) http.RoundTripper // of the operator's requests
	stop      func()                                    // the operator
	retain    v1alpha1.Retention                        // of the stores
	running   bool
	pods      int
	nudges    int
	node      string // of the pods that are made from here on
	revision  string // of their template
	claimed   bool   // the logs of their stores lie on claims
}

// newWorld makes a namespace and a root; start starts the operator.
func newWorld(t *testing.T) *world {
	t.Helper()
	_, c := apiServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, client: c, number: worlds.Add(1), disk: mem.New(mem.Options{}), api: &requests{}}
	w.root = fault.Wrap(w.disk)
	w.namespace = fmt.Sprintf("w%d", w.number)
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
	w.create(w.auditKeys())
	w.opt = Options{
		AllowLocalRoots: true, SkipNameValidation: true, SweepEvery: time.Hour, StatusEvery: 50 * time.Millisecond, Backoff: 50 * time.Millisecond,
		OpenBucket: func(context.Context, v1alpha1.Root, Access) (objstore.Bucket, error) { return w.root, nil },
	}
	return w
}

func (w *world) auditKeys() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "audit"},
		StringData: map[string]string{"k1": "0123456789abcdef0123456789abcdef", "current": "k1"},
	}
}

func (w *world) create(o client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.ctx, o); err != nil {
		w.t.Fatalf("create %T %s: %v", o, o.GetName(), err)
	}
}

// start runs an operator until the test ends, or stop is called.
func (w *world) start() {
	w.t.Helper()
	w.meters = prometheus.NewRegistry()
	end := w.operator(w.opt, w.meters)
	w.running = true
	w.stop = func() {
		w.running = false
		end()
	}
}

// operator runs one more operator of this namespace and returns how to stop it.
func (w *world) operator(opt Options, meters *prometheus.Registry) (stop func()) {
	w.t.Helper()
	shared, _ := apiServer(w.t)
	cfg := rest.CopyConfig(shared)
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper { return recorded{rt, w.api} })
	cfg.Impersonate.UserName = w.user
	if w.wrap != nil {
		cfg.Wrap(w.wrap)
	}
	scheme, err := NewScheme()
	must(w.t, err)
	cache, err := CacheOptions([]string{w.namespace})
	must(w.t, err)
	shutdown := 2 * time.Second
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme, Cache: cache, Client: ClientOptions(), GracefulShutdownTimeout: &shutdown,
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	must(w.t, err)
	ctx, cancel := context.WithCancel(w.ctx)
	must(w.t, Setup(ctx, mgr, opt, meters))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("operator: %v", err)
		}
	}
	w.t.Cleanup(stop)
	return stop
}

// metric sums the series of a counter or gauge.
func (w *world) metric(name string) (sum float64) {
	w.t.Helper()
	families, err := w.meters.Gather()
	must(w.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// store makes a WALStore that adopts pods, and the StatefulSet that it adopts.
func (w *world) store(name string, replicas int32, change ...func(*v1alpha1.WALStore)) *v1alpha1.WALStore {
	w.t.Helper()
	labels := map[string]string{v1alpha1.LabelStore: name}
	w.create(&appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec()},
		},
	})
	ws := &v1alpha1.WALStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.WALStoreSpec{
			Root:     v1alpha1.Root{URI: "mem://" + w.namespace},
			Workload: &v1alpha1.Workload{StatefulSetName: name},
			Audit:    v1alpha1.Audit{KeySecretRef: v1alpha1.LocalReference{Name: "audit"}},

			Retention: w.retain,
		},
	}
	for _, f := range change {
		f(ws)
	}
	w.create(ws)
	return ws
}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		Containers: []corev1.Container{{Name: "store", Image: "none", Ports: []corev1.ContainerPort{{ContainerPort: v1alpha1.DefaultControlPort}}}},
	}
}

// get reads a WALStore.
func (w *world) get(name string) *v1alpha1.WALStore {
	w.t.Helper()
	var ws v1alpha1.WALStore
	must(w.t, w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, &ws))
	return &ws
}

// sidecars reads the RecoverySidecars of the namespace.
func (w *world) sidecars() []v1alpha1.RecoverySidecar {
	w.t.Helper()
	var l v1alpha1.RecoverySidecarList
	must(w.t, w.client.List(w.ctx, &l, client.InNamespace(w.namespace)))
	return l.Items
}

// sidecar reads the RecoverySidecar of an operation; nil when there is none.
func (w *world) sidecar(op manifest.OperationID) *v1alpha1.RecoverySidecar {
	w.t.Helper()
	all := w.sidecars()
	for i := range all {
		if all[i].Spec.OperationID == string(op) {
			return &all[i]
		}
	}
	return nil
}

// condition of a WALStore, as "Status Reason".
func (w *world) condition(store, t string) string {
	w.t.Helper()
	return words(w.get(store).Status.Conditions, t)
}

func words(conditions []metav1.Condition, t string) string {
	c, _ := find(conditions, t)
	return string(c.Status) + " " + c.Reason
}

// becomes waits until a condition of a WALStore reads as wanted.
func (w *world) becomes(store, t, want string) {
	w.t.Helper()
	last := ""
	eventually(w.t, fmt.Sprintf("%s of %s to be %s", t, store, want), func() bool {
		last = w.condition(store, t)
		return last == want
	}, func() string {
		c, _ := find(w.get(store).Status.Conditions, t)
		return last + ": " + c.Message
	})
}

// healed waits until an operation's RecoverySidecar is Complete.
func (w *world) healed(op manifest.OperationID) *v1alpha1.RecoverySidecar {
	w.t.Helper()
	var rsc *v1alpha1.RecoverySidecar
	eventually(w.t, fmt.Sprintf("operation %s to be complete", op), func() bool {
		rsc = w.sidecar(op)
		return rsc != nil && holds(rsc.Status.Conditions, cComplete)
	}, func() string { return describeSidecars(w.sidecars()) })
	return rsc
}

func describeSidecars(all []v1alpha1.RecoverySidecar) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "\n%s %s %s/%s: %s", s.Name, s.Spec.Key, s.Status.Decision, s.Status.Reason, s.Status.Message)
	}
	return b.String()
}

// manifest reads the root's newest state, past the operator.
func (w *world) manifest() *manifest.State {
	w.t.Helper()
	m, err := manifest.Open(w.ctx, w.disk, manifest.Options{NewID: w.newID})
	must(w.t, err)
	return m.View()
}

// rows are the audit rows, after the whole chain was found good.
func (w *world) rows() []audit.Row {
	w.t.Helper()
	keys, err := audit.NewKeyring(map[string][]byte{"k1": []byte("0123456789abcdef0123456789abcdef"), "current": []byte("k1")})
	must(w.t, err)
	rep, err := audit.Verify(w.ctx, w.disk, chain, keys, audit.VerifyOptions{})
	must(w.t, err)
	if rep.Verdict() != audit.Good {
		w.t.Fatalf("audit chain: %+v", rep)
	}
	trail, err := audit.Open(w.disk, chain, keys, audit.Options{Recoverer: "test"})
	must(w.t, err)
	var out []audit.Row
	for row, err := range trail.Rows(w.ctx, 0) {
		must(w.t, err)
		out = append(out, row)
	}
	return out
}

// keys lists the root below a prefix.
func (w *world) keys(prefix string) (out []string) {
	w.t.Helper()
	for e, err := range w.disk.List(w.ctx, prefix, "") {
		must(w.t, err)
		out = append(out, e.Key)
	}
	return out
}

func (w *world) newID() string { return Options{}.withDefaults().NewID() }

// eventually waits until f holds, or fails with the reason and what says.
func eventually(t *testing.T, reason string, f func() bool, says ...func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline.C:
			for _, s := range says {
				t.Log(s())
			}
			t.Fatalf("waited %s for %s", soon, reason)
		}
	}
}

// throughout fails when f stops holding within a while.
func throughout(t *testing.T, d time.Duration, reason string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for {
		if !f() {
			t.Fatalf("%s did not hold throughout", reason)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
