// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
)

// storePod is a pod of the API server and, in this test's process, what would run
// in it: a writer of the root and its control port, on a loopback address of its own.
type storePod struct {
	w    *world
	name string
	ip   string

	mu        sync.Mutex
	bucket    *fault.Bucket
	manifest  *manifest.Store
	writer    *recovery.Writer
	process   manifest.ProcessID
	poison    string
	failure   *control.Failure // what it is poisoned by, if it says so
	room      *control.Disk    // of its log
	waiting   string
	durable   uint64 // the log's newest position
	published uint64 // that the root covers
	order     string // that it heeds
	drains    bool   // because of it
	phantom   string // an operation that the status names although it is finished
	mute      bool   // the status does not name yet what is open
	refreshes int
	restarts  int32
	signal    control.Signal
	server    *http.Server
	conns     map[net.Conn]bool
	told      map[string]int // how often a status named an operation as open
}

// pod makes a running pod of a store, whose process has registered and serves.
func (w *world) pod(store string, n int) *storePod {
	w.t.Helper()
	return w.podAt(w.address(), store, n)
}

// address is one that no pod has yet.
func (w *world) address() string {
	w.pods++
	return fmt.Sprintf("127.%d.%d.%d", 10+w.number/200, w.number%200, w.pods)
}

// podAt makes one whose address is ip.
func (w *world) podAt(ip, store string, n int) *storePod {
	w.t.Helper()
	p := w.podDown(ip, store, n)
	p.begin()
	p.status(running)
	return p
}

// podDown makes a pod in which nothing runs yet; restart changes that.
func (w *world) podDown(ip, store string, n int) *storePod {
	w.t.Helper()
	p := &storePod{w: w, name: fmt.Sprintf("%s-%d", store, n), ip: ip}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: p.name, Labels: map[string]string{v1alpha1.LabelStore: store}},
		Spec:       podSpec(),
	}
	pod.Spec.NodeName = w.node
	w.claims(pod)
	if w.revision != "" {
		pod.Labels[appsv1.ControllerRevisionHashLabelKey] = w.revision
	}
	w.create(pod)
	w.t.Cleanup(p.hangUp)
	return p
}

// begin starts a process: it registers and serves.
func (p *storePod) begin() {
	w := p.w
	w.t.Helper()
	eventually(w.t, "the root to hold a store", func() bool {
		_, err := manifest.ReadIdentity(w.ctx, w.disk)
		return err == nil
	})
	p.mu.Lock()
	p.bucket = fault.Wrap(w.disk)
	p.process = manifest.ProcessID(w.newID())
	p.poison, p.failure, p.waiting, p.order, p.drains = "", nil, "", "", false
	bucket, process := p.bucket, p.process
	p.mu.Unlock()
	m, err := manifest.Open(w.ctx, bucket, manifest.Options{NewID: w.newID, Resolve: time.Second})
	must(w.t, err)
	wr := recovery.NewWriter(m, recovery.WriterOptions{
		ID: manifest.WriterID(p.name), Process: process, NewID: w.newID, Await: 2 * time.Second, Poll: 20 * time.Millisecond,
		Changed: p.signal.Notify,
	})
	must(w.t, wr.Register(w.ctx))
	p.mu.Lock()
	p.manifest, p.writer = m, wr
	p.mu.Unlock()
	p.listen()
}

// listen opens the control port.
func (p *storePod) listen() {
	p.w.t.Helper()
	var l net.Listener
	eventually(p.w.t, "the control port to be free", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", net.JoinHostPort(p.ip, strconv.Itoa(int(v1alpha1.DefaultControlPort))))
		return err == nil
	})
	srv := &http.Server{Handler: control.NewServer(p, control.ServerOptions{}), ReadHeaderTimeout: time.Second}
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s == http.StateClosed {
			delete(p.conns, c)
		} else {
			p.conns[c] = true
		}
	}
	p.mu.Lock()
	p.server, p.conns, p.told = srv, map[net.Conn]bool{}, map[string]int{}
	p.mu.Unlock()
	go func() { _ = srv.Serve(l) }()
}

// hangUp closes the control port and every stream at once, as the kernel does for
// a process that is killed. The process may live on.
func (p *storePod) hangUp() {
	p.mu.Lock()
	srv := p.server
	p.server = nil
	p.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
	}
}

// kill is SIGKILL: not a request more, and the kernel closes what was open.
func (p *storePod) kill() {
	p.bucket.Kill()
	p.hangUp()
}

// restart is the kubelet's: a new process in the same pod.
func (p *storePod) restart() {
	p.w.t.Helper()
	p.restarts++
	p.begin()
	p.status(running)
}

// Status implements control.Source.
func (p *storePod) Status() control.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := control.Status{
		Store: p.manifest.Identity().UID, Writer: p.name, Process: string(p.process), Epoch: p.writer.Epoch().Number,
		State: control.Serving, Manifest: uint64(p.manifest.View().Version), PoisonReason: p.poison, Waiting: p.waiting, Poison: p.failure, Disk: p.room,
	}
	if p.poison != "" {
		st.State = control.Poisoned
	}
	st.Durable, st.Next, st.Published, st.Order = p.durable, p.durable+1, p.published, p.order
	if p.drains {
		st.State = control.Draining
	}
	for _, op := range p.writer.Open() {
		if p.mute {
			break
		}
		st.Open = append(st.Open, string(op))
		p.told[string(op)]++
	}
	if p.phantom != "" {
		st.Open = append(st.Open, p.phantom)
		p.told[p.phantom]++
	}
	for _, op := range p.writer.Abandoned() {
		st.Abandoned = append(st.Abandoned, string(op))
	}
	return st
}

