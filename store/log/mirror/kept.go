// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"slices"

	"github.com/salvor-io/salvor/store/log"
)

// kept is what the root has of a mirror, as far as its process knows.
type kept struct {
	// ranges of the history, oldest first.
	ranges []heldRange
	// shots are the snapshots of the history, oldest first.
	shots []heldShot
	// begun are the older epochs whose beginnings are there, with what they have of the
	// history.
	begun []Part
	// litter is no part of the history, and never will be.
	litter []string
	// continues: the history goes back behind the beginning of this epoch. Otherwise the
	// checkpoints have to reach its position before the litter goes.
	continues bool
}

type heldRange struct {
	name   Name
	bytes  int64
	parts  []string
	proven bool // it was read back, and is what was written
}

type heldShot struct {
	name   SnapshotName
	bytes  int64
	parts  []string
	proven bool
}

// adopt takes over what an inventory has, as the join says.
func (m *Mirror) adopt(inv *Inventory, h History, j Join) {
	k, ours := kept{continues: j.Continues != 0}, map[string]bool{}
	for _, p := range h.Parts {
		if !k.continues {
			break
		}
		if p.Process != "" {
			k.begun = append(k.begun, p)
		}
		for _, n := range p.Ranges {
			key := n.Key(inv.Writer)
			ours[key] = true
			k.ranges = append(k.ranges, heldRange{name: n, bytes: inv.Bytes[key], parts: inv.Parts[key]})
		}
	}
	for _, s := range slices.Backward(h.Snapshots) {
		if !k.continues {
			break
		}
		key := s.Key(inv.Writer)
		ours[key] = true
		k.shots = append(k.shots, heldShot{name: s, bytes: inv.Bytes[key], parts: inv.Parts[key]})
	}
	// Litter goes range by range, and beginnings last: what is left is always explained.
	for _, n := range inv.Ranges {
		if key := n.Key(inv.Writer); !ours[key] {
			k.litter = append(k.litter, key)
		}
	}
	for _, s := range inv.Snapshots {
		if key := s.Key(inv.Writer); !ours[key] {
			k.litter = append(k.litter, key)
		}
	}
	for of, parts := range inv.Parts {
		if !ours[of] {
			k.litter = append(k.litter, parts...)
		}
	}
	for _, begins := range [][]uint64{epochs(inv.Begins), epochs(inv.Bad)} {
		for _, e := range begins {
			if !slices.ContainsFunc(k.begun, func(p Part) bool { return p.Epoch == e }) && e < m.opt.Epoch {
				k.litter = append(k.litter, BeginKey(inv.Writer, e))
			}
		}
	}
	m.kept = k
}

func epochs[V any](of map[uint64]V) (out []uint64) {
	for e := range of {
		out = append(out, e)
	}
	slices.Sort(out)
	return out
}

// size is what all of it takes; the beginnings are not counted.
func (k *kept) size() (bytes int64, objects int) {
	for _, r := range k.ranges {
		bytes, objects = bytes+r.bytes, objects+1+len(r.parts)
	}
	for _, s := range k.shots {
		bytes, objects = bytes+s.bytes, objects+1+len(s.parts)
	}
	return bytes, objects + len(k.litter)
}

// state is where a restore could begin.
type state struct {
	at   log.Position
	shot *heldShot // nil: the checkpoints
}

// newest is the newest state, of the checkpoints or of a snapshot.
func (k *kept) newest(covered log.Position) state {
	if n := len(k.shots); n > 0 && k.shots[n-1].name.Position > covered {
		return state{k.shots[n-1].name.Position, &k.shots[n-1]}
	}
	return state{covered, nil}
}

// behind is how many bytes the ranges have that are needed behind a state.
func (k *kept) behind(s state) (bytes int64) {
	for _, r := range k.ranges {
		if r.name.Last > s.at {
			bytes += r.bytes
		}
	}
	return bytes
}

// garbage are the objects that nobody needs who begins with a state, or with a newer one,
// in the order in which they go; begin is where this epoch has begun. It is total.
//
//	ranges that end with the state or before         oldest first
//	snapshots of older states
//	litter                                           when the state is not older than what replaced it
//	beginnings of older epochs                       when nothing behind the state, and no
//	                                                 snapshot that is kept, hangs on them
func (k *kept) garbage(s state, writer string, begin log.Position) (keys []string, bytes int64) {
	for _, r := range k.ranges {
		if r.name.Last <= s.at {
			keys, bytes = append(append(keys, r.name.Key(writer)), r.parts...), bytes+r.bytes
		}
	}
	for _, o := range k.shots {
		if o.name.Position <= s.at && (s.shot == nil || o.name != s.shot.name) {
			keys, bytes = append(append(keys, o.name.Key(writer)), o.parts...), bytes+o.bytes
		}
	}
	if k.continues || s.at >= begin {
		keys = append(keys, k.litter...)
	}
	for _, p := range k.begun {
		if p.To <= s.at && (s.shot == nil || p.Epoch <= s.shot.name.Epoch) {
			keys = append(keys, BeginKey(writer, p.Epoch))
		}
	}
	return keys, bytes
}

// removed forgets an object.
func (k *kept) removed(key, writer string) {
	k.ranges = slices.DeleteFunc(k.ranges, func(r heldRange) bool { return r.name.Key(writer) == key })
	k.shots = slices.DeleteFunc(k.shots, func(s heldShot) bool { return s.name.Key(writer) == key })
	k.begun = slices.DeleteFunc(k.begun, func(p Part) bool { return BeginKey(writer, p.Epoch) == key })
	k.litter = slices.DeleteFunc(k.litter, func(l string) bool { return l == key })
}
