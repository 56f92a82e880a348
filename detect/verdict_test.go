// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

var (
	t0   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w0   = Writer{Store: "ledger", ID: "ledger-0"}
	e1   = manifest.Epoch{Number: 1, Process: "p1"}
	e2   = manifest.Epoch{Number: 2, Process: "p2"}
	gone = manifest.Epoch{Number: 2} // a fence ended e1
)

const root = "root-1"

// The events, about w0; run dates them one second apart.
func registered(e manifest.Epoch) Event { return Event{Kind: Registered, Root: root, Epoch: e} }
func heard(e manifest.Epoch) Event      { return Event{Kind: StreamHeard, Root: root, Epoch: e} }
func closed() Event                     { return Event{Kind: StreamClosed} }
func silent() Event                     { return Event{Kind: StreamSilent} }
func refused() Event                    { return Event{Kind: DialRefused} }
func deleted() Event                    { return Event{Kind: PodDeleted} }
func pod(s PodState, incarnation string) Event {
	return Event{Kind: PodSeen, Pod: Pod{State: s, Incarnation: incarnation, Streams: true}}
}

// run applies the events a second apart and returns the time of the last.
func run(d *Detector, events ...Event) time.Time {
	at := t0
	for _, e := range events {
		at = at.Add(time.Second)
		e.At, e.Writer = at, w0
		d.Apply(e)
	}
	return at
}

