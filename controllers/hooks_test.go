// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

const databasePort = 5480

// database is a pod that writes no root and knows nothing of salvor: it has a setting
// that can be read, changed and put back, over HTTP.
type database struct {
	*storePod
	mu      sync.Mutex
	setting string
	calls   []string
	// answers overrule what a path answers, after it was done; gates stop in front of that.
	answers map[string]int
	gates   map[string]chan struct{}
	arrived chan string
	asked   func(path string)
}

// database makes one that runs.
func (w *world) database(store string, n int, setting string) *database {
	w.t.Helper()
	w.pods++
	d := &database{
		storePod: &storePod{w: w, name: fmt.Sprintf("%s-%d", store, n), ip: fmt.Sprintf("127.%d.%d.%d", 10+w.number/200, w.number%200, w.pods)},
		setting:  setting, answers: map[string]int{}, gates: map[string]chan struct{}{}, arrived: make(chan string, 100),
	}
	l, err := net.Listen("tcp", net.JoinHostPort(d.ip, fmt.Sprint(databasePort)))
	must(w.t, err)
	srv := &http.Server{Handler: d, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }()
	w.t.Cleanup(func() { _ = srv.Close() })
	d.there()
	return d
}

// there makes the pod.
func (d *database) there() {
	d.w.t.Helper()
	d.w.create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.w.namespace, Name: d.name, Labels: map[string]string{v1alpha1.LabelStore: strings.Split(d.name, "-")[0]}}, Spec: podSpec()})
	d.status(running)
}

// ServeHTTP reads the setting, sets it to on, or puts it to what the body says.
func (d *database) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	d.calls = append(d.calls, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
	before := d.setting
	switch r.URL.Path {
	case "/read-only":
		d.setting = "on"
	case "/restore":
		d.setting = string(body)
	}
	answer, gate, asked := d.answers[r.URL.Path], d.gates[r.URL.Path], d.asked
	d.mu.Unlock()
	if asked != nil {
		asked(r.URL.Path)
	}
	if gate != nil {
		d.arrived <- r.URL.Path
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	if answer/100 == 3 {
		w.Header().Set("Location", r.Header.Get("X-Elsewhere"))
	}
	if answer != 0 {
		w.WriteHeader(answer)
	}
	if r.URL.Path == "/setting" {
		_, _ = io.WriteString(w, before)
	} else {
		fmt.Fprintf(w, "setting was %s", before)
	}
}

func (d *database) is() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.setting
}

func (d *database) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *database) count(call string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if strings.HasPrefix(c, call) {
			n++
		}
	}
	return n
}

func (d *database) becomes(setting string) {
	d.w.t.Helper()
	eventually(d.w.t, fmt.Sprintf("the setting of %s to be %q", d.name, setting), func() bool { return d.is() == setting }, func() string { return fmt.Sprint(d.is(), d.calls) },
		func() string { raw, _ := json.MarshalIndent(d.w.hookRun("ledger"), "", " "); return string(raw) })
}

// restarts: the kubelet starts another container, whose setting is what its disk says.
func (d *database) again(setting string) {
	d.w.t.Helper()
	d.set(func() { d.setting = setting })
	d.restarts++
	d.status(running)
}

func requestTo(method, path string) *v1alpha1.HTTPAction {
	return &v1alpha1.HTTPAction{Scheme: "http", Port: databasePort, Path: path, Method: method}
}

// readOnlyHook makes databases read-only, and puts back what they were.
func readOnlyHook(change ...func(*v1alpha1.Hook)) func(*v1alpha1.StoreMaintenance) {
	h := v1alpha1.Hook{
		Name:  "read-only",
		Prior: &v1alpha1.HookAction{HTTP: requestTo("GET", "/setting")},
		Pre:   v1alpha1.HookAction{HTTP: requestTo("POST", "/read-only")},
		Post:  &v1alpha1.HookAction{HTTP: requestTo("POST", "/restore")},
	}
	for _, f := range change {
		f(&h)
	}
	return func(m *v1alpha1.StoreMaintenance) { m.Spec.Hooks = append(m.Spec.Hooks, h) }
}

