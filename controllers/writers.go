// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"slices"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/manifest"
)

// pod takes in what a pod's status says. The caller holds the mutex, here and in
// all of this file.
func (s *Streams) pod(pod *corev1.Pod, deleted bool) {
	uid, ok := s.byName[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.LabelStore]}]
	if !ok {
		return
	}
	w := s.watched[uid]
	id := manifest.WriterID(pod.Name)
	wr := w.writers[id]
	if wr == nil {
		if deleted {
			return
		}
		wr = &writer{id: detect.Writer{Store: string(uid), ID: id}, of: w}
		w.writers[id] = wr
	}
	if deleted {
		if wr.pod != pod.UID {
			return // its successor of the same name is there already
		}
		s.det.Apply(detect.Event{At: s.opt.Now(), Writer: wr.id, Kind: detect.PodDeleted})
		s.drop(wr)
		s.consider(wr)
		delete(w.writers, id)
		s.stores.up(w.root.Store, normal, 0)
		s.held.up(w.root.Store)
		return
	}
	facts := podFacts(pod, w.port)
	s.det.Apply(detect.Event{At: s.opt.Now(), Writer: wr.id, Kind: detect.PodSeen, Pod: facts})
	if ready := facts.State == detect.PodRunning; wr.ready != ready {
		wr.ready, wr.since = ready, s.opt.Now() // its stream may have told before: then no verdict changes
		s.stores.up(w.root.Store, normal, 0)
		s.held.up(w.root.Store)
	}
	s.dial(wr, pod.UID, controlAddr(pod, w.port), facts)
	s.consider(wr)
}

// dial keeps one stream to the pod, as long as there is somebody to talk to.
func (s *Streams) dial(wr *writer, pod types.UID, addr string, facts detect.Pod) {
	if wr.stop != nil && (wr.pod != pod || wr.addr != addr || facts.State == detect.PodFailed) {
		s.drop(wr)
	}
	wr.pod, wr.addr = pod, addr
	if addr == "" || facts.State == detect.PodFailed {
		return
	}
	if wr.stop == nil {
		s.begin(wr)
		return
	}
	if facts.State == detect.PodRunning { // dial now, it may just have come up
		select {
		case wr.kick <- struct{}{}:
		default:
		}
	}
}

// drop ends a writer's stream from our side.
func (s *Streams) drop(wr *writer) {
	if wr.stop != nil {
		wr.stop()
		wr.stop = nil
		s.pods--
	}
	if wr.timer != nil {
		wr.timer.Stop()
		wr.timer = nil
	}
	s.lost(wr, detect.StreamClosed)
}

// heard takes in one line of a stream.
func (s *Streams) heard(wr *writer, st *control.Status) {
	epoch := manifest.Epoch{Number: st.Epoch, Process: manifest.ProcessID(st.Process)}
	if st.Writer != string(wr.id.ID) {
		epoch = manifest.Epoch{} // not who we dialled: no evidence
	}
	before := wr.status
	wr.status = st
	s.det.Apply(detect.Event{At: s.opt.Now(), Writer: wr.id, Kind: detect.StreamHeard, Root: st.Store, Epoch: epoch})
	s.meters.streams.Set(float64(s.det.Streams()))
	known := s.det.Registration(wr.id)
	view := wr.of.root.Manifest.View().Version
	if epoch.Number != 0 && known != epoch || uint64(view)+followBehind <= st.Manifest {
		s.followManifest(wr.of)
	}
	if st.Manifest > uint64(view) && (before == nil || before.Manifest != st.Manifest) {
		s.stores.up(wr.of.root.Store, background, manifestEvery) // the store is idle no more
	}
	if st.Waiting != "" && (before == nil || before.Waiting != st.Waiting) {
		s.find(wr.of) // perhaps for an operation that nobody has named to us
	}
	if before == nil || before.State != st.State || before.PoisonReason != st.PoisonReason || nearlyFull(before.Disk) != nearlyFull(st.Disk) ||
		st.State == control.Poisoned && mayBeMended(before, st) {
		s.stores.up(wr.of.root.Store, normal, 0)
	}
	if drains(before, st) {
		s.held.up(wr.of.root.Store)
	}
	if before != nil {
		s.finished(wr, before, st)
	}
	if len(st.Abandoned) > 0 && (before == nil || !slices.Equal(before.Abandoned, st.Abandoned)) {
		s.look(wr.of, st.Abandoned, s.opt.Now())
	}
	s.consider(wr)
}