// Changed implements control.Source.
func (p *storePod) Changed() <-chan struct{} { return p.signal.Changed() }

// Refresh implements control.Source.
func (p *storePod) Refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refreshes++
	if p.order == "" {
		return
	}
	if _, err := manifest.ReadOrder(p.w.ctx, p.w.disk, manifest.WriterID(p.name), p.order); errors.Is(err, objstore.ErrNotFound) {
		p.order, p.drains = "", false
		go p.signal.Notify()
	}
}

// LookFor implements control.Orders: it heeds what the root says is for it.
func (p *storePod) LookFor(id string) {
	o, err := manifest.ReadOrder(p.w.ctx, p.w.disk, manifest.WriterID(p.name), id)
	p.mu.Lock()
	if err == nil && o.Process == p.process {
		p.order, p.drains = id, o.Mode == manifest.Drain
	}
	p.mu.Unlock()
	p.signal.Notify()
}

// streams is how many connections are open to the control port.
func (p *storePod) streams() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *storePod) refreshed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refreshes
}

// say changes what the status says, and says it.
func (p *storePod) say(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.signal.Notify()
}

// committed is what became of a commit.
type committed struct {
	result recovery.Result
	err    error
}

// commit begins an operation that writes one row to each table, and stops it
// before the nth request of a kind: with the gate in hand the test says when, or
// whether, it goes on.
func (p *storePod) commit(verb fault.Verb, prefix string, nth int, tables ...string) (manifest.OperationID, *fault.Gate, <-chan committed) {
	p.w.t.Helper()
	gate := p.bucket.On(verb, prefix).Nth(nth).ParkBefore()
	done := p.commitNow(tables...)
	if _, err := gate.Await(p.w.ctx); err != nil {
		p.w.t.Fatalf("the commit did not reach its stop: %v", err)
	}
	op := p.writer.Open()[0]
	if p.streams() > 0 && p.w.running && !p.mute {
		p.tellOf(op)
	}
	return op, gate, done
}

// tellOf waits until the stream has named the operation: the next status is made
// only after the one before was sent.
func (p *storePod) tellOf(op manifest.OperationID) {
	p.w.t.Helper()
	eventually(p.w.t, "the stream to name the operation", func() bool {
		p.signal.Notify()
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.told[string(op)] > 1
	})
}

// confirmedCommit stops before it publishes; armedCommit before its first effect.
func (p *storePod) confirmedCommit(tables ...string) (manifest.OperationID, *fault.Gate, <-chan committed) {
	return p.commit(fault.PutIfAbsent, manifest.Prefix, 1, tables...)
}

func (p *storePod) armedCommit(tables ...string) (manifest.OperationID, *fault.Gate, <-chan committed) {
	return p.commit(fault.PutIfAbsent, manifest.TablePrefix, 1, tables...)
}

func (p *storePod) commitNow(tables ...string) <-chan committed {
	done := make(chan committed, 1)
	op := recovery.Operation{Kind: recovery.KindCheckpoint}
	for _, t := range tables {
		op.Changes = append(op.Changes, p.put(t))
	}
	writer := p.writer
	go func() {
		r, err := writer.Commit(p.w.ctx, op)
		done <- committed{r, err}
	}()
	return done
}

func (p *storePod) put(table string) recovery.Change {
	bucket := p.bucket
	return recovery.Change{Table: manifest.TableID(table), Write: func(ctx context.Context, v recovery.TableVersion) (string, error) {
		raw, err := envelope.Encode("table", 1, string(v.Operation))
		if err != nil {
			return "", err
		}
		res, err := bucket.PutIfAbsent(ctx, v.Object, raw, string(v.Operation))
		if res.Outcome != objstore.Created && res.Outcome != objstore.Exists {
			return "", err
		}
		h, _, err := envelope.ParseHeader(raw)
		return h.Digest, err
	}}
}

// What a pod's status says of its container.
type containerIs int

const (
	running containerIs = iota
	terminated
)

// status writes the pod's status, as its kubelet would.
func (p *storePod) status(is containerIs) {
	w := p.w
	w.t.Helper()
	var pod corev1.Pod
	must(w.t, w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: p.name}, &pod))
	c := corev1.ContainerStatus{Name: "store", Image: "none", ImageID: "none", RestartCount: p.restarts}
	ready := corev1.ConditionFalse
	switch is {
	case running:
		c.Ready, ready = true, corev1.ConditionTrue
		c.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.Now()}
	case terminated:
		c.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "Error"}
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: p.ip, PodIPs: []corev1.PodIP{{IP: p.ip}}, ContainerStatuses: []corev1.ContainerStatus{c},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}, {Type: corev1.ContainersReady, Status: ready}},
	}
	must(w.t, w.client.Status().Update(w.ctx, &pod))
}

// delete deletes the pod, at once.
func (p *storePod) delete() {
	w := p.w
	w.t.Helper()
	must(w.t, w.client.Delete(w.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: p.name}}, client.GracePeriodSeconds(0)))
}

// streaming waits until all pods of a store stream.
func (w *world) streaming(store string) {
	w.t.Helper()
	w.becomes(store, v1alpha1.ConditionReady, "True Healthy")
}