func patience(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func until(d time.Duration) func(*v1alpha1.StoreMaintenance) {
	return func(m *v1alpha1.StoreMaintenance) { m.Spec.Until = metav1.NewTime(time.Now().Add(d)) }
}

// hookRun reads the HookRun of a store; nil when there is none.
func (w *world) hookRun(store string) *v1alpha1.HookRun {
	w.t.Helper()
	var run v1alpha1.HookRun
	err := w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: store}, &run)
	if apierrors.IsNotFound(err) {
		return nil
	}
	must(w.t, err)
	return &run
}

func (w *world) hookRunGone(store string) {
	w.t.Helper()
	eventually(w.t, "the HookRun of "+store+" to be gone", func() bool { return w.hookRun(store) == nil },
		func() string { raw, _ := json.MarshalIndent(w.hookRun(store), "", " "); return string(raw) })
}

// ledgerOfDatabases is an operator and a store whose pods write no root.
func ledgerOfDatabases(t *testing.T, settings ...string) (*world, []*database) {
	t.Helper()
	w := newWorld(t)
	w.opt.UndoFor, w.opt.HookTries = 2*time.Second, 2
	w.store("ledger", int32(len(settings)))
	w.start()
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	var dbs []*database
	for i, s := range settings {
		dbs = append(dbs, w.database("ledger", i, s))
	}
	return w, dbs
}

// From the resource to read-only databases and back: pods that have never heard of
// salvor are quiet while the store is held, and are what they were before the lock ends.
func TestHooksQuiesceAndUndo(t *testing.T) {
	contract.Row(t, 139)
	w, dbs := ledgerOfDatabases(t, "off", "odd")
	var mu sync.Mutex
	locked := map[string][]string{}
	for _, d := range dbs {
		d.set(func() {
			d.asked = func(path string) {
				_, st := w.state("ledger")
				mu.Lock()
				defer mu.Unlock()
				mode := "none"
				if st.Lock != nil {
					mode = string(st.Lock.Mode)
				}
				locked[path] = append(locked[path], mode)
			}
		})
	}
	m := w.freeze("restart", readOnlyHook())
	st := w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	for _, d := range dbs {
		if d.is() != "on" {
			t.Errorf("%s is held, and %s", d.name, d.is())
		}
	}
	s := st.Stores[0]
	if s.Acknowledged != "2/2" || s.Hooks == nil || s.Hooks.Ran != 2 || s.Hooks.Failed != 0 || s.Hooks.Owed != 2 {
		t.Errorf("%+v, hooks %+v", s, s.Hooks)
	}
	run := w.hookRun("ledger")
	if len(run.Status.Pods) != 2 || !holds(run.Status.Conditions, v1alpha1.ConditionQuiesced) {
		t.Fatalf("%+v", run.Status)
	}
	h := run.Status.Pods[1].Hooks[0]
	if *h.Prior != "odd" || h.Pre.Result != v1alpha1.HookSucceeded || h.Pre.HTTPStatus != 200 || h.Pre.Attempts != 1 || h.Pre.Output != "setting was odd" || h.Pre.EndedAt == nil || h.Post != nil {
		t.Errorf("%+v, pre %+v", h, h.Pre)
	}
	w.thaw(m)
	w.unlocked("ledger")
	for i, want := range []string{"off", "odd"} {
		if got := dbs[i].is(); got != want {
			t.Errorf("%s: %q after the thaw, want %q", dbs[i].name, got, want)
		}
		if calls := strings.Join(dbs[i].calls, ", "); calls != "GET /setting, POST /read-only, POST /restore "+want {
			t.Errorf("%s: %s", dbs[i].name, calls)
		}
	}
	w.hookRunGone("ledger")
	mu.Lock()
	defer mu.Unlock()
	for path, want := range map[string]string{"/setting": "Draining", "/read-only": "Draining", "/restore": "Frozen"} {
		if got := locked[path]; len(got) != 2 || got[0] != want || got[1] != want {
			t.Errorf("%s was asked while the locks were %v, want %s", path, got, want)
		}
	}
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release")
}