func TestOneWriter(t *testing.T) {
	contract.Row(t, 130)
	alive := []Event{pod(PodRunning, "a/0"), registered(e1), heard(e1)}
	after := func(more ...Event) []Event { return append(append([]Event{}, alive...), more...) }
	foreign := Event{Kind: StreamHeard, Root: "another root", Epoch: e1}
	noStreams := Event{Kind: PodSeen, Pod: Pod{State: PodRunning, Incarnation: "a/0"}}
	const wait = 5 * time.Minute
	for name, c := range map[string]struct {
		events []Event
		after  time.Duration
		q      Question
		want   Verdict
	}{
		"nothing is known":                      {nil, 0, Question{}, Verdict{State: Suspect, Reason: NoPod, Held: HoldYoung}},
		"nothing is known for long":             {nil, wait, Question{}, Verdict{State: Dead, Reason: Orphaned, EndEpoch: true}},
		"a pod runs, its stream is yet to come": {[]Event{pod(PodRunning, "a/0")}, 0, Question{}, Verdict{State: Alive, Reason: Running}},
		"a pod of a store without streams":      {[]Event{noStreams}, time.Hour, Question{PendingSince: t0}, Verdict{State: Alive, Reason: Running}},
		"it streams":                            {alive, 0, Question{}, Verdict{State: Alive, Reason: Streaming}},
		"it streams and gave an operation up":   {alive, 0, Question{GivenUp: true}, Verdict{State: Alive, Reason: GaveUp, EndEpoch: true, Process: "p1"}},
		"it streams, its pod's status lags":     {after(pod(PodTerminated, "a/0")), 0, Question{}, Verdict{State: Alive, Reason: Streaming}},
		"it streams, its node is NotReady":      {after(pod(PodNodeLost, "a/0")), 0, Question{}, Verdict{State: Alive, Reason: Streaming}},
		"the stream closed":                     {after(closed()), 0, Question{}, Verdict{State: Suspect, Reason: ReasonStreamClosed, EndEpoch: true, Process: "p1"}},
		"the stream fell silent":                {after(silent()), 0, Question{}, Verdict{State: Suspect, Reason: HeartbeatMissed, EndEpoch: true, Process: "p1"}},
		"closed and back":                       {after(closed(), heard(e1)), 0, Question{}, Verdict{State: Alive, Reason: Streaming}},
		"closed, then its container is over": {after(closed(), pod(PodTerminated, "a/0")), 0, Question{},
			Verdict{State: Dead, Reason: ContainerTerminated, EndEpoch: true, Process: "p1"}},
		"closed, then a later container is over": {after(closed(), pod(PodTerminated, "a/1")), 0, Question{},
			Verdict{State: Dead, Reason: ContainerTerminated, EndEpoch: true}},
		"closed, the pod waits to start again": {after(closed(), pod(PodNotRunning, "a/1")), 0, Question{}, Verdict{State: Dead, Reason: NotRunning, EndEpoch: true}},
		"closed, the pod failed":               {after(closed(), pod(PodFailed, "a/0")), 0, Question{}, Verdict{State: Dead, Reason: PodOver, EndEpoch: true}},
		"closed, the node is NotReady":         {after(closed(), pod(PodNodeLost, "a/0")), 0, Question{}, Verdict{State: Dead, Reason: NodeNotReady, EndEpoch: true}},
		"closed, the pod is deleted":           {after(closed(), deleted()), 0, Question{}, Verdict{State: Dead, Reason: ReasonPodDeleted, EndEpoch: true}},
		"the container is over, no stream told who ran": {[]Event{noStreams, pod(PodTerminated, "a/0")}, 0, Question{},
			Verdict{State: Dead, Reason: ContainerTerminated, EndEpoch: true}},
		"a process that never registered died: nobody else's epoch hangs on it": {
			[]Event{pod(PodRunning, "a/1"), registered(e1), heard(e2), closed(), pod(PodTerminated, "a/1")}, 0, Question{},
			Verdict{State: Dead, Reason: ContainerTerminated, EndEpoch: true}},
		"a stream of a process that is not registered is no evidence": {[]Event{pod(PodRunning, "a/0"), registered(e2), heard(e1), closed()}, 0, Question{}, Verdict{State: Alive, Reason: Running}},
		"a stream of another root is no evidence":                     {[]Event{pod(PodRunning, "a/0"), registered(e1), foreign, closed()}, 0, Question{}, Verdict{State: Alive, Reason: Running}},
		"a stream that claims another epoch number is no evidence": {[]Event{pod(PodRunning, "a/0"), registered(e1),
			heard(manifest.Epoch{Number: 2, Process: "p1"}), closed()}, 0, Question{}, Verdict{State: Alive, Reason: Running}},
		"fenced by mistake: its open stream is evidence no more":            {after(registered(gone)), 0, Question{}, Verdict{State: Alive, Reason: Running}},
		"fenced after its stream closed: nothing left to suspect":           {after(closed(), registered(gone)), 0, Question{}, Verdict{State: Alive, Reason: Running}},
		"closed, and its successor registered: the suspicion is moot":       {after(closed(), registered(e2)), 0, Question{}, Verdict{State: Alive, Reason: Running}},
		"streams again under a new epoch":                                   {after(closed(), registered(e2), heard(e2)), 0, Question{}, Verdict{State: Alive, Reason: Streaming}},
		"its pod runs, but it has not streamed for long: a young operation": {after(closed(), registered(e2)), wait, Question{}, Verdict{State: Suspect, Reason: NoStream, Held: HoldYoung}},
		"its pod runs, but it has not streamed for long: an old operation": {after(closed(), registered(e2)), wait, Question{PendingSince: t0},
			Verdict{State: Suspect, Reason: NoStream, EndEpoch: true}},
		"forgotten": {after(closed(), Event{Kind: Forgotten}), 0, Question{}, Verdict{State: Suspect, Reason: NoPod, Held: HoldYoung}},
	} {
		t.Run(name, func(t *testing.T) {
			d := New(Options{})
			c.q.Writer = w0
			now := run(d, c.events...)
			d.Permit(Question{Writer: w0}, now) // somebody has asked, and is told the same later
			now = now.Add(c.after)
			got := d.Judge(c.q, now)
			if got.Held != HoldNone && (got.Again.IsZero() || !got.Again.After(now)) {
				t.Errorf("held back (%s) until %s, which is not after now %s", got.Held, got.Again, now)
			}
			got.Since, got.Again = time.Time{}, time.Time{}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// An operator that has run for days hears of a writer for the first time: it has
// not been without a pod for days.
func TestANewWriterIsNoOrphan(t *testing.T) {
	d := New(Options{})
	days := t0.Add(72 * time.Hour)
	tell(d, registered(e1), days, w0)
	if v := d.Judge(Question{Writer: w0}, days); v.EndEpoch {
		t.Errorf("%+v", v)
	}
	other := Writer{Store: "another", ID: "w"}
	if v := d.Permit(Question{Writer: other}, days); v.EndEpoch || !v.Again.Equal(days.Add(5*time.Minute)) {
		t.Errorf("%+v", v)
	}
	if v := d.Permit(Question{Writer: other}, days.Add(5*time.Minute)); !v.EndEpoch || v.Reason != Orphaned {
		t.Errorf("%+v", v)
	}
}

func TestAStoreMaySayWhenItsWritersAreOrphans(t *testing.T) {
	d := New(Options{})
	q := Question{Writer: w0, OrphanAfter: 10 * time.Second}
	d.Permit(q, t0)
	if v := d.Judge(q, t0.Add(9*time.Second)); v.EndEpoch || !v.Again.Equal(t0.Add(10*time.Second)) {
		t.Errorf("before: %+v", v)
	}
	if v := d.Judge(q, t0.Add(10*time.Second)); !v.EndEpoch {
		t.Errorf("after: %+v", v)
	}
}

func TestAHoldEndsWhenItSays(t *testing.T) {
	d := New(Options{})
	v := d.Permit(Question{Writer: w0}, t0)
	if v = d.Judge(Question{Writer: w0}, v.Again.Add(-time.Nanosecond)); v.EndEpoch {
		t.Error("may end an epoch before the time that was named")
	}
	if v = d.Judge(Question{Writer: w0}, v.Again); !v.EndEpoch {
		t.Error("may not end an epoch at the time that was named")
	}
}
