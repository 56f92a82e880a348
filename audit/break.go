// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import "fmt"

// Why says what is wrong with a row, or with the place where it should be.
type Why string

const (
	// Damaged: the bytes are not those of an audit object, or not the ones that were written.
	Damaged Why = "Damaged"
	// Changed: a field of the row was altered; its hash says so.
	Changed Why = "Changed"
	// Forged: the hash fits, the MAC was not made with the key that the row names.
	Forged Why = "Forged"
	// Forked: the row follows another row than the one before it.
	Forked Why = "Forked"
	// Missing: objects or rows are gone from the middle of the chain.
	Missing Why = "Missing"
	// Misplaced: the row was written for another place, and copied or moved here.
	Misplaced Why = "Misplaced"
	// Foreign: the row belongs to another store.
	Foreign Why = "Foreign"
	// CutTail: an anchor knows a later head than the newest row.
	CutTail Why = "CutTail"
	// Rewritten: the row that an anchor names has another hash.
	Rewritten Why = "Rewritten"
	// Unverifiable: nothing is known to be wrong, but the key, or the format, is
	// not known here.
	Unverifiable Why = "Unverifiable"
)

// Break is one broken range: consecutive objects or rows with the same fault. As
// an error, it is why a log will not append: a row would stand on something that
// does not hold.
type Break struct {
	Number     uint64 `json:"number"`     // the first object concerned
	LastNumber uint64 `json:"lastNumber"` // the last
	RowID      uint64 `json:"rowID"`      // the first row concerned; 0: not known
	LastRowID  uint64 `json:"lastRowID"`  // the last; 0: not known
	Why        Why    `json:"why"`
	Detail     string `json:"detail"` // a sentence, about the first
}

// Error implements error.
func (b *Break) Error() string {
	row := "row unknown"
	switch {
	case b.RowID != 0 && b.LastRowID > b.RowID:
		row = fmt.Sprintf("rows %d to %d", b.RowID, b.LastRowID)
	case b.RowID != 0:
		row = fmt.Sprintf("row %d", b.RowID)
	}
	object := fmt.Sprintf("object %d", b.Number)
	if b.LastNumber > b.Number {
		object = fmt.Sprintf("objects %d to %d", b.Number, b.LastNumber)
	}
	return fmt.Sprintf("audit chain: %s (%s): %s: %s", row, object, b.Why, b.Detail)
}

// breaks collects what a walk finds: neighbours with the same fault become one
// range, and what goes beyond MaxBreaks is counted.
type breaks struct {
	kept []Break
	more uint64
}

func (s *breaks) add(b Break) {
	if n := len(s.kept); n > 0 && s.more == 0 && s.kept[n-1].extend(b) {
		return
	}
	if len(s.kept) == MaxBreaks {
		s.more++
		return
	}
	s.kept = append(s.kept, b)
}

// extend takes next into the range if it has the same fault and continues it.
func (b *Break) extend(next Break) bool {
	if b.Why != next.Why || b.LastRowID == 0 || next.RowID != b.LastRowID+1 || next.Number > b.LastNumber+1 {
		return false
	}
	b.LastNumber, b.LastRowID = next.LastNumber, next.LastRowID
	return true
}