// A pre hook that fails, after it has done half of its work, gives the freeze up; what
// it did is undone, in that pod and in those where it has not failed.
func TestAHookThatFailsIsUndone(t *testing.T) {
	contract.Row(t, 139)
	w, dbs := ledgerOfDatabases(t, "off", "odd")
	dbs[1].set(func() { dbs[1].answers["/read-only"] = 500 })
	w.freeze("restart", readOnlyHook())
	st := w.smt("restart", v1alpha1.ConditionReleased, "True HookFailed")
	w.unlocked("ledger")
	for i, want := range []string{"off", "odd"} {
		if got := dbs[i].is(); got != want {
			t.Errorf("%s: %q, want %q", dbs[i].name, got, want)
		}
	}
	run := w.hookRun("ledger")
	if run == nil || !holds(run.Status.Conditions, v1alpha1.ConditionUndone) {
		t.Fatalf("it is to be read until the maintenance is deleted: %+v", run)
	}
	if p := run.Status.Pods[1].Hooks[0]; p.Pre.Result != v1alpha1.HookFailed || p.Pre.HTTPStatus != 500 || int(p.Pre.Tries) != w.opt.HookTries || p.Pre.Message != "HTTP status 500 Internal Server Error" || p.Post.Result != v1alpha1.HookSucceeded {
		t.Errorf("%+v %+v", p.Pre, p.Post)
	}
	if dbs[1].count("POST /read-only") != w.opt.HookTries || st.Stores[0].Hooks.Undone != 2 {
		t.Errorf("%v, %+v", dbs[1].calls, st.Stores[0].Hooks)
	}
	wants(t, w.entries("ledger"), "lock Draining", "release")
	var m v1alpha1.StoreMaintenance
	must(t, w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "restart"}, &m))
	w.thaw(&m)
	w.hookRunGone("ledger")
}

// A hook that may fail stops nobody, and is undone all the same.
func TestAHookMayFail(t *testing.T) {
	contract.Row(t, 139)
	w, dbs := ledgerOfDatabases(t, "off")
	dbs[0].set(func() { dbs[0].answers["/read-only"] = 503 })
	m := w.freeze("restart", readOnlyHook(func(h *v1alpha1.Hook) { h.Pre.OnError = v1alpha1.HookContinue }))
	st := w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	if h := st.Stores[0].Hooks; h.Failed != 1 || h.Ran != 0 || h.Owed != 1 {
		t.Errorf("%+v", h)
	}
	w.thaw(m)
	w.unlocked("ledger")
	if dbs[0].is() != "off" {
		t.Errorf("%s", dbs[0].is())
	}
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release")
}

// The operator dies while a pre hook is on its way: that it may have happened stands in
// the HookRun, and the next operator undoes it, although the maintenance is deleted.
func TestAnOperatorDiesInAHook(t *testing.T) {
	contract.Row(t, 137, 139)
	w, dbs := ledgerOfDatabases(t, "odd")
	d := dbs[0]
	gate := make(chan struct{})
	d.set(func() { d.gates["/read-only"] = gate })
	m := w.freeze("restart", readOnlyHook(func(h *v1alpha1.Hook) { h.Pre.Timeout = patience(2 * time.Second) }))
	<-d.arrived
	run := w.hookRun("ledger")
	if p := run.Status.Pods; len(p) != 1 || p[0].Hooks[0].Pre == nil || p[0].Hooks[0].Pre.Result != v1alpha1.HookBegun || *p[0].Hooks[0].Prior != "odd" {
		t.Fatalf("a hook runs of which nothing is written down: %+v", p)
	}
	w.stop()
	w.thaw(m)
	if d.is() != "on" {
		t.Fatalf("%s", d.is())
	}
	begun := run.Status.Pods[0].Hooks[0].Pre.BegunAt.Time
	d.set(func() { delete(d.gates, "/read-only") })
	var early time.Duration
	d.set(func() {
		d.asked = func(path string) {
			if left := begun.Add(2 * time.Second).Sub(time.Now()); path == "/restore" && left > 0 {
				early = left
			}
		}
	})
	w.start()
	d.becomes("odd")
	w.unlocked("ledger")
	w.hookRunGone("ledger")
	if d.count("POST /restore") != 1 || d.count("POST /read-only") != 1 || early > 0 {
		t.Errorf("%v; undone %s before pre's time was over", d.calls, early)
	}
	close(gate)
}

