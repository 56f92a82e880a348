// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// servedPod is a pod in which the reference store runs, in this process.
type servedPod struct {
	*storePod
	*store.Store
	log    *logtest.FS
	cancel context.CancelFunc
	ended  chan error
}

// serve makes a running pod of a store.
func (w *world) serve(name string, n int) *servedPod {
	w.t.Helper()
	w.pods++
	p := &servedPod{log: logtest.New(), storePod: &storePod{w: w, name: fmt.Sprintf("%s-%d", name, n), ip: fmt.Sprintf("127.%d.%d.%d", 10+w.number/200, w.number%200, w.pods)}}
	p.made()
	p.up()
	w.t.Cleanup(func() { p.die() })
	return p
}

// made makes its object.
func (p *servedPod) made() {
	w := p.w
	w.t.Helper()
	name, _, _ := strings.Cut(p.name, "-")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: p.name, Labels: map[string]string{v1alpha1.LabelStore: name}},
		Spec:       podSpec(),
	}
	w.claims(pod)
	w.create(pod)
}

// up starts the process.
func (p *servedPod) up() {
	w := p.w
	w.t.Helper()
	name, _, _ := strings.Cut(p.name, "-")
	p.bucket = fault.Wrap(w.diskOf(name))
	s, err := store.New(store.Options{
		Dir: "data", Writer: manifest.WriterID(p.name), Process: manifest.ProcessID(w.newID()), FS: p.log,
		OpenRoot: func(context.Context) (objstore.Bucket, error) { return p.bucket, nil },
		NewID:    w.newID, NewLogID: func() (id [16]byte) { _, _ = rand.Read(id[:]); return id },
		Checkpoint: time.Hour, Await: 2 * time.Second, Poll: 10 * time.Millisecond, Park: soon,
	})
	must(w.t, err)
	var l net.Listener
	eventually(w.t, "the control port to be free", func() bool {
		l, err = net.Listen("tcp", net.JoinHostPort(p.ip, strconv.Itoa(int(v1alpha1.DefaultControlPort))))
		return err == nil
	})
	srv := &http.Server{Handler: control.NewServer(s, control.ServerOptions{}), ReadHeaderTimeout: time.Second}
	ctx, cancel := context.WithCancel(w.ctx)
	p.mu.Lock()
	p.Store, p.server, p.cancel, p.ended = s, srv, cancel, make(chan error, 1)
	p.mu.Unlock()
	go func() { _ = srv.Serve(l) }()
	go func() { p.ended <- s.Run(ctx) }()
	eventually(w.t, p.name+" to run", func() bool { return s.Status().State != control.Starting }, func() string { return fmt.Sprint(s.Status()) })
	p.status(running)
}

// die is SIGKILL, as far as anybody else can see.
func (p *servedPod) die() {
	p.bucket.Kill()
	p.log.Die()
	p.hangUp()
	p.cancel()
}

// again is the kubelet's restart.
func (p *servedPod) again() {
	p.w.t.Helper()
	p.log = p.log.Killed()
	p.restarts++
	p.up()
}

// write does a transaction and tells its end.
func (p *servedPod) write(key string) <-chan error {
	done := make(chan error, 1)
	s := p.Store
	go func() {
		_, err := s.Transact(context.Background(), store.Transaction{Statements: []store.Statement{{Op: store.OpPut, Table: "t", Key: key, Row: json.RawMessage(`{}`)}}})
		done <- err
	}()
	return done
}

// reads returns whether a row is there.
func (p *servedPod) reads(key string) bool {
	p.w.t.Helper()
	r, err := p.Transact(p.w.ctx, store.Transaction{Statements: []store.Statement{{Op: store.OpGet, Table: "t", Key: key}}})
	must(p.w.t, err)
	return r.Results[0].Found
}

func (p *servedPod) parks(n int) {
	p.w.t.Helper()
	eventually(p.w.t, "writers to be parked", func() bool { return p.Store.Status().Parked == n })
}

// diskOf is the root of a store; each has its own, the first is the world's.
func (w *world) diskOf(name string) *mem.Bucket {
	if d := w.more[name]; d != nil {
		return d
	}
	return w.disk
}

// manyRoots gives each of the stores a root of its own.
func (w *world) manyRoots(names ...string) {
	w.more = map[string]*mem.Bucket{}
	for _, n := range names {
		w.more[n] = mem.New(mem.Options{})
	}
	w.opt.OpenBucket = func(_ context.Context, root v1alpha1.Root, _ Access) (objstore.Bucket, error) {
		return fault.Wrap(w.more[root.URI[strings.LastIndex(root.URI, ".")+1:]]), nil
	}
}

