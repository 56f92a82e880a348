// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"fmt"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// flap is one round of a flapping network: stream lost, epoch asked for, and if
// it is given, fenced and registered again.
func flap(d *Detector, n uint64, at time.Time, lose Event) Verdict {
	e := manifest.Epoch{Number: n, Process: "p"}
	tell(d, registered(e), at, w0)
	tell(d, heard(e), at, w0)
	tell(d, lose, at, w0)
	return d.Permit(Question{Writer: w0}, at)
}

func TestFencingOneWriterIsRateLimited(t *testing.T) {
	d := New(Options{})
	tell(d, pod(PodRunning, "a/0"), t0, w0)
	at, n := t0, uint64(1)
	if v := flap(d, n, at, closed()); !v.EndEpoch {
		t.Fatalf("the first time: %+v", v)
	}
	for _, wait := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		n += 2
		wait *= time.Second
		v := flap(d, n, at.Add(wait-1), closed())
		if v.EndEpoch || v.Held != HoldRate || !v.Again.Equal(at.Add(wait)) {
			t.Errorf("%s after the fence before: %+v", wait-1, v)
		}
		at = at.Add(wait)
		if v := d.Permit(Question{Writer: w0}, at); !v.EndEpoch {
			t.Errorf("%s after the fence before: %+v", wait, v)
		}
	}
	at = at.Add(10*time.Minute + 1)
	flap(d, n+2, at, closed())
	if v := flap(d, n+4, at.Add(10*time.Second), closed()); !v.EndEpoch {
		t.Errorf("after a long quiet it should begin again with 10 s: %+v", v)
	}
}

func TestProcessesThatDieOneAfterTheOtherAreNotRateLimited(t *testing.T) {
	d := New(Options{})
	tell(d, pod(PodRunning, "a/0"), t0, w0)
	for n := range uint64(20) {
		e := manifest.Epoch{Number: 2*n + 1, Process: manifest.ProcessID(fmt.Sprintf("p%d", n))}
		tell(d, registered(e), t0, w0)
		tell(d, heard(e), t0, w0)
		tell(d, closed(), t0, w0)
		if v := d.Permit(Question{Writer: w0}, t0); !v.EndEpoch || v.Process != e.Process {
			t.Fatalf("death %d: %+v", n, v)
		}
	}
}

func TestShownDeathsAreNotRateLimited(t *testing.T) {
	d := New(Options{})
	for n := range uint64(20) {
		tell(d, pod(PodRunning, "a/0"), t0, w0)
		flap(d, 2*n+1, t0, closed())
		tell(d, pod(PodTerminated, "a/0"), t0, w0)
		if v := d.Permit(Question{Writer: w0}, t0); !v.EndEpoch {
			t.Fatalf("death %d: %+v", n, v)
		}
	}
	// A node that comes and goes is a flapping network.
	tell(d, pod(PodNodeLost, "a/0"), t0, w0)
	flap(d, 99, t0, silent())
	if v := d.Permit(Question{Writer: w0}, t0); v.EndEpoch || v.Held != HoldRate {
		t.Errorf("a lost node: %+v", v)
	}
}

func TestGivenUpOperationsAreRateLimited(t *testing.T) {
	d := New(Options{})
	q := Question{Writer: w0, GivenUp: true}
	for n, want := range []bool{true, false} {
		e := manifest.Epoch{Number: uint64(2*n + 1), Process: "p"}
		tell(d, registered(e), t0, w0)
		tell(d, heard(e), t0, w0)
		if v := d.Permit(q, t0); v.EndEpoch != want {
			t.Errorf("time %d: %+v", n, v)
		}
		if v := d.Permit(q, t0); v.EndEpoch != want {
			t.Errorf("time %d, second operation of the same epoch: %+v", n, v)
		}
	}
}

func TestWordsHaveNames(t *testing.T) {
	for k := KindInvalid; k <= Forgotten; k++ {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	if got := Kind(200).String(); got != "Kind(200)" {
		t.Error(got)
	}
	for s, want := range map[State]string{Alive: "Alive", Suspect: "Suspect", Dead: "Dead", State(9): "State(9)"} {
		if s.String() != want {
			t.Errorf("%d is called %s", s, s)
		}
	}
}
