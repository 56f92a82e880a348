// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

// shop is two namespaces with a store each, whose roots are directories, and perhaps
// an operator.
type shop struct {
	t          *testing.T
	c          client.Client
	kubeconfig string
	roots      map[string]string // by namespace
}

func newShop(t *testing.T) *shop {
	t.Helper()
	c, kubeconfig := operatorServer(t)
	s := &shop{t, c, kubeconfig, map[string]string{}}
	for namespace, name := range map[string]string{"default": "orders", "other": "ledger"} {
		if namespace != "default" {
			ok(t, c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
		}
		s.roots[namespace] = t.TempDir()
		meta := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"team": namespace}}
		labels := map[string]string{v1alpha1.LabelStore: name}
		for _, o := range []client.Object{
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "audit"}, StringData: map[string]string{"k1": "0123456789abcdef", "current": "k1"}},
			&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
				Replicas: new(int32(0)), ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "store", Image: "none"}}}},
			}},
			&v1alpha1.WALStore{ObjectMeta: meta, Spec: v1alpha1.WALStoreSpec{
				Root: v1alpha1.Root{URI: "file://" + s.roots[namespace]}, Workload: &v1alpha1.Workload{StatefulSetName: name},
				Audit: v1alpha1.Audit{KeySecretRef: v1alpha1.LocalReference{Name: "audit"}},
			}},
		} {
			ok(t, c.Create(t.Context(), o))
		}
	}
	return s
}

// operate runs the operator, until it is stopped.
func (s *shop) operate() (stop func()) {
	s.t.Helper()
	cmd := command(s.t, "", "operator", "--kubeconfig", s.kubeconfig, "--leader-elect=false", "--allow-local-roots", "--log-level", "error",
		"--metrics-bind-address", "0", "--health-probe-bind-address", "0")
	cmd.Stderr = os.Stderr
	ok(s.t, cmd.Start())
	return func() {
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			s.t.Errorf("the operator ended with %v", err)
		}
	}
}

// does runs a command, wants its exit code and words in all that it says, and returns
// its standard output.
func (s *shop) does(code int, words string, args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	cmd := newRootCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	err, got := cmd.ExecuteContext(s.t.Context()), 0
	var e *exitError
	switch {
	case errors.As(err, &e):
		got = e.code
	case err != nil:
		got = exitCannotRun
	}
	all := out.String() + errs.String()
	if err != nil {
		all += err.Error()
	}
	if got != code || !strings.Contains(all, words) {
		s.t.Errorf("salvor %s: code %d, want %d and %q in:\n%s", strings.Join(args, " "), got, code, words, all)
	}
	return out.String()
}

// lock in the root itself; nil: nobody holds it.
func (s *shop) lock(namespace string) *manifest.Lock {
	s.t.Helper()
	m, err := (&rootFlags{root: "file://" + s.roots[namespace], output: "text"}).manifest(s.t.Context())
	ok(s.t, err)
	return m.View().Lock
}

func (s *shop) store(namespace, name string) *v1alpha1.WALStore {
	s.t.Helper()
	var ws v1alpha1.WALStore
	ok(s.t, s.c.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &ws))
	return &ws
}

func (s *shop) maintenances() []v1alpha1.StoreMaintenance {
	s.t.Helper()
	var l v1alpha1.StoreMaintenanceList
	ok(s.t, s.c.List(s.t.Context(), &l))
	return l.Items
}