// ownRoot names the root of manyRoots.
func ownRoot(ws *v1alpha1.WALStore) { ws.Spec.Root.URI += "." + ws.Name }

// state reads the newest manifest of a store, past everybody.
func (w *world) state(name string) (*manifest.Store, *manifest.State) {
	w.t.Helper()
	m, err := manifest.Open(w.ctx, w.diskOf(name), manifest.Options{NewID: w.newID})
	must(w.t, err)
	return m, m.View()
}

// entries are those about the lock in the whole history of a store, as words.
func (w *world) entries(name string) (out []string) {
	w.t.Helper()
	m, st := w.state(name)
	for v := manifest.Version(1); v <= st.Version; v++ {
		b, err := m.Batch(w.ctx, v)
		must(w.t, err)
		for _, e := range b.Entries {
			switch e.Kind {
			case manifest.KindLock:
				out = append(out, string(e.Kind)+" "+string(e.Lock.Mode))
			case manifest.KindExtend, manifest.KindRelease, manifest.KindExpire:
				out = append(out, string(e.Kind))
			}
		}
	}
	return out
}

func (w *world) freeze(name string, change ...func(*v1alpha1.StoreMaintenance)) *v1alpha1.StoreMaintenance {
	w.t.Helper()
	m := &v1alpha1.StoreMaintenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.StoreMaintenanceSpec{
			StoreRef: &v1alpha1.LocalReference{Name: "ledger"}, Reason: "database restart", Until: metav1.NewTime(time.Now().Add(time.Hour)),
		},
	}
	for _, f := range change {
		f(m)
	}
	w.create(m)
	return m
}

func (w *world) thaw(m *v1alpha1.StoreMaintenance) {
	w.t.Helper()
	must(w.t, w.client.Delete(w.ctx, m))
}

// smt waits until a condition of a StoreMaintenance reads as wanted.
func (w *world) smt(name, t, want string) v1alpha1.StoreMaintenanceStatus {
	w.t.Helper()
	var m v1alpha1.StoreMaintenance
	eventually(w.t, fmt.Sprintf("%s of %s to be %s", t, name, want), func() bool {
		must(w.t, w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, &m))
		return words(m.Status.Conditions, t) == want
	}, func() string { raw, _ := json.MarshalIndent(m.Status, "", " "); return string(raw) })
	return m.Status
}

// unlocked waits until no lock holds a store.
func (w *world) unlocked(name string) {
	w.t.Helper()
	eventually(w.t, "the lock of "+name+" to end", func() bool { _, st := w.state(name); return st.Lock == nil },
		func() string { _, st := w.state(name); return fmt.Sprintf("%+v", st.Lock) })
}

func wants(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// ledgerServed is an operator and a store of n pods that serve.
func ledgerServed(t *testing.T, n int, change ...func(*world)) (*world, []*servedPod) {
	t.Helper()
	w := newWorld(t)
	for _, f := range change {
		f(w)
	}
	w.store("ledger", int32(n))
	w.start()
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	var pods []*servedPod
	for i := range n {
		pods = append(pods, w.serve("ledger", i))
	}
	w.streaming("ledger")
	return w, pods
}

// From the resource to the frozen store and back: what is under way finishes,
// newcomers wait, reads go on, and after the thaw nothing is left.
func TestAFreezeFromCreationToDeletion(t *testing.T) {
	contract.Row(t, 106, 107, 109, 110, 119, 138)
	w, pods := ledgerServed(t, 2)
	for _, p := range pods {
		must(t, <-p.write("before"))
	}
	hold := pods[1].log.HoldSync()
	underWay := pods[1].write("under way")
	<-hold.Arrived
	m := w.freeze("restart")
	st := w.smt("restart", v1alpha1.ConditionDraining, "True WritersDraining")
	eventually(t, "the one that does not write to acknowledge", func() bool {
		st = w.smt("restart", v1alpha1.ConditionDraining, "True WritersDraining")
		return st.Stores[0].Acknowledged == "1/2"
	})
	if p := st.Stores[0].Pods; len(p) != 2 || p[0].Name != "ledger-1" || p[0].Acknowledged || p[0].WaitsFor != "1 transactions in flight" || !p[1].Acknowledged || *p[1].Position != 1 {
		t.Errorf("%+v", p)
	}
	late := pods[0].write("late")
	pods[0].parks(1)
	hold.Release()
	must(t, <-underWay)
	st = w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	if s := st.Stores[0]; s.State != "Held" || s.Acknowledged != "2/2" || s.LockedAt == 0 || s.Until == nil || st.Summary != "1/1" || *s.Pods[1].Position != 2 {
		t.Errorf("%+v", st)
	}
	w.becomes("ledger", v1alpha1.ConditionFrozen, "True Locked")
	w.becomes("ledger", v1alpha1.ConditionReady, "True Healthy")
	if !pods[0].reads("before") || pods[0].reads("late") {
		t.Error("a frozen store reads what was written before, and nothing else")
	}
	throughout(t, never, "the late one is parked", func() bool { return pods[0].Store.Status().Parked == 1 })
	w.thaw(m)
	must(t, <-late)
	w.unlocked("ledger")
	w.becomes("ledger", v1alpha1.ConditionFrozen, "False NotLocked")
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release")
	for _, p := range pods {
		must(t, <-p.write("after"))
	}
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("rows without a recovery: %+v", rows)
	}
}

