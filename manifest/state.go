// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"maps"
	"slices"
)

// Outcome is the decision about one operation: which entry decided it, and who
// published that entry. The first outcome of an operation is its only one.
type Outcome struct {
	Operation OperationID `json:"operation"`
	// Kind is KindPublish, KindAbandon or KindRollBack.
	Kind Kind `json:"kind"`
	// Version is the publication that holds the entry.
	Version Version `json:"version"`
	// By is who published it. A writer that finds itself here may clean up; one
	// that finds recovery here leaves the sidecar to recovery's audit.
	By Publisher `json:"by"`
	// Restored is the publication that ended a roll-back; 0 while it goes on.
	Restored Version `json:"restored,omitempty"`
}

// State is what the store is at one version. A State is never changed after it
// was handed out: Apply returns a new one. Do not write to its maps.
type State struct {
	Store   string  `json:"store"`
	Version Version `json:"version"`
	// Digest of publication Version; empty at version 0.
	Digest   string    `json:"digest,omitempty"`
	Claimant *Claimant `json:"claimant,omitempty"`
	// Generation counts adoptions.
	Generation uint64             `json:"generation,omitempty"`
	Tables     map[TableID]Pin    `json:"tables"`
	Writers    map[WriterID]Epoch `json:"writers"`
	// Outcomes lists the recent operations, oldest first. It is complete for
	// outcomes decided after LowWater; before it absence proves nothing.
	Outcomes  []Outcome `json:"outcomes"`
	LowWater  Version   `json:"lowWater,omitempty"`
	Announced Version   `json:"announced,omitempty"`
	Head      ChainHead `json:"head,omitzero"`
	// Lock is the write lock; nil when nobody holds it.
	Lock      *Lock      `json:"lock,omitempty"`
	EndedLock *EndedLock `json:"endedLock,omitempty"`
	// Format is the store's format level; zero is 1. See Level.
	Format int `json:"format,omitempty"`

	index map[OperationID]int // position in Outcomes
	owned uint8               // which maps are no other state's
}

// NewState returns version 0 of the store with this uid.
func NewState(uid string) *State {
	return &State{Store: uid, Tables: map[TableID]Pin{}, Writers: map[WriterID]Epoch{}, index: map[OperationID]int{}}
}

// Outcome returns the decision about op, if the recent list has one.
func (s *State) Outcome(op OperationID) (Outcome, bool) {
	i, ok := s.index[op]
	if !ok {
		return Outcome{}, false
	}
	return s.Outcomes[i], true
}

// Knows reports whether the absence of an outcome proves that an operation with
// this base is undecided.
func (s *State) Knows(base Version) bool { return base >= s.LowWater }

// Ended reports whether the epoch under which an operation was armed is over.
func (s *State) Ended(w WriterID, armed Epoch) bool { return s.Writers[w] != armed }

// Ref returns what the manifest names for a table; zero when it does not exist.
func (s *State) Ref(t TableID) Ref { return s.Tables[t].Ref }

// cow returns a copy that may be changed, as long as s is not: it shares the maps
// of s until it writes to one.
func (s *State) cow() *State {
	c := *s
	c.owned = 0
	c.Outcomes = slices.Clip(s.Outcomes)
	return &c
}

// The maps that a copy may have of its own.
const (
	ownsTables = 1 << iota
	ownsWriters
	ownsIndex
)

func (s *State) own(which uint8) {
	if s.owned&which != 0 {
		return
	}
	s.owned |= which
	switch which {
	case ownsTables:
		s.Tables = maps.Clone(s.Tables)
	case ownsWriters:
		s.Writers = maps.Clone(s.Writers)
	case ownsIndex:
		s.index = maps.Clone(s.index)
	}
}

// extend makes s the state that it will be after entries in publication number.
// Its Version stays: they are not published yet.
func (s *State) extend(entries []Entry, by Publisher, number Version) {
	for i := range entries {
		s.applyEntry(&entries[i], &Batch{Number: number, By: by})
	}
}

func (s *State) reindex() {
	s.owned |= ownsIndex
	s.index = make(map[OperationID]int, len(s.Outcomes))
	for i, o := range s.Outcomes {
		s.index[o.Operation] = i
	}
}

