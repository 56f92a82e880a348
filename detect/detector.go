// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// Options are the bounds. Every zero value is good.
type Options struct {
	// OrphanAfter is how long a writer may be without a pod. Default 5 minutes.
	OrphanAfter time.Duration
	// Window is in which streams are lost together. Default 1 s.
	Window time.Duration
	// Burst is how many must be lost in it, at least. Default 5.
	Burst int
	// Share: one in so many of the streams must be exceeded. Default 5.
	Share int
	// RefusedAfter shortens the hold of a lost stream in a large fleet when the
	// pod's kernel refuses a connection. Default 100 ms.
	RefusedAfter time.Duration
	// Settle is how long most streams must be back before the rest is believed to
	// be gone. Default 5 s.
	Settle time.Duration
	// FencesIsolated bounds fences in a second while isolated. Default 10.
	FencesIsolated int
	// Spacing is the least time between two fences of one process; it doubles with
	// each, up to MaxSpacing, and is forgotten after twice that. Defaults 10 s, 5 min.
	Spacing, MaxSpacing time.Duration
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.OrphanAfter, 5*time.Minute)
	set(&o.Window, time.Second)
	set(&o.RefusedAfter, 100*time.Millisecond)
	set(&o.Settle, 5*time.Second)
	set(&o.Spacing, 10*time.Second)
	set(&o.MaxSpacing, 5*time.Minute)
	if o.Burst == 0 {
		o.Burst = 5
	}
	if o.Share == 0 {
		o.Share = 5
	}
	if o.FencesIsolated == 0 {
		o.FencesIsolated = 10
	}
	return o
}

// Detector holds the facts. It is not safe for concurrent use.
type Detector struct {
	opt     Options
	writers map[Writer]*facts
	open    int // streams that are open now
	doubt   doubt
	grants  grants
}

// New returns a detector that knows nothing.
func New(o Options) *Detector {
	return &Detector{opt: o.withDefaults(), writers: map[Writer]*facts{}}
}

// facts is what is known of one writer.
type facts struct {
	root       string
	registered manifest.Epoch
	stream     stream
	pod        Pod
	podSince   time.Time // of pod.State; of a writer without a pod: since it is known
	fence      fence
}

type streamState uint8

const (
	streamNever streamState = iota
	streamOpen
	streamClosed
	streamSilent
)

// stream is the newest one; what a lost one said last stays.
type stream struct {
	state       streamState
	root        string
	epoch       manifest.Epoch
	incarnation string    // of the pod when the stream opened
	since       time.Time // of state
	refused     bool      // nobody has listened since it was lost
	large       bool      // it was lost in a fleet where bursts can be told
}

func (s stream) lost() bool { return s.state == streamClosed || s.state == streamSilent }

// ours: the stream is, or was, of the process that the manifest has registered.
func (f *facts) ours() bool {
	return f.registered.Process != "" && f.stream.epoch == f.registered && f.stream.root == f.root
}

func (f *facts) streaming() bool { return f.stream.state == streamOpen && f.ours() }
func (f *facts) suspected() bool { return f.stream.lost() && f.ours() }

// unheardSince is when the pod that runs should have begun to stream.
func (f *facts) unheardSince() time.Time {
	if f.stream.since.After(f.podSince) {
		return f.stream.since
	}
	return f.podSince
}

func (f *facts) silentFor(now time.Time) time.Duration {
	if f.stream.state == streamOpen {
		return 0 // of a process that has not registered yet
	}
	return now.Sub(f.unheardSince())
}

// facts of a writer; of one that nobody has heard of before, from now on.
func (d *Detector) facts(w Writer, now time.Time) *facts {
	f := d.writers[w]
	if f == nil {
		f = &facts{podSince: now}
		d.writers[w] = f
	}
	return f
}

// Apply takes one fact. It is total: any event in any state is accepted.
func (d *Detector) Apply(e Event) {
	if e.Kind == Forgotten {
		d.forget(e.Writer)
		return
	}
	f := d.facts(e.Writer, e.At)
	switch e.Kind {
	case Registered:
		f.root, f.registered = e.Root, e.Epoch
	case StreamHeard:
		d.heard(f, e)
	case StreamClosed:
		d.lost(e, f, streamClosed)
	case StreamSilent:
		d.lost(e, f, streamSilent)
	case DialRefused:
		f.stream.refused = f.stream.lost()
	case PodSeen:
		f.setPod(e.Pod, e.At)
	case PodDeleted:
		f.setPod(Pod{State: PodGone, Incarnation: f.pod.Incarnation}, e.At)
	case KindInvalid, Forgotten:
	}
	d.doubt.settle(d, e.At)
}

func (d *Detector) heard(f *facts, e Event) {
	s := stream{state: streamOpen, root: e.Root, epoch: e.Epoch, incarnation: f.pod.Incarnation, since: e.At}
	if f.stream.state == streamOpen {
		s.incarnation = f.stream.incarnation
		if f.stream.epoch == e.Epoch {
			s.since = f.stream.since
		}
	} else {
		d.open++
	}
	f.stream = s
}

func (d *Detector) lost(e Event, f *facts, how streamState) {
	if f.stream.state != streamOpen {
		return // there was none to lose
	}
	d.open--
	f.stream.state, f.stream.since, f.stream.refused = how, e.At, false
	f.stream.large = d.doubt.lose(d, e.Writer, e.At)
}

func (f *facts) setPod(p Pod, at time.Time) {
	if p.State != f.pod.State || p.Incarnation != f.pod.Incarnation {
		f.podSince = at
	}
	f.pod = p
}

func (d *Detector) forget(w Writer) {
	f := d.writers[w]
	if f == nil {
		return
	}
	if f.stream.state == streamOpen {
		d.open--
	}
	delete(d.writers, w)
	delete(d.doubt.lost, w)
}

// Judge says what the facts mean for one operation. It changes nothing.
func (d *Detector) Judge(q Question, now time.Time) Verdict {
	f := d.writers[q.Writer]
	if f == nil {
		f = &facts{podSince: now}
	}
	v := f.judge(q, now, d.opt)
	if !v.EndEpoch {
		return v
	}
	if held, again := d.holdBack(q.Writer, f, v, now); held != HoldNone {
		v.EndEpoch, v.Held, v.Again = false, held, again
	}
	return v
}

// Permit is Judge for whoever will act on the answer: an epoch that may be ended
// is counted against the limits, and a writer that nobody has heard of is
// remembered. Asking again about the same epoch is free.
func (d *Detector) Permit(q Question, now time.Time) Verdict {
	f := d.facts(q.Writer, now)
	v := d.Judge(q, now)
	if v.EndEpoch {
		d.grant(f, now)
	}
	return v
}

// Streams is how many streams are open.
func (d *Detector) Streams() int { return d.open }

// Registration returns the epoch that the manifest last showed for w.
func (d *Detector) Registration(w Writer) manifest.Epoch {
	if f := d.writers[w]; f != nil {
		return f.registered
	}
	return manifest.Epoch{}
}