// The operator may die at any moment: its successor goes on from the manifest, and a
// thaw that nobody saw is done when somebody is there again.
func TestAFreezeOutlivesItsOperator(t *testing.T) {
	contract.Row(t, 106, 111, 137)
	w, pods := ledgerServed(t, 1)
	hold := pods[0].log.HoldSync()
	underWay := pods[0].write("under way")
	<-hold.Arrived
	m := w.freeze("restart")
	w.smt("restart", v1alpha1.ConditionDraining, "True WritersDraining")
	w.stop()
	hold.Release()
	must(t, <-underWay)
	w.start()
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	parked := pods[0].write("parked")
	pods[0].parks(1)
	w.stop()
	w.thaw(m)
	throughout(t, never, "nobody releases", func() bool { _, st := w.state("ledger"); return st.Lock != nil })
	w.start()
	w.unlocked("ledger")
	must(t, <-parked)
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release")
}

// A pod that dies under a lock counts as drained once its epoch has ended; what
// starts in its place heeds the lock.
func TestADeadPodDrains(t *testing.T) {
	contract.Row(t, 111, 137)
	w, pods := ledgerServed(t, 2)
	must(t, <-pods[1].write("acknowledged"))
	pods[1].die()
	pods[1].status(terminated)
	m := w.freeze("restart")
	st := w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	if p := st.Stores[0].Pods; len(p) != 2 || !p[1].Gone || p[1].Name != "ledger-1" || p[0].Gone {
		t.Errorf("%+v", p)
	}
	pods[1].again()
	eventually(t, "the new process to heed the lock", func() bool { return pods[1].Store.Status().State == control.Frozen })
	parked := pods[1].write("parked")
	pods[1].parks(1)
	w.thaw(m)
	must(t, <-parked)
	if !pods[1].reads("acknowledged") {
		t.Error("an acknowledged write is lost")
	}
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release")
}

// When the time to drain is over, the stuck pod is named, and the store is either
// let go or held without it.
func TestTheTimeToDrainIsBounded(t *testing.T) {
	contract.Row(t, 112)
	for _, to := range []v1alpha1.OnDrainTimeout{v1alpha1.DrainRelease, v1alpha1.DrainHold} {
		t.Run(string(to), func(t *testing.T) {
			w, pods := ledgerServed(t, 2)
			hold := pods[1].log.HoldSync()
			underWay := pods[1].write("stuck")
			<-hold.Arrived
			m := w.freeze("restart", func(m *v1alpha1.StoreMaintenance) {
				m.Spec.Drain = v1alpha1.Drain{Timeout: &metav1.Duration{Duration: time.Second}, OnTimeout: to}
			})
			if to == v1alpha1.DrainRelease {
				st := w.smt("restart", v1alpha1.ConditionReleased, "True DrainTimedOut")
				if p := st.Stores[0].Pods; len(p) != 2 || p[0].Name != "ledger-1" || p[0].Acknowledged || p[0].WaitsFor == "" || !p[1].Acknowledged {
					t.Errorf("who was stuck is not told: %+v", p)
				}
				w.unlocked("ledger")
				wants(t, w.entries("ledger"), "lock Draining", "release")
			} else {
				w.smt("restart", v1alpha1.ConditionHeld, "True FrozenIncomplete")
				w.smt("restart", v1alpha1.ConditionStalled, "True FrozenIncomplete")
			}
			hold.Release()
			must(t, <-underWay)
			if to == v1alpha1.DrainHold {
				w.smt("restart", v1alpha1.ConditionHeld, "True Frozen") // it came late
				w.thaw(m)
				w.unlocked("ledger")
				wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release")
			}
			must(t, <-pods[1].write("after"))
		})
	}
}