// The operator dies with everything held: the next one knows the prior settings.
func TestAHeldDatabaseOutlivesItsOperator(t *testing.T) {
	contract.Row(t, 137, 139)
	w, dbs := ledgerOfDatabases(t, "odd")
	m := w.freeze("restart", readOnlyHook())
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	w.stop()
	dbs[0].again("on") // and a restart that nobody saw
	w.start()
	eventually(t, "the new container to be quiet", func() bool { return dbs[0].count("POST /read-only") == 2 })
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	w.stop()
	w.thaw(m)
	w.start()
	w.unlocked("ledger")
	w.hookRunGone("ledger")
	if calls := strings.Join(dbs[0].calls, ", "); calls != "GET /setting, POST /read-only, POST /read-only, POST /restore odd" {
		t.Errorf("%s", calls)
	}
}

// A container that starts while the store is held is made quiet, too; what was before
// the first time is what comes back.
func TestANewContainerIsQuietToo(t *testing.T) {
	contract.Row(t, 139)
	w, dbs := ledgerOfDatabases(t, "odd")
	m := w.freeze("restart", readOnlyHook())
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	dbs[0].again("default")
	dbs[0].becomes("on")
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	dbs[0].delete()
	eventually(t, "the pod to go", func() bool {
		var pod corev1.Pod
		return apierrors.IsNotFound(w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: dbs[0].name}, &pod))
	})
	dbs[0].set(func() { dbs[0].setting = "default" })
	dbs[0].there() // another pod of that name
	dbs[0].becomes("on")
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	if dbs[0].count("GET /setting") != 1 {
		t.Errorf("the prior setting was read again: %v", dbs[0].calls)
	}
	// One whose hook fails keeps the store held: somebody restarts a database.
	dbs[0].set(func() { dbs[0].answers["/read-only"] = 500 })
	dbs[0].again("default")
	w.smt("restart", v1alpha1.ConditionHeld, "True FrozenIncomplete")
	eventually(t, "it to be tried on", func() bool { return dbs[0].count("POST /read-only") > 3+w.opt.HookTries })
	dbs[0].set(func() { delete(dbs[0].answers, "/read-only") })
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	w.thaw(m)
	w.unlocked("ledger")
	if got := dbs[0].is(); got != "odd" {
		t.Errorf("%q after the thaw, want what was before the freeze", got)
	}
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release")
}

