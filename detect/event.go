// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"fmt"
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// Writer names one writer of one store.
type Writer struct {
	// Store is whatever the caller tells stores apart by; ID the writer's id there.
	Store string
	ID    manifest.WriterID
}

// Kind is what happened.
type Kind uint8

const (
	// KindInvalid is the zero value; an event of it changes nothing.
	KindInvalid Kind = iota
	// Registered: the manifest of Root says that the writer's epoch is Epoch.
	Registered
	// StreamHeard: a status came, from a process of Root that claims Epoch.
	StreamHeard
	// StreamClosed: the stream ended: end of file, or a reset.
	StreamClosed
	// StreamSilent: nothing came for two heartbeats.
	StreamSilent
	// DialRefused: the pod's kernel answered that nobody listens.
	DialRefused
	// PodSeen: the pod is there, and this is how (Pod).
	PodSeen
	// PodDeleted: a pod that was there is gone.
	PodDeleted
	// Forgotten: the store is no longer ours to watch.
	Forgotten
)

var kinds = [...]string{"Invalid", "Registered", "StreamHeard", "StreamClosed", "StreamSilent", "DialRefused", "PodSeen", "PodDeleted", "Forgotten"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Event is one fact.
type Event struct {
	At     time.Time
	Writer Writer
	Kind   Kind
	// Root is the uid of the root's store: of the manifest (Registered), or as the
	// process says (StreamHeard).
	Root  string
	Epoch manifest.Epoch
	Pod   Pod
}

// Pod is what a pod's status says.
type Pod struct {
	State PodState
	// Incarnation tells containers apart: the pod's uid and its restart count.
	Incarnation string
	// Streams: the pod should have a stream to us.
	Streams bool
}

// PodState is what a pod's status says of the writer's container.
type PodState uint8

const (
	// PodUnknown is the zero value: nothing is known of a pod.
	PodUnknown PodState = iota
	// PodRunning: the container runs.
	PodRunning
	// PodNotRunning: no container runs, and none ended that we know of: it is
	// being made or waits. Whatever ran under this writer's id before is dead.
	PodNotRunning
	// PodTerminated: the container ended and was not started again yet.
	PodTerminated
	// PodFailed: the pod is over (failed, evicted, succeeded) and will not start again.
	PodFailed
	// PodNodeLost: the node is NotReady: its kubelet cannot say.
	PodNodeLost
	// PodGone: there was a pod, and it was deleted.
	PodGone
)

// dead reports whether no process of this writer can be running, as far as pod
// and node status say.
func (s PodState) dead() bool { return s >= PodNotRunning }

// State is a verdict's first word.
type State uint8

const (
	// StateInvalid is the zero value and never returned.
	StateInvalid State = iota
	// Alive: leave its operations alone.
	Alive
	// Suspect: a stream says so, or nothing is known.
	Suspect
	// Dead: pod or node status says so, or it has been without a pod for too long.
	Dead
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Alive:
		return "Alive"
	case Suspect:
		return "Suspect"
	case Dead:
		return "Dead"
	default:
		return fmt.Sprintf("State(%d)", uint8(s))
	}
}
