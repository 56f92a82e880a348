// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// Streams watches the writers of every open root: a status stream to each pod, and
// the pods' own status. It feeds detect, and when a verdict changes it looks for
// the writer's operations and wakes their reconciler. It heals nothing.
//
// Only the leader runs it. One mutex guards the detector and all that is below;
// nothing waits for a request while holding it.
type Streams struct {
	opt    Options
	log    logr.Logger
	cache  cache.Cache
	roots  *Roots
	ledger *ledger
	sweep  *sweeper
	stores *wake // the WALStore controller
	held   *holders
	meters *meters
	// started is closed when ctx, that of Start, is set.
	started chan struct{}
	ctx     context.Context

	mu       sync.Mutex
	det      *detect.Detector
	watched  map[types.UID]*watched
	byName   map[types.NamespacedName]types.UID
	dialled  int // streams that hold one of MaxStreams
	pods     int // pods that should stream
	isolated bool
	settling *time.Timer // looks again whether the isolation is over
}

// watched is one store.
type watched struct {
	root        *Root
	port        int32
	orphanAfter time.Duration
	writers     map[manifest.WriterID]*writer
	registered  map[manifest.WriterID]manifest.Epoch // as detect was told
	following   single
	finding     single
	owed        bool // a look has failed
	soon        bool // a look is due when the streams have spoken again
}

// writer is one pod that writes the root, by its name.
type writer struct {
	id      detect.Writer
	of      *watched
	pod     types.UID
	addr    string
	ready   bool      // its pod says that the container runs
	since   time.Time // when it was seen to run first
	verdict detect.Verdict
	// status is the last one of the stream that is open; nil without one.
	status *control.Status
	// last is what the stream said before it was lost.
	last  []string
	timer *time.Timer
	kick  chan struct{}
	stop  context.CancelFunc
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (s *Streams) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable.
func (s *Streams) Start(ctx context.Context) error {
	s.ctx = ctx
	close(s.started)
	informer, err := s.cache.GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.podEvent(o, false) },
		UpdateFunc: func(_, o any) { s.podEvent(o, false) },
		DeleteFunc: func(o any) { s.podEvent(o, true) },
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return informer.RemoveEventHandler(registration)
}

func (s *Streams) podEvent(o any, deleted bool) {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	if pod, ok := o.(*corev1.Pod); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pod(pod, deleted)
	}
}

// Watch begins to watch the writers of a root that is open, or goes on with what
// changed in the WALStore.
func (s *Streams) Watch(ctx context.Context, ws *v1alpha1.WALStore, root *Root) error {
	select {
	case <-s.started:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the mutex, so that no event overtakes what the cache says.
	var pods corev1.PodList
	if err := s.cache.List(ctx, &pods, client.InNamespace(ws.Namespace), client.MatchingLabels{v1alpha1.LabelStore: ws.Name}); err != nil {
		return err
	}
	w := s.watched[ws.UID]
	if w != nil && (w.root != root || w.port != controlPort(ws)) {
		s.forget(ws.UID)
		w = nil
	}
	if w == nil {
		w = &watched{root: root, writers: map[manifest.WriterID]*writer{}, registered: map[manifest.WriterID]manifest.Epoch{}}
		s.watched[ws.UID], s.byName[root.Store] = w, ws.UID
	}
	w.port, w.orphanAfter = controlPort(ws), s.opt.OrphanAfter
	if d := ws.Spec.Recovery.OrphanAfter; d != nil {
		w.orphanAfter = d.Duration
	}
	s.registrations(w)
	for i := range pods.Items {
		s.pod(&pods.Items[i], false)
	}
	return nil
}

// Forget stops watching a store.
func (s *Streams) Forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(uid)
}

func (s *Streams) forget(uid types.UID) {
	w := s.watched[uid]
	if w == nil {
		return
	}
	for _, wr := range w.writers {
		s.drop(wr)
		s.det.Apply(detect.Event{At: s.opt.Now(), Writer: wr.id, Kind: detect.Forgotten})
	}
	for id := range w.registered {
		s.det.Apply(detect.Event{At: s.opt.Now(), Writer: detect.Writer{Store: string(uid), ID: id}, Kind: detect.Forgotten})
	}
	delete(s.watched, uid)
	delete(s.byName, w.root.Store)
	s.meters.streams.Set(float64(s.det.Streams()))
}

// Permit answers the reconciler: may the epoch of this operation's writer be
// ended. What it permits is counted.
func (s *Streams) Permit(root *Root, p pending, since time.Time) (recovery.RollForwardOnly, detect.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.question(root, p.writer)
	q.PendingSince = since
	if w := s.watched[root.UID]; w != nil {
		if wr := w.writers[p.writer]; wr != nil && wr.status != nil {
			q.GivenUp = contains(wr.status.Abandoned, string(p.operation))
		}
	}
	now := s.opt.Now()
	v := s.det.Permit(q, now)
	alive := v.State == detect.Alive && !v.EndEpoch
	return recovery.RollForwardOnly{EndEpoch: v.EndEpoch, Process: v.Process, LeaveDecided: alive && now.Sub(since) < s.opt.SweepEvery}, v
}

// Busy reports whether a live, streaming process works on an operation that was
// first seen at a time: it says so, or was seen to have it so lately that its next
// words may say so. Then the root is looked at again.
func (s *Streams) Busy(root *Root, sc *recovery.Sidecar, first time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	v := s.det.Judge(s.question(root, sc.Writer), now)
	w := s.watched[root.UID]
	if v.Reason != detect.Streaming || w == nil || w.writers[sc.Writer] == nil || w.writers[sc.Writer].status == nil {
		return false
	}
	st, op := w.writers[sc.Writer].status, string(sc.Operation)
	switch {
	case contains(st.Open, op):
		return now.Sub(first) < s.opt.SweepEvery
	case contains(st.Abandoned, op) || s.det.Registration(detect.Writer{Store: string(root.UID), ID: sc.Writer}) != sc.Epoch || now.Sub(first) >= wordsBehind:
		return false
	}
	s.lookSoon(w)
	return true
}

func (s *Streams) question(root *Root, id manifest.WriterID) detect.Question {
	q := detect.Question{Writer: detect.Writer{Store: string(root.UID), ID: id}}
	if w := s.watched[root.UID]; w != nil {
		q.OrphanAfter = w.orphanAfter
	}
	return q
}

// Learned tells detect what the manifest of a root says now.
func (s *Streams) Learned(root *Root) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.watched[root.UID]; w != nil && w.root == root {
		s.registrations(w)
	}
}

func (s *Streams) registrations(w *watched) {
	st := w.root.Manifest.View()
	for id, epoch := range st.Writers {
		if was, told := w.registered[id]; told && was == epoch {
			continue
		}
		w.registered[id] = epoch
		writer := detect.Writer{Store: string(w.root.UID), ID: id}
		s.det.Apply(detect.Event{At: s.opt.Now(), Writer: writer, Kind: detect.Registered, Root: st.Store, Epoch: epoch})
		if wr := w.writers[id]; wr != nil {
			s.consider(wr)
		}
	}
}

func controlPort(ws *v1alpha1.WALStore) int32 {
	if p := ws.Spec.Control.Port; p != 0 {
		return p
	}
	return v1alpha1.DefaultControlPort
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}
