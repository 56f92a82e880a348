// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salvor-io/salvor/store/log"
)

// latencies are the bounds of the buckets in which commits are counted by how long they
// took, from the call to the answer.
var latencies = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

// meters count what a store does. They never go down.
type meters struct {
	commits, reads  atomic.Int64
	logged, changes atomic.Int64
	took            atomic.Int64 // nanoseconds of all commits
	within          [len(latencies) + 1]atomic.Int64

	mu                sync.Mutex
	refusals          map[Reason]int64
	published, failed int64
	// What tries to publish took.
	publishing, failing time.Duration
}

// transaction counts one that was answered.
func (m *meters) transaction(writes bool, took time.Duration, err error) {
	switch {
	case err != nil:
		m.refusal(err)
	case !writes:
		m.reads.Add(1)
	default:
		m.commits.Add(1)
		m.took.Add(int64(took))
		i := 0
		for i < len(latencies) && took > latencies[i] {
			i++
		}
		m.within[i].Add(1)
	}
}

// refusal counts an answer that is none.
func (m *meters) refusal(err error) {
	reason := ReasonInternal
	if r := (*Refusal)(nil); errors.As(err, &r) {
		reason = r.Reason
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refusals == nil {
		m.refusals = map[Reason]int64{}
	}
	m.refusals[reason]++
}

// checkpoint counts one try to publish.
func (m *meters) checkpoint(took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.failed++
		m.failing += took
	} else {
		m.published++
		m.publishing += took
	}
}

// counted counts a refusal that is about to be told.
func (s *Store) counted(r *Refusal) *Refusal {
	s.meters.refusal(r)
	return r
}

// Metrics is what a store counts, at one moment.
type Metrics struct {
	// Commits are transactions that wrote and are durable, Reads those that only read,
	// Refusals those that were refused, by reason.
	Commits, Reads int64
	Refusals       map[Reason]int64
	// CommitTime is what all commits took; CommitWithin counts them by the upper bounds of
	// CommitBounds, one behind the other, the last without a bound.
	CommitTime   time.Duration
	CommitBounds []time.Duration
	CommitWithin []int64
	// Logged are the bytes of transactions that were given to the log.
	Logged int64
	// Log is what the log says of itself.
	Log log.Status

	InFlight, Parked           int
	InFlightBytes, ParkedBytes int64

	Checkpoints, CheckpointFailures       int64
	CheckpointTime, CheckpointFailureTime time.Duration
	// Published is the position that the root covers.
	Published log.Position

	Feeds            int64
	Changes          int64
	Snapshots        int
	SnapshotAge      time.Duration
	SnapshotsDropped int64
	// Ready says whether transactions are taken.
	Ready bool
}

// Metrics returns what the store has counted.
func (s *Store) Metrics() Metrics {
	m := &s.meters
	out := Metrics{
		Commits: m.commits.Load(), Reads: m.reads.Load(), Logged: m.logged.Load(), Changes: m.changes.Load(), Feeds: s.feeds.Load(),
		CommitTime: time.Duration(m.took.Load()), CommitBounds: latencies[:],
	}
	for i := range m.within {
		out.CommitWithin = append(out.CommitWithin, m.within[i].Load())
	}
	m.mu.Lock()
	out.Refusals = maps.Clone(m.refusals)
	out.Checkpoints, out.CheckpointFailures, out.CheckpointTime, out.CheckpointFailureTime = m.published, m.failed, m.publishing, m.failing
	m.mu.Unlock()
	s.mu.Lock()
	out.Published = log.Position(s.covered)
	s.mu.Unlock()
	if l := s.opened.Load(); l != nil {
		out.Log = l.Status()
	}
	who, why := s.gate.state()
	out.InFlight, out.Parked, out.Ready = who.inside, who.parked, why == nil && out.Log.Failure == ""
	out.InFlightBytes, out.ParkedBytes = s.intake.bytes()
	out.Snapshots, out.SnapshotAge, out.SnapshotsDropped = s.tables.ages(s.opt.Now())
	return out
}
