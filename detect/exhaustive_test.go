// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// told is the plain memory of a sequence: the last word of each source.
type told struct {
	registered manifest.Epoch
	stream     manifest.Epoch
	open, lost bool
	pod        PodState
}

func (m told) take(e Event) told {
	switch e.Kind {
	case Registered:
		m.registered = e.Epoch
	case StreamHeard:
		m.stream, m.open, m.lost = e.Epoch, true, false
	case StreamClosed, StreamSilent:
		m.lost = m.lost || m.open
		m.open = false
	case PodSeen:
		m.pod = e.Pod.State
	case PodDeleted:
		m.pod = PodGone
	case Forgotten:
		m = told{}
	}
	return m
}

// Every sequence of up to five facts about one writer: 579,194 of them.
func TestEverySmallSequence(t *testing.T) {
	alphabet := []Event{
		registered(e1), registered(e2), registered(gone), heard(e1), heard(e2), closed(), silent(), refused(),
		pod(PodRunning, "a/0"), pod(PodRunning, "a/1"), pod(PodTerminated, "a/0"), pod(PodNodeLost, "a/0"), deleted(), {Kind: Forgotten},
	}
	depth := 5
	if testing.Short() {
		depth = 4
	}
	count := 0
	var seq []Event
	var walk func(m told)
	walk = func(m told) {
		if len(seq) > 0 {
			count++
			check(t, m, seq)
		}
		if len(seq) == depth || t.Failed() {
			return
		}
		for _, e := range alphabet {
			seq = append(seq, e)
			walk(m.take(e))
			seq = seq[:len(seq)-1]
		}
	}
	walk(told{})
	t.Logf("%d sequences", count)
}

func check(t *testing.T, m told, seq []Event) {
	t.Helper()
	d := New(Options{})
	now := run(d, seq...)
	v := d.Judge(Question{Writer: w0}, now)
	ours := m.registered.Process != "" && m.stream == m.registered
	var want Verdict
	switch {
	case m.open && ours:
		want = Verdict{State: Alive}
	case m.pod.dead():
		want = Verdict{State: Dead, EndEpoch: true}
	case m.lost && ours:
		want = Verdict{State: Suspect, EndEpoch: true}
	case m.pod == PodRunning:
		want = Verdict{State: Alive}
	default:
		want = Verdict{State: Suspect}
	}
	say := func(format string, args ...any) {
		t.Helper()
		for _, e := range seq {
			t.Logf("%s %s %+v", e.Kind, e.Epoch, e.Pod)
		}
		t.Errorf(format, args...)
	}
	if v.State != want.State || v.EndEpoch != want.EndEpoch {
		say("got %+v, want %s, EndEpoch %t", v, want.State, want.EndEpoch)
	}
	if v.Process != "" && (v.Process != m.registered.Process || v.Process != m.stream.Process) {
		say("the verdict is about %s, registered %s, streamed %s", v.Process, m.registered, m.stream)
	}
	if (d.Streams() == 1) != m.open {
		say("%d streams, open: %t", d.Streams(), m.open)
	}
	if d.Isolation(now).Isolated {
		say("one writer isolates nobody")
	}
	if again := d.Permit(Question{Writer: w0}, now); again != v {
		say("Permit said %+v after Judge said %+v", again, v)
	}
	if again := d.Permit(Question{Writer: w0}, now.Add(time.Millisecond)); again.EndEpoch != v.EndEpoch {
		say("a second operation of the same epoch was judged %+v, the first %+v", again, v)
	}
}