// What an engineer types before and after the work, against a real API server and an
// operator: everything frozen at once and thawed at once, and told as it is.
func TestFreezeThawAndLocks(t *testing.T) {
	contract.Row(t, 106, 107, 119, 148)
	s := newShop(t)
	s.allOrNone()
	stop := s.operate()
	for namespace, name := range map[string]string{"default": "orders", "other": "ledger"} {
		await(t, "the root of "+name+" to be open", func() bool { return s.store(namespace, name).Status.Root != nil })
	}

	// What cannot be meant is refused, and nothing is made.
	why := []string{"--reason", "storage migration", "--for", "1h"}
	freeze := func(code int, words string, args ...string) string {
		t.Helper()
		return s.does(code, words, append(append([]string{"freeze"}, why...), args...)...)
	}
	freeze(2, "say which stores")
	freeze(2, "say which stores", "orders", "-A")
	freeze(2, "not found", "nobody")
	freeze(2, "no WALStore of namespace default has these labels", "-l", "team=nobody")
	freeze(2, "want none or server", "-A", "--dry-run=client")
	freeze(2, "Unsupported value", "orders", "--on-timeout", "Explode")
	s.does(2, "required flag", "freeze", "orders", "--for", "1h")
	freeze(0, "(dry run)", "-A", "--dry-run=server")
	if made := s.maintenances(); len(made) != 0 {
		t.Errorf("a dry run made %v", made)
	}
	s.does(0, "no store is held", "locks", "-A")

	// All of it, and back.
	var held []frozen
	ok(t, json.Unmarshal([]byte(freeze(0, "", "-A", "-o", "json")), &held))
	if len(held) != 2 || !held[0].Held || !held[1].Held || held[0].Freeze == "" || held[0].Freeze != held[1].Freeze || held[0].Namespace == held[1].Namespace {
		t.Fatalf("%+v", held)
	}
	for namespace := range s.roots {
		if l := s.lock(namespace); l == nil || l.Mode != manifest.Frozen || !strings.Contains(l.Reason, "storage migration") {
			t.Errorf("%s: %+v", namespace, l)
		}
	}
	isFrozen := func(namespace, name string) bool {
		l := s.store(namespace, name).Status.Lock
		return l != nil && l.Mode == "Frozen"
	}
	await(t, "both locks to be listed", func() bool { return isFrozen("default", "orders") && isFrozen("other", "ledger") })
	s.does(11, "2 of 2 stores are held", "locks", "-A")
	var locks []lock
	ok(t, json.Unmarshal([]byte(s.does(11, "", "locks", "-n", "other", "-o", "json")), &locks))
	if len(locks) != 1 || locks[0].Store != "ledger" || locks[0].Owner != s.lock("other").Owner || locks[0].Mode != "Frozen" || locks[0].Over {
		t.Errorf("%+v", locks)
	}
	var fleet fleetStatus
	ok(t, json.Unmarshal([]byte(s.does(11, "", "status", "-A", "-o", "json")), &fleet))
	if len(fleet.Stores) != 2 || fleet.ExitCode != 11 || fleet.Stores[0].Standing != standsFrozen || !strings.Contains(fleet.Next, "kubectl salvor thaw -n") {
		t.Errorf("%+v", fleet)
	}
	s.does(0, "default/orders: Thawed", "thaw", "--freeze", held[0].Freeze)
	for namespace := range s.roots {
		if l := s.lock(namespace); l != nil { // what comes next would wait for its end
			t.Fatalf("%s is still held: %+v", namespace, l)
		}
	}
	if left := s.maintenances(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	s.does(2, "it was thawed before", "thaw", "--freeze", held[0].Freeze)
	s.does(2, "say what to thaw", "thaw")
	s.does(2, "is called orders or holds a store of that name", "thaw", "orders")

	// A lock that somebody has cleared meanwhile is lost, whoever asks.
	freeze(0, "held=true", "orders", "--name", "first")
	owner := s.lock("default").Owner
	root := []string{"--root", "file://" + s.roots["default"], "--owner", owner}
	s.does(0, "thawed at version", append([]string{"manifest", "thaw"}, root...)...)
	s.does(1, "lost, and nothing was released", append([]string{"manifest", "thaw"}, root...)...)
	m := s.maintenances()[0]
	patch := client.MergeFrom(m.DeepCopy())
	m.Spec.Until = metav1.NewTime(m.Spec.Until.Add(time.Hour)) // and so the operator looks at it
	ok(t, s.c.Patch(t.Context(), &m, patch))
	await(t, "the operator to see that the lock is gone", func() bool { return s.maintenances()[0].Status.Stores[0].EndedAt > 0 })
	if out := s.does(1, "default/orders: Lost", "thaw", "first"); strings.Contains(out, "Thawed") {
		t.Errorf("a lost lock was thawed:\n%s", out)
	}

	await(t, "the status to say so", func() bool { return s.store("default", "orders").Status.Lock == nil })
	s.suspendAndResume()
	s.withoutAnOperator(stop, freeze)
}

// allOrNone: one namespace that refuses leaves none frozen.
func (s *shop) allOrNone() {
	s.t.Helper()
	taken := &v1alpha1.StoreMaintenance{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "taken"}, Spec: v1alpha1.StoreMaintenanceSpec{
		StoreRef: &v1alpha1.LocalReference{Name: "ledger"}, Reason: "another's", Until: metav1.NewTime(time.Now().Add(time.Hour)),
	}}
	ok(s.t, s.c.Create(s.t.Context(), taken))
	s.does(2, "freeze namespace other", "freeze", "-A", "--name", "taken", "--reason", "x", "--for", "1h", "--wait", "-1s")
	if left := s.maintenances(); len(left) != 1 || left[0].UID != taken.UID {
		s.t.Errorf("left: %v", left)
	}
	ok(s.t, s.c.Delete(s.t.Context(), taken))
}

