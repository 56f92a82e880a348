// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/salvor-io/salvor/objstore/envelope"
)

// checker is where a walk along the chain stands. It is pure: objects go in, in
// ascending order, faults come out. A copy goes on from the same place.
//
// After a fault it picks the chain up again at the next row that it can, so that
// one fault is one break. What it accepts on the way is never less than what it
// reported: a chain with a break is bad, whatever follows.
type checker struct {
	chain string
	macs  *macs
	store string // "": the next row decides

	number uint64   // the object that comes next
	next   uint64   // the row that comes next; 0: not known after a fault
	prev   []string // the hashes that it may name as Previous; nil: not known
	buf    []byte
}

// newChecker begins before the first row of a chain.
func newChecker(chain, store string, keys *Keyring) checker {
	return checker{chain: chain, macs: keys.macs(), store: store, number: 1, next: 1, prev: []string{""}}
}

// from makes the checker begin at object n, taking its first row as it is.
func (c checker) from(n uint64) checker {
	c.number, c.next, c.prev = n, 0, nil
	return c
}

// checkedRow is a row and what is wrong with it, if anything.
type checkedRow struct {
	Row
	fault *Break
}

// checked is what one object came to. lost is about objects that should be
// before it, damaged about the object as a whole.
type checked struct {
	lost    *Break
	rows    []checkedRow
	damaged *Break
}

// faults yields all that is wrong, in the order of the chain.
func (f *checked) faults(yield func(Break) bool) {
	if f.lost != nil && !yield(*f.lost) {
		return
	}
	for i := range f.rows {
		if b := f.rows[i].fault; b != nil && !yield(*b) {
			return
		}
	}
	if f.damaged != nil {
		yield(*f.damaged)
	}
}

// object takes the object with this number, which is c.number or, when objects
// are missing, a later one.
func (c *checker) object(number uint64, raw []byte) (f checked) {
	stored, at, err := parseObject(raw)
	intact := len(stored) > 0 && c.intact(&stored[0])
	if number > c.number {
		f.lost = &Break{Number: c.number, LastNumber: number - 1, RowID: c.next, Why: Missing, Detail: "no such object, but a later one exists"}
		if intact && stored[0].ID > c.next {
			f.lost.LastRowID = stored[0].ID - 1
		}
		c.next, c.prev = 0, nil
	}
	c.number = number + 1
	if intact && (stored[0].Batch != number || stored[0].Chain != c.chain) {
		f.damaged = c.moved(number, stored)
		return f
	}
	first := c.next
	if first == 0 && len(stored) > 0 {
		first = stored[0].ID
	}
	sound := true
	for i := range stored {
		fault := c.row(number, &stored[i])
		sound = sound && fault == nil
		f.rows = append(f.rows, checkedRow{stored[i].Row, fault})
	}
	if err == nil {
		return f
	}
	why := Damaged
	var newer *envelope.FormatError
	if errors.As(err, &newer) {
		why = Unverifiable
	}
	id := first + uint64(at)
	if at == len(stored) { // how many rows there were is not known
		id = c.next
		c.next, c.prev = 0, nil
	} else if !sound {
		return f // the rows say more precisely what is wrong
	}
	f.damaged = &Break{Number: number, LastNumber: number, RowID: id, LastRowID: id, Why: why, Detail: err.Error()}
	return f
}

// moved reports an object that was written for another place. Its rows say
// nothing about this place.
func (c *checker) moved(number uint64, stored []storedRow) *Break {
	b := &Break{Number: number, LastNumber: number, RowID: c.next, Why: Misplaced,
		Detail: fmt.Sprintf("the object was written as number %d of chain %s", stored[0].Batch, stored[0].Chain)}
	if c.next != 0 {
		b.LastRowID = c.next + uint64(len(stored)) - 1
	}
	c.next, c.prev = 0, nil
	return b
}

// row takes the next row of object number.
func (c *checker) row(number uint64, r *storedRow) *Break {
	id := c.next
	if id == 0 {
		id = r.ID
	}
	fault := func(why Why, format string, args ...any) *Break {
		return &Break{Number: number, LastNumber: number, RowID: id, LastRowID: id, Why: why, Detail: fmt.Sprintf(format, args...)}
	}
	// pass goes on behind a row that says nothing reliable about its own place.
	pass := func(hashes ...string) {
		if c.prev = hashes; c.next != 0 {
			c.next++
		}
	}

	sum := c.hash(&r.Row)
	computed := formatHash(sum)
	switch {
	case r.err == nil && r.Format != RowFormat:
		pass(r.Hash)
		return fault(Unverifiable, "the row has format %d, this salvor knows %d: upgrade salvor", r.Format, RowFormat)
	case r.err != nil:
		pass()
		return fault(Damaged, "not a row: %v", r.err)
	case computed != r.Hash:
		pass(r.Hash, computed)
		return fault(Changed, "the row says hash %s, its fields have %s", r.Hash, computed)
	case !r.exact:
		pass(r.Hash)
		return fault(Damaged, "the row is not spelt the way it was written")
	case r.Chain != c.chain, r.Batch != number:
		return fault(Misplaced, "the row was written for object %d of chain %s", r.Batch, r.Chain)
	case c.store != "" && r.StoreUID != c.store:
		c.next, c.prev = 0, nil
		return fault(Foreign, "the row belongs to store %s, the chain to store %s", r.StoreUID, c.store)
	case r.ID < id:
		return fault(Misplaced, "row %d stands here a second time", r.ID)
	}
	c.store = r.StoreUID
	prev := c.prev
	c.next, c.prev = r.ID+1, []string{r.Hash}
	if r.ID > id {
		b := fault(Missing, "row %d follows", r.ID)
		b.LastRowID = r.ID - 1
		return b
	}
	if prev != nil && !slices.Contains(prev, r.Previous) {
		return fault(Forked, "the row follows %q, the row before it is %q", r.Previous, prev[0])
	}
	mac, known := c.macs.sum(r.KeyID, sum)
	switch {
	case !known:
		return fault(Unverifiable, "the row is signed with key %q, which is not in the keyring: add it", r.KeyID)
	case mac != r.MAC:
		c.prev = nil // whoever made this row made its hash
		return fault(Forged, "the row was not signed with key %q", r.KeyID)
	}
	return nil
}

// intact reports whether the row is one that somebody wrote as it stands, if
// perhaps for another place.
func (c *checker) intact(r *storedRow) bool {
	return r.Format == RowFormat && r.exact && formatHash(c.hash(&r.Row)) == r.Hash
}

func (c *checker) hash(r *Row) [sha256.Size]byte {
	c.buf = r.appendCanonical(c.buf[:0])
	return sha256.Sum256(c.buf)
}