// Apply returns the state after b, whose object has this digest. It is pure and
// total over batches that decode: an entry that contradicts an earlier outcome
// changes nothing, so that all readers agree on the first one.
//
// Errors: *IdentityError when b belongs to another store or another history.
func Apply(s *State, b *Batch, digest string) (*State, error) {
	switch {
	case b.Store != s.Store:
		return nil, &IdentityError{
			Why:  fmt.Sprintf("publication %d belongs to store %s, this is store %s", b.Number, b.Store, s.Store),
			Hint: "the root was swapped or mixed with another one: restore the right objects, or point the resource at the right root",
		}
	case b.Number != s.Version+1:
		return nil, fmt.Errorf("publication %d cannot follow %d", b.Number, s.Version)
	case b.Parent != s.Digest:
		return nil, &IdentityError{
			Why:  fmt.Sprintf("publication %d follows another publication %d than the one known here", b.Number, s.Version),
			Hint: "the root was restored from a copy while somebody published: stop the writers and run `salvor manifest adopt`",
		}
	}
	n := s.cow()
	n.Version, n.Digest = b.Number, digest
	if b.Head.Number > n.Head.Number {
		n.Head = b.Head
	}
	for i := range b.Entries {
		n.applyEntry(&b.Entries[i], b)
	}
	return n, nil
}

func (s *State) applyEntry(e *Entry, b *Batch) {
	switch e.Kind {
	case KindRegister:
		s.own(ownsWriters)
		s.Writers[e.Writer] = e.Epoch
	case KindFence:
		if s.Writers[e.Writer] == e.Epoch {
			s.own(ownsWriters)
			s.Writers[e.Writer] = Epoch{Number: e.Epoch.Number + 1}
		}
	case KindPublish:
		if s.decide(e, b) {
			s.pin(e.Tables)
		}
	case KindAbandon, KindRollBack:
		s.decide(e, b)
	case KindRestore:
		s.applyRestore(e, b)
	case KindClaim:
		if s.Claimant == nil {
			s.Claimant = e.Claimant
		}
	case KindAdopt:
		s.Generation++
		s.unlock(KindAdopt, b.Number) // its owner was elsewhere
		s.Claimant = e.Claimant
		s.own(ownsWriters)
		for w, ep := range s.Writers {
			s.Writers[w] = Epoch{Number: ep.Number + 1}
		}
	case KindLock, KindExtend, KindRelease, KindExpire:
		s.applyLock(e, b.Number)
	case KindAnnounce:
		s.Announced = max(s.Announced, e.LowWater)
	case KindTrim:
		s.trim(min(e.LowWater, s.Announced))
	case KindFormat:
		if e.Format > s.Level() {
			s.Format = e.Format
		}
	case KindAnchor: // the batch's head says it all
	}
}

// pin makes tables be what the changes say.
func (s *State) pin(changes []Change) {
	s.own(ownsTables)
	for _, c := range changes {
		if c.To == nil {
			delete(s.Tables, c.Table)
		} else {
			s.Tables[c.Table] = *c.To
		}
	}
}

// decide records the first outcome of an operation; false when it had one.
func (s *State) decide(e *Entry, b *Batch) bool {
	if _, ok := s.index[e.Operation]; ok {
		return false
	}
	s.own(ownsIndex)
	s.index[e.Operation] = len(s.Outcomes)
	s.Outcomes = append(s.Outcomes, Outcome{Operation: e.Operation, Kind: e.Kind, Version: b.Number, By: b.By})
	return true
}

// trim drops the outcomes that were decided at or before v.
func (s *State) trim(v Version) {
	if v <= s.LowWater {
		return
	}
	s.LowWater = v
	i := 0
	for i < len(s.Outcomes) && s.Outcomes[i].Version <= v {
		i++
	}
	s.Outcomes = slices.Clone(s.Outcomes[i:])
	s.reindex()
}

// String shows number and operation.
func (r Ref) String() string {
	if r.IsZero() {
		return "none"
	}
	return fmt.Sprintf("%d-%s", r.Number, r.Operation)
}