// suspendAndResume is in one's own name, seen by the operator, and nobody else's to
// take over.
func (s *shop) suspendAndResume() {
	s.t.Helper()
	t := s.t
	s.does(2, "required flag", "suspend", "orders", "--for", "1h")
	s.does(0, "default/orders is suspended by admin until", "suspend", "orders", "--reason", "looking at it", "--for", "1h")
	if p := s.store("default", "orders").Spec.Suspend; p == nil || p.By != "admin" || p.Reason != "looking at it" || !p.Until.After(time.Now()) {
		t.Errorf("%+v", p)
	}
	s.does(10, "by admin until", "status", "orders")
	s.does(0, "is suspended by admin", "suspend", "orders", "--reason", "longer", "--for", "2h")
	ws := s.store("default", "orders")
	ws.Spec.Suspend.By = "ada"
	ok(t, s.c.Update(t.Context(), ws))
	s.does(1, "ask ada", "suspend", "orders", "--reason", "mine", "--for", "1h")
	s.does(0, "it was suspended by ada", "resume", "orders")
	s.does(0, "is not suspended", "resume", "orders")
	if p := s.store("default", "orders").Spec.Suspend; p != nil {
		t.Errorf("%+v", p)
	}
}

// withoutAnOperator: what is held stays held and is told so; a thaw does without, also
// when the StoreMaintenance is gone, and in the end without any cluster.
func (s *shop) withoutAnOperator(stop func(), freeze func(int, string, ...string) string) {
	s.t.Helper()
	t := s.t
	await(t, "the operator to act again", func() bool {
		for _, c := range s.store("default", "orders").Status.Conditions {
			if c.Type == v1alpha1.ConditionReady {
				return c.Reason != v1alpha1.ReasonSuspended
			}
		}
		return false
	})
	freeze(0, "held=true", "orders", "--name", "second")
	freeze(0, "held=true", "-n", "other", "ledger")
	await(t, "both locks to be known", func() bool {
		return s.store("default", "orders").Status.Lock != nil && s.store("other", "ledger").Status.Lock != nil
	})
	stop()
	s.does(1, "is not held", append([]string{"freeze", "orders", "--wait", "100ms"}, "--reason", "x", "--for", "1h", "--name", "third")...)
	s.does(0, "third: NotHeld", "thaw", "third")
	s.does(1, "no operator has said that it has seen it", "suspend", "orders", "--reason", "x", "--for", "1h", "--wait", "300ms")
	s.does(0, "resumed", "resume", "orders")
	s.does(1, "default/orders: Held", "thaw", "second", "--wait", "1ms")
	if s.lock("default") == nil || len(s.maintenances()) != 1 {
		t.Errorf("lock %+v, %v", s.lock("default"), s.maintenances())
	}
	s.does(0, "default/orders: Thawed: released in manifest", "thaw", "orders", "--without-operator")
	if l := s.lock("default"); l != nil {
		t.Errorf("%+v", l)
	}
	if out := s.does(1, "default/orders: Lost", "thaw", "orders", "--without-operator"); strings.Contains(out, "Thawed") {
		t.Errorf("a lock was thawed twice:\n%s", out)
	}

	// The store goes, and its namespace with it: the root is still there, and held.
	owner := s.lock("other").Owner
	ok(t, s.c.Delete(t.Context(), s.store("other", "ledger")))
	s.does(1, "salvor manifest thaw --root … --owner "+owner, "thaw", "-n", "other", "ledger", "--without-operator")
	s.does(0, "thawed at version", "manifest", "thaw", "--root", "file://"+s.roots["other"], "--owner", owner)
	if l := s.lock("other"); l != nil {
		t.Errorf("%+v", l)
	}
}