// A maintenance that is over freezes nothing any more, whatever is done to its resource.
func TestAnEndedMaintenanceNeverFreezesAgain(t *testing.T) {
	contract.Row(t, 107, 137)
	w, pods := ledgerServed(t, 1)
	m := w.freeze("restart")
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	root, st := w.state("ledger")
	_, err := root.Release(w.ctx, manifest.Publisher{Role: manifest.RoleOperator, Process: "SOMEBODY"}, st.Lock.Owner)
	must(t, err)
	got := w.smt("restart", v1alpha1.ConditionReleased, "True Thawed")
	if s := got.Stores[0]; s.EndedBy != "release" || s.EndedAt == 0 || s.State != "Released" {
		t.Errorf("%+v", s)
	}
	must(t, w.client.Get(w.ctx, client.ObjectKeyFromObject(m), m))
	m.Spec.Until = metav1.NewTime(m.Spec.Until.Add(time.Hour))
	must(t, w.client.Update(w.ctx, m))
	w.stop()
	w.start()
	w.streaming("ledger")
	must(t, <-pods[0].write("after"))
	throughout(t, 2*never, "nothing is locked", func() bool { _, st := w.state("ledger"); return st.Lock == nil })
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release")
}

// The status is lost with the process that took the lock, and the lock ends meanwhile:
// who comes next finds both in the manifest, and takes none.
func TestALockThatNobodyRemembersIsFound(t *testing.T) {
	contract.Row(t, 107, 137)
	w, _ := ledgerServed(t, 1)
	m := w.freeze("restart")
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	w.stop()
	root, st := w.state("ledger")
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: "SOMEBODY"}
	_, err := root.Release(w.ctx, by, st.Lock.Owner)
	must(t, err)
	other := manifest.Lock{Owner: "ANOTHER", Reason: "x", Mode: manifest.Frozen, Since: time.Now(), Until: time.Now().Add(time.Hour)}
	_, err = root.Lock(w.ctx, by, other)
	must(t, err)
	_, err = root.Release(w.ctx, by, "ANOTHER") // the newest that ended is not ours
	must(t, err)
	// As it was before the lock was taken.
	must(t, w.client.Get(w.ctx, client.ObjectKeyFromObject(m), m))
	s := &m.Status.Stores[0]
	s.State, s.LockedAt, s.Until, s.Pods, s.Acknowledged = "Requested", 0, nil, nil, ""
	m.Status.Conditions = nil
	must(t, w.client.Status().Update(w.ctx, m))
	w.start()
	got := w.smt("restart", v1alpha1.ConditionReleased, "True Thawed")
	if s := got.Stores[0]; s.EndedBy != "release" || s.EndedAt >= int64(root.View().Version) {
		t.Errorf("%+v", s)
	}
	if _, st := w.state("ledger"); st.Lock != nil {
		t.Errorf("it froze again: %+v", st.Lock)
	}
}

// The end may be moved to later. A lock that nobody releases ends at its time, and
// the resource says so.
func TestTheEndOfAMaintenance(t *testing.T) {
	contract.Row(t, 137)
	w, pods := ledgerServed(t, 1)
	m := w.freeze("restart", func(m *v1alpha1.StoreMaintenance) { m.Spec.Until = metav1.NewTime(time.Now().Add(3 * time.Second)) })
	st := w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	must(t, w.client.Get(w.ctx, client.ObjectKeyFromObject(m), m))
	m.Spec.Until = metav1.NewTime(m.Spec.Until.Add(2 * time.Second))
	must(t, w.client.Update(w.ctx, m))
	eventually(t, "the end to be moved", func() bool {
		st = w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
		return st.Stores[0].Until.Equal(&m.Spec.Until)
	})
	parked := pods[0].write("parked")
	got := w.smt("restart", v1alpha1.ConditionReleased, "True Expired")
	if s := got.Stores[0]; s.EndedBy != "expire" {
		t.Errorf("%+v", s)
	}
	must(t, <-parked)
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "extend", "expire")
}

