// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// scanner reads the transactions of one segment in their order and holds every frame
// to the structure that a log has. It decides nothing about what follows from it.
type scanner struct {
	*reader
	path string
	// last is the newest whole transaction, checkpoint the newest that was met.
	last, checkpoint Position
	// passed is told where reading stands, frame by frame; nil: nobody asks.
	passed func(at int64)
	// good is where the newest whole one, or the newest checkpoint, ends.
	good int64

	// Of the transaction that has begun and not ended: events, one after the other,
	// and where each ends.
	begun  bool
	events []byte
	ends   []int
}

// transactions hands every transaction to each, event by event, and every other frame
// to nobody. It returns how the segment ended. Frames are shown to keep, if that is
// not nil, as they are met.
func (s *scanner) transactions(each func(Position, []byte) error, keep func(frame) error) (found, error) {
	for {
		at := s.at
		f, what, err := s.next()
		if err != nil {
			return 0, fmt.Errorf("recover log: read %s: %w", s.path, err)
		}
		if what != foundFrame {
			return what, nil
		}
		if damage, why := s.admit(f); damage != "" {
			return 0, &CorruptError{Damage: damage, Path: s.path, Offset: at, Why: why}
		}
		if err := s.take(f, each); err != nil {
			return 0, err
		}
		if keep != nil {
			if err := keep(f); err != nil {
				return 0, err
			}
		}
		if !s.begun {
			s.good = s.at
		}
		if s.passed != nil {
			s.passed(s.at)
		}
	}
}

// admit says what is wrong with a frame where it stands. It is total over the kinds.
func (s *scanner) admit(f frame) (Damage, string) {
	next := s.last + 1
	switch f.kind {
	case kindWhole, kindBegin:
		switch {
		case s.begun:
			return BeginTwice, fmt.Sprintf("position %d begins inside of the transaction at position %d", f.position, next)
		case f.position < next:
			return PositionRegressed, fmt.Sprintf("it holds position %d behind position %d", f.position, s.last)
		case f.position > next:
			return PositionSkipped, fmt.Sprintf("it holds position %d, expected is %d", f.position, next)
		case f.index != 0:
			return EventMissing, fmt.Sprintf("position %d begins with its event %d", f.position, f.index)
		}
	case kindEvent, kindCommit:
		switch {
		case !s.begun:
			return CommitWithoutBegin, fmt.Sprintf("position %d has event %d, and no beginning", f.position, f.index)
		case f.position != next:
			return EventMissing, fmt.Sprintf("it holds an event of position %d in the transaction at position %d", f.position, next)
		case f.index != len(s.ends):
			return EventMissing, fmt.Sprintf("position %d has event %d, expected is %d", f.position, f.index, len(s.ends))
		}
	case kindCheckpoint:
		if len(f.body) != 8 {
			return UnknownKind, fmt.Sprintf("a checkpoint has %d bytes", len(f.body))
		}
		switch p := Position(binary.LittleEndian.Uint64(f.body)); {
		case s.begun:
			return BeginTwice, fmt.Sprintf("a checkpoint stands inside of the transaction at position %d", next)
		case f.position != s.last:
			return PositionSkipped, fmt.Sprintf("a checkpoint was written behind position %d, and the log is at %d", f.position, s.last)
		case p > s.last:
			return FutureCheckpoint, fmt.Sprintf("a checkpoint covers position %d, and the log is at %d", p, s.last)
		case p < s.checkpoint:
			return CheckpointRegressed, fmt.Sprintf("a checkpoint covers position %d, and one before it %d", p, s.checkpoint)
		}
	default:
		return UnknownKind, fmt.Sprintf("a frame has kind %d, which this salvor does not know: a newer one has written it", f.kind)
	}
	return "", ""
}

// take does what an admitted frame says.
func (s *scanner) take(f frame, each func(Position, []byte) error) error {
	switch f.kind {
	case kindWhole:
		s.last = f.position
		return replay(each, f.position, f.body)
	case kindBegin, kindEvent, kindCommit:
		s.begun = true
		s.events = append(s.events, f.body...)
		s.ends = append(s.ends, len(s.events))
		if f.kind == kindCommit {
			return s.release(f.position, each)
		}
	case kindCheckpoint:
		s.checkpoint = Position(binary.LittleEndian.Uint64(f.body))
	}
	return nil
}

// release hands out the events of a transaction that is whole.
func (s *scanner) release(p Position, each func(Position, []byte) error) error {
	from := 0
	for _, to := range s.ends {
		if err := replay(each, p, s.events[from:to]); err != nil {
			return err
		}
		from = to
	}
	s.last, s.begun, s.events, s.ends = p, false, s.events[:0], s.ends[:0]
	return nil
}

func replay(each func(Position, []byte) error, p Position, body []byte) error {
	if each == nil {
		return nil
	}
	if err := each(p, body); err != nil {
		return fmt.Errorf("replay position %d: %w", p, err)
	}
	return nil
}

// torn decides what the end of the newest segment is, at which no frame stands: its
// torn end (nil), or damage of something that was acknowledged.
func (s *scanner) torn(at int64) error {
	p := s.last + 1
	proof, off, ok, err := s.proof(p)
	switch {
	case err != nil:
		return fmt.Errorf("recover log: read %s: %w", s.path, err)
	case ok:
		return &CorruptError{Damage: DamagedFrame, Path: s.path, Offset: at, Why: fmt.Sprintf(
			"the checksum of position %d is wrong, and position %d at byte %d proves that it was acknowledged", p, proof.position, off)}
	}
	return nil
}

// sealed decides whether a segment that is not the newest is whole: it has to reach
// the position that the next one follows.
func (s *scanner) sealed(what found, at int64, next *segment) error {
	switch {
	case s.last == next.follows && !s.begun:
		return nil
	case s.last > next.follows:
		return &CorruptError{Damage: PositionRegressed, Path: next.path, Why: fmt.Sprintf(
			"it continues after position %d, and the segment before it ends with %d", next.follows, s.last)}
	case what == foundEnd && !s.begun:
		return &CorruptError{Damage: MissingSegment, Path: next.path, Why: fmt.Sprintf(
			"it continues after position %d, the log ends at %d there: a segment is missing", next.follows, s.last)}
	}
	return &CorruptError{Damage: DamagedFrame, Path: s.path, Offset: at, Why: fmt.Sprintf(
		"the checksum of position %d is wrong, and the segment is sealed", s.last+1)}
}

// errOf turns what is wrong with a header into an error of its file.
func errOf(path string, err error) error {
	var h *headerError
	if errors.As(err, &h) {
		return &CorruptError{Damage: h.damage, Path: path, Why: h.why}
	}
	return fmt.Errorf("open log: read %s: %w", path, err)
}
