// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// Reason is a CamelCase word for a condition or an event.
type Reason string

// The reasons of verdicts.
const (
	Streaming           Reason = "Streaming"
	ReasonStreamClosed  Reason = "StreamClosed"
	HeartbeatMissed     Reason = "HeartbeatMissed"
	Running             Reason = "PodRunning"
	NoStream            Reason = "NoStream"
	NotRunning          Reason = "NotRunning"
	ContainerTerminated Reason = "ContainerTerminated"
	PodOver             Reason = "PodFailed"
	NodeNotReady        Reason = "NodeNotReady"
	ReasonPodDeleted    Reason = "PodDeleted"
	NoPod               Reason = "NoPod"
	Orphaned            Reason = "Orphaned"
	GaveUp              Reason = "GaveUp"
)

// Hold is why an epoch may not be ended although its writer is not alive.
type Hold string

// The reasons to hold back. HoldNone goes with Alive and with EndEpoch.
const (
	HoldNone Hold = ""
	// HoldBurst: other streams may be lost with this one in the same second.
	HoldBurst Hold = "Burst"
	// HoldIsolated: too many streams are lost; only pod and node status counts.
	HoldIsolated Hold = "Isolated"
	// HoldRate: this writer was fenced a moment ago, or ten others were.
	HoldRate Hold = "RateLimited"
	// HoldYoung: without stronger evidence, time has to show that nobody works on it.
	HoldYoung Hold = "TooYoung"
)

// Verdict is what the facts say of one writer at one time.
type Verdict struct {
	State  State
	Reason Reason
	// Since is when this state began; zero when that is not known.
	Since time.Time
	// EndEpoch: the epoch under which the operation in question was armed may be
	// ended, if it is one of Process.
	EndEpoch bool
	// Process is whose epoch may be ended; empty: that of any process of the writer.
	Process manifest.ProcessID
	// Held is why EndEpoch is false; Again when time alone lifts it (zero: never).
	Held  Hold
	Again time.Time
}

// Question is about one operation of one writer.
type Question struct {
	Writer Writer
	// GivenUp: the live process says that it cannot finish this operation.
	GivenUp bool
	// PendingSince is when the operation was first seen; zero: only now.
	PendingSince time.Time
	// OrphanAfter of the writer's store; zero: that of the Options.
	OrphanAfter time.Duration
}

// judge is the table: the strongest evidence first. It knows nothing of fleets
// and limits.
func (f *facts) judge(q Question, now time.Time, o Options) Verdict {
	if q.OrphanAfter > 0 {
		o.OrphanAfter = q.OrphanAfter
	}
	switch {
	case f.streaming():
		v := Verdict{State: Alive, Reason: Streaming, Since: f.stream.since}
		if q.GivenUp {
			v.Reason, v.EndEpoch, v.Process = GaveUp, true, f.stream.epoch.Process
		}
		return v
	case f.pod.State.dead():
		v := Verdict{State: Dead, Reason: f.podReason(), Since: f.podSince, EndEpoch: true}
		// The stream tells which process lived in the container that ended. A
		// container that is yet to run, or another one, says: none of them lives.
		if f.pod.State == PodTerminated && f.suspected() && f.stream.incarnation == f.pod.Incarnation {
			v.Process = f.stream.epoch.Process
		}
		return v
	case f.suspected():
		v := Verdict{State: Suspect, Reason: ReasonStreamClosed, Since: f.stream.since, EndEpoch: true, Process: f.stream.epoch.Process}
		if f.stream.state == streamSilent {
			v.Reason = HeartbeatMissed
		}
		return v
	case f.pod.State == PodRunning && f.pod.Streams && f.silentFor(now) >= o.OrphanAfter:
		return young(Verdict{State: Suspect, Reason: NoStream, Since: f.unheardSince()}, q.PendingSince, now, o)
	case f.pod.State == PodRunning:
		return Verdict{State: Alive, Reason: Running, Since: f.podSince}
	case now.Sub(f.podSince) >= o.OrphanAfter:
		return Verdict{State: Dead, Reason: Orphaned, Since: f.podSince, EndEpoch: true}
	default:
		return Verdict{State: Suspect, Reason: NoPod, Since: f.podSince, Held: HoldYoung, Again: f.podSince.Add(o.OrphanAfter)}
	}
}

// young lets v end an epoch once the operation has been pending for as long.
func young(v Verdict, pendingSince, now time.Time, o Options) Verdict {
	if pendingSince.IsZero() {
		pendingSince = now
	}
	if old := pendingSince.Add(o.OrphanAfter); now.Before(old) {
		v.Held, v.Again = HoldYoung, old
		return v
	}
	v.EndEpoch = true
	return v
}

func (f *facts) podReason() Reason {
	switch f.pod.State {
	case PodTerminated:
		return ContainerTerminated
	case PodFailed:
		return PodOver
	case PodNodeLost:
		return NodeNotReady
	case PodGone:
		return ReasonPodDeleted
	default:
		return NotRunning
	}
}