// What cannot be worked on is Rejected, at once and for good, and touches nothing.
func TestAMaintenanceIsRejected(t *testing.T) {
	contract.Row(t, 112)
	w, _ := ledgerServed(t, 1)
	_, before := w.state("ledger")
	w.freeze("late", func(m *v1alpha1.StoreMaintenance) { m.Spec.Until = metav1.NewTime(time.Now().Add(-time.Minute)) })
	w.smt("late", v1alpha1.ConditionAccepted, "False UntilPassed")
	w.smt("late", v1alpha1.ConditionStalled, "True UntilPassed")
	w.freeze("none", func(m *v1alpha1.StoreMaintenance) {
		m.Spec.StoreRef, m.Spec.Selector = nil, &metav1.LabelSelector{MatchLabels: map[string]string{"team": "none"}}
	})
	w.smt("none", v1alpha1.ConditionAccepted, "False NoStores")
	w.freeze("missing", func(m *v1alpha1.StoreMaintenance) { m.Spec.StoreRef.Name = "orders" })
	st := w.smt("missing", v1alpha1.ConditionHeld, "False NotHeldYet")
	if s := st.Stores[0]; !strings.Contains(s.Message, "there is no WALStore orders") {
		t.Errorf("%+v", s)
	}
	if _, st := w.state("ledger"); st.Version != before.Version {
		t.Errorf("something was published: %d, was %d", st.Version, before.Version)
	}
}

// Several stores are frozen in the order of their names; one that somebody else holds
// keeps those behind it from being taken.
func TestStoresAreFrozenInOrder(t *testing.T) {
	contract.Row(t, 110, 113)
	w := newWorld(t)
	w.manyRoots("a", "b", "c")
	label := func(ws *v1alpha1.WALStore) { ws.Labels = map[string]string{"team": "payments"} }
	for _, n := range []string{"c", "a", "b"} {
		w.store(n, 1, ownRoot, label)
	}
	w.start()
	var pods []*servedPod
	for _, n := range []string{"a", "b", "c"} {
		w.becomes(n, v1alpha1.ConditionRootClaimed, "True Claimed")
		pods = append(pods, w.serve(n, 0))
		w.streaming(n)
	}
	root, _ := w.state("b")
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: "SOMEBODY"}
	_, err := root.Lock(w.ctx, by, manifest.Lock{Owner: "ANOTHER", Reason: "backup", Mode: manifest.Frozen, Since: time.Now(), Until: time.Now().Add(time.Hour)})
	must(t, err)
	m := w.freeze("restart", func(m *v1alpha1.StoreMaintenance) {
		m.Spec.StoreRef, m.Spec.Selector = nil, &metav1.LabelSelector{MatchLabels: map[string]string{"team": "payments"}}
	})
	eventually(t, "the first to be held, the others to wait", func() bool {
		st := w.smt("restart", v1alpha1.ConditionHeld, "False NotHeldYet")
		return len(st.Stores) == 3 && st.Stores[0].State == "Held" && strings.Contains(st.Stores[1].Message, "ANOTHER holds it until") && strings.Contains(st.Stores[2].Message, "in front of it")
	})
	if _, st := w.state("c"); st.Lock != nil {
		t.Errorf("c was taken before its turn: %+v", st.Lock)
	}
	_, err = root.Release(w.ctx, by, "ANOTHER")
	must(t, err)
	st := w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	if st.Summary != "3/3" {
		t.Errorf("%+v", st)
	}
	w.thaw(m)
	for i, n := range []string{"a", "b", "c"} {
		w.unlocked(n)
		must(t, <-pods[i].write("after"))
	}
	wants(t, w.entries("a"), "lock Draining", "lock Frozen", "release")
	wants(t, w.entries("c"), "lock Draining", "lock Frozen", "release")
}

// An operator falls asleep with a lock on its way. Its successor holds the store and
// lets it go; what the sleeper had in mind is refused when it wakes.
func TestAnOperatorThatWasAsleepChangesNoLock(t *testing.T) {
	contract.Row(t, 86, 107, 137)
	w, pods := ledgerServed(t, 1)
	first := w.freeze("first") // so that it has registered
	w.smt("first", v1alpha1.ConditionHeld, "True Frozen")
	w.thaw(first)
	w.unlocked("ledger")
	// The next publication of this operator is the lock: nothing else is to be said.
	asleep := w.root.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
	m := w.freeze("second")
	_, err := asleep.Await(w.ctx)
	must(t, err)
	opt := w.opt
	opt.Process = ""
	opt.OpenBucket = func(context.Context, v1alpha1.Root, Access) (objstore.Bucket, error) { return fault.Wrap(w.disk), nil }
	w.operator(opt, prometheus.NewRegistry())
	w.smt("second", v1alpha1.ConditionHeld, "True Frozen")
	w.thaw(m)
	w.unlocked("ledger")
	asleep.Release()
	must(t, <-pods[0].write("after"))
	throughout(t, 2*never, "nothing is locked", func() bool { _, st := w.state("ledger"); return st.Lock == nil })
	wants(t, w.entries("ledger"), "lock Draining", "lock Frozen", "release", "lock Draining", "lock Frozen", "release")
}
