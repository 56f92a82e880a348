// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"slices"

	"github.com/salvor-io/salvor/store/log"
)

// Plan is how the state at a position comes from the root.
type Plan struct {
	// Base is the snapshot that is read first; nil: what the embedder's own checkpoints
	// cover. At is the position of either.
	Base *SnapshotName
	At   log.Position
	// Ranges to read behind it, in order. The first may begin before At.
	Ranges []Name
}

// Plan tells how the state at position upTo comes from the root, whose own checkpoints
// cover a position. It begins with the newest state: that is the least to read, and what
// a process that collects meanwhile never removes. passed are snapshots that were found
// to be of no use. Errors are *HoleError.
func (h *History) Plan(covered, upTo log.Position, passed ...SnapshotName) (Plan, error) {
	for _, s := range h.Snapshots {
		if s.Position <= covered || slices.Contains(passed, s) {
			continue
		}
		if p, err := h.from(&s, s.Position, upTo); err == nil {
			return p, nil
		}
	}
	return h.from(nil, covered, upTo)
}

// from is the plan that begins with one state.
func (h *History) from(base *SnapshotName, at, upTo log.Position) (Plan, error) {
	p := Plan{Base: base, At: at}
	next := at + 1
	for _, part := range h.Parts {
		for _, n := range part.Ranges {
			if n.Last < next || n.First > upTo {
				continue
			}
			if n.First > next {
				return p, &HoleError{Writer: h.Writer, First: next, Last: n.First - 1, Base: next - 1, Near: n.Key(h.Writer)}
			}
			p.Ranges = append(p.Ranges, n)
			next = n.Last + 1
		}
	}
	if next <= upTo {
		return p, &HoleError{Writer: h.Writer, First: next, Last: upTo, Base: next - 1}
	}
	return p, nil
}

// Made reports which process wrote the positions behind after, if one wrote them that is
// not known: own says which are.
func (h *History) Made(after log.Position, own func(process string) bool) (p Part, elsewhere bool) {
	for _, p := range h.Parts {
		if p.To > max(p.From, after) && p.Process != "" && !own(p.Process) {
			return p, true
		}
	}
	return Part{}, false
}

// Join is how a new epoch takes the history over.
type Join struct {
	Position  log.Position
	Continues uint64
	// Tip is the range that ends with Position, if it is listed; After its link, if that is
	// known.
	Tip   *Name
	After *Link
}

// Join tells where the epoch of a process goes on whose own log begins with position
// first, 0 when it has none, and whose checkpoints in the root cover a position. broken:
// the history is of no use, and not needed.
func (h *History) Join(covered, first log.Position, broken bool) Join {
	if broken || h.Epoch() == 0 || h.End <= covered || first > h.End+1 {
		// What comes next follows the checkpoints.
		return Join{Position: covered}
	}
	j := Join{Position: h.End, Continues: h.Epoch(), After: h.After}
	// An epoch that added nothing is passed over: a process that dies again and again
	// makes no long history.
	for i := len(h.Parts) - 1; i > 0 && h.Parts[i].From == h.Parts[i].To && h.Parts[i-1].To == h.End; i-- {
		if slices.ContainsFunc(h.Snapshots, func(s SnapshotName) bool { return s.Epoch == h.Parts[i].Epoch }) {
			break // a snapshot is something: it may be all that is left
		}
		j.Continues = h.Parts[i-1].Epoch
	}
	if tip, ok := h.Tip(); ok {
		j.Tip, j.After = &tip, nil
	}
	return j
}