// A hook has its time, and not more; a redirect leads nowhere.
func TestAHookIsBounded(t *testing.T) {
	contract.Row(t, 139)
	t.Run("in time", func(t *testing.T) {
		w, dbs := ledgerOfDatabases(t, "odd")
		gate := make(chan struct{})
		defer close(gate)
		dbs[0].set(func() { dbs[0].gates["/read-only"] = gate })
		w.freeze("restart", readOnlyHook(func(h *v1alpha1.Hook) { h.Pre.Timeout = patience(150 * time.Millisecond) }))
		w.smt("restart", v1alpha1.ConditionReleased, "True HookFailed")
		if p := w.hookRun("ledger").Status.Pods[0].Hooks[0].Pre; !strings.HasPrefix(p.Message, "not done within 150ms") || p.EndedAt.Sub(p.BegunAt.Time) > 5*time.Second {
			t.Errorf("%+v", p)
		}
		dbs[0].becomes("odd")
	})
	t.Run("to the pod", func(t *testing.T) {
		w, dbs := ledgerOfDatabases(t, "odd")
		other := w.database("other", 0, "odd")
		w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "admin"}, StringData: map[string]string{"token": "http://" + net.JoinHostPort(other.ip, fmt.Sprint(databasePort)) + "/read-only\n"}})
		dbs[0].set(func() { dbs[0].answers["/read-only"] = 307 })
		w.freeze("restart", readOnlyHook(func(h *v1alpha1.Hook) {
			h.Pre.HTTP.Header = &v1alpha1.SecretHeader{Name: "X-Elsewhere", SecretName: "admin", Key: "token"}
		}))
		w.smt("restart", v1alpha1.ConditionReleased, "True HookFailed")
		if len(other.calls) != 0 {
			t.Errorf("another host was asked: %v", other.calls)
		}
		if p := w.hookRun("ledger").Status.Pods[0].Hooks[0].Pre; p.HTTPStatus != 307 || !strings.Contains(p.Message, "redirects are not followed") {
			t.Errorf("%+v", p)
		}
		dbs[0].becomes("odd")
	})
}

// A post hook that fails keeps the lock, and is tried on; where it may fail, the lock is
// released and it is tried on all the same.
func TestAnUndoThatFailsIsTriedOn(t *testing.T) {
	contract.Row(t, 139)
	for _, on := range []v1alpha1.OnHookError{v1alpha1.HookFail, v1alpha1.HookContinue} {
		t.Run(string(on), func(t *testing.T) {
			w, dbs := ledgerOfDatabases(t, "odd")
			m := w.freeze("restart", readOnlyHook(func(h *v1alpha1.Hook) { h.Post.OnError = on }))
			w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
			dbs[0].set(func() { dbs[0].answers["/restore"] = 500 })
			w.thaw(m)
			eventually(t, "some attempts", func() bool { return dbs[0].count("POST /restore") > 2 })
			if on == v1alpha1.HookContinue {
				w.unlocked("ledger")
			} else if _, st := w.state("ledger"); st.Lock == nil {
				t.Error("the lock was released before it was undone")
			}
			if c, _ := find(w.hookRun("ledger").Status.Conditions, v1alpha1.ConditionUndone); c.Reason != v1alpha1.ReasonHooksUndoing || !strings.Contains(c.Message, "restart was deleted: ledger-0 (hook read-only: post") {
				t.Errorf("%+v", c)
			}
			dbs[0].set(func() { delete(dbs[0].answers, "/restore") })
			w.unlocked("ledger")
			w.hookRunGone("ledger")
			if dbs[0].is() != "odd" {
				t.Errorf("%s", dbs[0].is())
			}
		})
	}
}

// What cannot be undone in time is told, with what to do; a pod that comes back after
// that is undone all the same. Until then no other maintenance reads a prior setting
// that is not one.
func TestWhatCannotBeUndoneIsTold(t *testing.T) {
	contract.Row(t, 137, 139)
	w, dbs := ledgerOfDatabases(t, "odd")
	w.freeze("restart", readOnlyHook(), until(12*time.Second))
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	dbs[0].delete()
	w.smt("restart", v1alpha1.ConditionReleased, "False HooksUndoing")
	w.freeze("next", readOnlyHook())
	eventually(t, "the next one to wait", func() bool {
		st := w.smt("next", v1alpha1.ConditionHeld, "False NotHeldYet")
		return len(st.Stores) == 1 && strings.Contains(st.Stores[0].Message, "the hooks of StoreMaintenance restart are not undone yet")
	})
	st := w.smt("restart", v1alpha1.ConditionReleased, "True Expired")
	if c, _ := find(st.Conditions, v1alpha1.ConditionStalled); c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonHooksNotUndone || !strings.Contains(c.Message, "pod ledger-0 hook read-only: post (the pod does not run)") || !strings.Contains(c.Message, "then delete the HookRun") {
		t.Errorf("%+v", c)
	}
	if c, _ := find(w.hookRun("ledger").Status.Conditions, v1alpha1.ConditionStalled); c.Status != metav1.ConditionTrue {
		t.Errorf("%+v", c)
	}
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "expire")
	dbs[0].there()
	w.smt("next", v1alpha1.ConditionHeld, "True Frozen")
	run := w.hookRun("ledger")
	if run.Spec.Maintenance.Name != "next" || *run.Status.Pods[0].Hooks[0].Prior != "odd" {
		t.Errorf("%+v", run)
	}
}

