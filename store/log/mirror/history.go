// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"errors"
	"fmt"
	"slices"

	"github.com/salvor-io/salvor/store/log"
)

// Inventory is what the root has of one writer's mirror, as it was listed.
type Inventory struct {
	Store, Writer string
	// Begins by epoch; Bad are those that cannot be read, and why.
	Begins map[uint64]Begin
	Bad    map[uint64]error
	// Ranges by epoch and position, Snapshots by position and epoch; their bytes are
	// those of the parts, too.
	Ranges    []Name
	Snapshots []SnapshotName
	Bytes     map[string]int64
	// Parts of ranges and snapshots, by the object that they belong to. The object may not
	// be there: who put them died before.
	Parts map[string][]string
	// Strange are objects that nobody here could have written.
	Strange []string
}

// Part is what one epoch has of the history: the positions behind From, up to To.
type Part struct {
	Epoch   uint64
	Process string // empty: what began it was collected
	From    log.Position
	To      log.Position
	Ranges  []Name // not those that were collected, nor what came behind To
}

// History is what counts of an inventory: one stretch of positions, whoever wrote more.
type History struct {
	Writer string
	// Parts, oldest first. None: nothing was ever mirrored.
	Parts []Part
	// End is the newest position that is known to have been mirrored.
	End log.Position
	// Snapshots of this history, the newest first.
	Snapshots []SnapshotName
	// After is the link that the range which ends with End is known by; nil where that
	// range has to be asked.
	After *Link
}

// Tip is the range that ends with End; false when there is none.
func (h *History) Tip() (Name, bool) {
	if len(h.Parts) == 0 {
		return Name{}, false
	}
	top := h.Parts[len(h.Parts)-1]
	if n := len(top.Ranges); n > 0 && top.Ranges[n-1].Last == h.End {
		return top.Ranges[n-1], true
	}
	return Name{}, false
}

// Epoch is the newest one; 0 when there is none.
func (h *History) Epoch() uint64 {
	if len(h.Parts) == 0 {
		return 0
	}
	return h.Parts[len(h.Parts)-1].Epoch
}

// maxPosition stands for no limit.
const maxPosition = ^log.Position(0)

// Decide tells which ranges and snapshots of which epochs are the history.
//
// A process that was fenced may go on writing under its own epoch. Its successor says, in
// the object that begins the new epoch, up to where it took the old one over, and says it
// before it acknowledges anything. So the history is read backwards:
//
//	begin of the newest epoch ── its ranges              all of them
//	        │ continues 5 up to position 100
//	begin of epoch 5 ─────────── its ranges up to 100    what came behind is another history
//	        │ continues 3 up to position 40
//	epoch 3, whose begin is gone ─ its ranges up to 40   what was before it was collected
//
// An epoch that is passed over, 4 above, was begun by nobody who mattered: its process
// died before it, or was overtaken. A snapshot counts like a range that ends with it.
// Decide does not look for holes: what is missing may not be needed.
//
// Errors are *ObjectError.
func Decide(inv *Inventory) (History, error) {
	h := History{Writer: inv.Writer}
	top, any := newest(inv)
	if !any {
		return h, nil
	}
	for epoch, limit := top, maxPosition; ; {
		p := Part{Epoch: epoch, To: limit}
		for _, n := range inv.Ranges {
			if n.Epoch != epoch || n.Last > limit {
				continue
			}
			if k := len(p.Ranges); k > 0 && n.First <= p.Ranges[k-1].Last {
				return h, foreign(n.Key(inv.Writer), "it overlaps with %s", p.Ranges[k-1].Key(inv.Writer))
			}
			p.Ranges = append(p.Ranges, n)
		}
		b, begun := inv.Begins[epoch]
		if !begun && (epoch == top || inv.Bad[epoch] != nil) {
			return h, missingBegin(inv, epoch)
		}
		p.From, p.Process = b.Position, b.Process
		if limit == maxPosition {
			if p.To = b.Position; len(p.Ranges) > 0 {
				p.To = max(p.To, p.Ranges[len(p.Ranges)-1].Last)
			}
			for _, s := range inv.Snapshots {
				if s.Epoch == epoch { // its ranges were there before it, and were collected
					p.To = max(p.To, s.Position)
				}
			}
			h.End = p.To
		}
		if begun && len(p.Ranges) > 0 && p.Ranges[0].First <= b.Position {
			return h, foreign(p.Ranges[0].Key(inv.Writer), "epoch %d goes on behind position %d", epoch, b.Position)
		}
		if begun && b.Position == h.End && h.After == nil {
			h.After = b.After
		}
		h.Parts = append(h.Parts, p)
		if !begun || b.Continues == 0 {
			break
		}
		epoch, limit = b.Continues, b.Position
	}
	slices.Reverse(h.Parts)
	for _, s := range slices.Backward(inv.Snapshots) {
		i := slices.IndexFunc(h.Parts, func(p Part) bool { return p.Epoch == s.Epoch })
		if i >= 0 && s.Position >= h.Parts[i].From && s.Position <= h.Parts[i].To {
			h.Snapshots = append(h.Snapshots, s)
		}
	}
	return h, nil
}

// newest is the epoch with which the history ends: it has begun, or has something that
// it cannot have without.
func newest(inv *Inventory) (epoch uint64, any bool) {
	for e := range inv.Begins {
		epoch, any = max(epoch, e), true
	}
	for e := range inv.Bad {
		epoch, any = max(epoch, e), true
	}
	for _, n := range inv.Ranges {
		epoch, any = max(epoch, n.Epoch), true
	}
	for _, n := range inv.Snapshots {
		epoch, any = max(epoch, n.Epoch), true
	}
	return epoch, any
}

func missingBegin(inv *Inventory, epoch uint64) error {
	if err := inv.Bad[epoch]; err != nil {
		return err
	}
	return &ObjectError{BeginKey(inv.Writer, epoch), Missing, errors.New("epoch " + fmt.Sprint(epoch) + " has objects, and none that begins it")}
}