// mayBeMended: what a restart may have waited for has changed.
func mayBeMended(before, now *control.Status) bool {
	grown := before.Disk != nil && now.Disk != nil && now.Disk.Free > before.Disk.Free
	return grown || len(before.Open) != len(now.Open) || before.Published != now.Published
}

// finished wakes what waited for a live writer that is done with it.
func (s *Streams) finished(wr *writer, before, now *control.Status) {
	gone := func(op string) bool { return !contains(now.Open, op) && !contains(now.Abandoned, op) }
	for _, p := range s.ledger.of(wr.of.root.UID, wr.id.ID) {
		op := string(p.operation)
		if p.name.Name != "" && gone(op) && (contains(before.Open, op) || contains(before.Abandoned, op)) {
			s.sweep.sidecars.up(p.name, normal, 0)
		}
	}
}

// lost takes in the end of a stream, if there was one.
func (s *Streams) lost(wr *writer, how detect.Kind) {
	if wr.status == nil {
		return
	}
	wr.last = append(append([]string{}, wr.status.Open...), wr.status.Abandoned...)
	wr.status = nil
	s.det.Apply(detect.Event{At: s.opt.Now(), Writer: wr.id, Kind: how})
	s.meters.streams.Set(float64(s.det.Streams()))
	s.checkIsolation()
}

// refused takes in a connection that could not be made.
func (s *Streams) refused(wr *writer, err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		s.det.Apply(detect.Event{At: s.opt.Now(), Writer: wr.id, Kind: detect.DialRefused})
		s.consider(wr)
	}
}

// consider looks at the verdict about a writer and acts if it has changed: its
// pending operations are looked for, and their reconciler is woken.
func (s *Streams) consider(wr *writer) {
	s.checkIsolation() // first: its end looks at every writer anew, this one too
	now := s.opt.Now()
	v := s.det.Judge(s.question(wr.of.root, wr.id.ID), now)
	was := wr.verdict
	wr.verdict = v
	s.again(wr, v, now)
	if was.State == v.State && was.Reason == v.Reason && was.EndEpoch == v.EndEpoch && was.Process == v.Process {
		return
	}
	if was.State != v.State || was.Reason != v.Reason {
		s.log.Info("verdict", "store", wr.of.root.Store, "writer", wr.id.ID, "state", v.State.String(), "reason", v.Reason, "held", v.Held)
		s.stores.up(wr.of.root.Store, normal, 0)
	}
	for _, p := range s.ledger.of(wr.of.root.UID, wr.id.ID) {
		if p.name.Name != "" {
			s.sweep.sidecars.up(p.name, urgent, 0)
		}
	}
	switch {
	case v.State != detect.Alive && was.State == detect.Alive:
		s.look(wr.of, wr.last, now)
		wr.last = nil
	case v.Reason == detect.Streaming && was.Reason != detect.Streaming && was.Reason != detect.GaveUp && s.det.Registration(wr.id).Number > 1:
		// What its predecessor sent last may land late, and nobody would name it.
		for _, d := range lateLooks {
			time.AfterFunc(d, func() { s.lookLater(wr.of) })
		}
	}
}

// lateLooks are when a root is listed once more after a writer came back.
var lateLooks = []time.Duration{time.Second, 15 * time.Second}

// again looks at the verdict anew when time alone may have changed it.
func (s *Streams) again(wr *writer, v detect.Verdict, now time.Time) {
	if wr.timer != nil {
		wr.timer.Stop()
		wr.timer = nil
	}
	if v.Again.IsZero() || wr.of.writers[wr.id.ID] != wr {
		return
	}
	wr.timer = time.AfterFunc(v.Again.Sub(now), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if wr.of.writers[wr.id.ID] == wr {
			s.consider(wr)
		}
	})
}

// checkIsolation shows a change of the operator's doubt in itself, and looks again
// soon while it lasts.
func (s *Streams) checkIsolation() {
	is := s.det.Isolation(s.opt.Now()).Isolated
	if is == s.isolated {
		return
	}
	s.isolated = is
	s.meters.isolated.Set(gauge(is))
	s.log.Info("isolation", "isolated", is)
	for _, w := range s.watched {
		s.stores.up(w.root.Store, normal, 0)
	}
	if is {
		s.settle()
		return
	}
	for _, w := range s.watched { // what was held back may go on
		for _, wr := range w.writers {
			s.consider(wr)
		}
	}
}

func (s *Streams) settle() {
	s.settling = time.AfterFunc(time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.checkIsolation()
		if s.isolated {
			s.settle()
		}
	})
}