// Somebody undoes it by hand and deletes the HookRun: then the lock waits for nobody.
func TestAHookRunIsDeletedByHand(t *testing.T) {
	contract.Row(t, 139)
	w, dbs := ledgerOfDatabases(t, "odd")
	m := w.freeze("restart", readOnlyHook())
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	dbs[0].set(func() { dbs[0].answers["/restore"] = 500 })
	w.thaw(m)
	// Written down, so that nobody writes to the HookRun while it goes, and tells of it then.
	eventually(t, "a failed attempt", func() bool {
		post := w.hookRun("ledger").Status.Pods[0].Hooks[0].Post
		return post != nil && post.Attempts > 2 && post.EndedAt != nil && post.Result == v1alpha1.HookFailed
	})
	must(t, w.client.Delete(w.ctx, w.hookRun("ledger")))
	w.unlocked("ledger")
}

// Commands are run only where somebody has allowed it; asked for elsewhere, nothing is
// locked, and the message is the command that allows it.
func TestCommandsNeedPermission(t *testing.T) {
	contract.Row(t, 139, 149)
	w := newWorld(t)
	w.opt.HookTries = 2
	user := "operator-of-" + w.namespace
	subject := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	bind := func(name string, rules []rbacv1.PolicyRule) {
		meta := metav1.ObjectMeta{Name: name, Namespace: w.namespace}
		w.create(&rbacv1.Role{ObjectMeta: meta, Rules: rules})
		w.create(&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subject, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}})
	}
	bind("salvor-operator", shippedRules(t))
	w.user = user
	w.store("ledger", 1)
	w.start()
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	w.database("ledger", 0, "odd")
	_, before := w.state("ledger")
	w.freeze("restart", func(m *v1alpha1.StoreMaintenance) {
		m.Spec.Hooks = []v1alpha1.Hook{{Name: "sync", Pre: v1alpha1.HookAction{Exec: &v1alpha1.ExecAction{Command: []string{"sync"}}}}}
	})
	st := w.smt("restart", v1alpha1.ConditionAccepted, "False HookNotPermitted")
	if c, _ := find(st.Conditions, v1alpha1.ConditionAccepted); !strings.Contains(c.Message, "may not create pods/exec in namespace "+w.namespace) ||
		!strings.Contains(c.Message, "kubectl -n "+w.namespace+" create rolebinding salvor-hook-runner --clusterrole salvor-hook-runner") {
		t.Errorf("%s", c.Message)
	}
	if _, st := w.state("ledger"); st.Version != before.Version || w.hookRun("ledger") != nil {
		t.Error("something was done although it is not permitted")
	}
	bind("salvor-hook-runner", roleOf(t, "hooks").Rules)
	w.smt("restart", v1alpha1.ConditionAccepted, "True Accepted")
	// There is no kubelet here: the command is sent, and fails.
	w.smt("restart", v1alpha1.ConditionReleased, "True HookFailed")
	if p := w.hookRun("ledger").Status.Pods[0].Hooks[0].Pre; int(p.Attempts) != w.opt.HookTries || p.Message == "" {
		t.Errorf("%+v", p)
	}
	wants(t, w.entries("ledger"), "lock Draining", "release")
	var asked []string
	for _, line := range w.api.since(0) {
		if strings.HasSuffix(line, "/selfsubjectaccessreviews") && !slices.Contains(asked, line) {
			asked = append(asked, line)
		}
	}
	if len(asked) != 1 {
		t.Errorf("%v", asked)
	}
}
