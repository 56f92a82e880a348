// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"unicode/utf8"
)

// Savepoints are those of SQL. A transaction has a stack of them:
//
//	             a is open                          a is not open
//	savepoint a  a second a on top of the first     a on top
//	rollback_to  undoes what came behind the        the transaction is refused, Invalid, before
//	a            newest a, which stays open; what    anything of it is done
//	             is above it is gone
//	release a    the newest a and what is above     the same
//	             it is gone; what was done stays
//	the end      what is still open is released
//
// A statement whose precondition fails and that names a savepoint ("else") rolls back to
// it and goes on where that savepoint ends: at its release, or at what ends it from
// below, or at the end of the transaction. So the statements between a savepoint and its
// release are done all or not at all, while the rest is done:
//
//	savepoint a │ put x │ put y if... else a │ put z │ release a │ put w
//	                       fails: x is undone, z is passed over,   w is done
//
// Which savepoint a name means does not depend on what the tables hold, so it is known
// before anything is done. What was rolled back is not in the log: it is undone here, in
// memory, before the log is given a byte. (Package store/log/recorder does not fit: it
// belongs to one unit of work until the disk has answered, and knows no savepoints.)

// normaliseSavepoint checks a statement that is about one.
func (s *Statement) normaliseSavepoint() error {
	switch {
	case s.Name == "" || len(s.Name) > maxName || !utf8.ValidString(s.Name):
		return invalid("name %q: want 1 to %d bytes of UTF-8", clip(s.Name), maxName)
	case s.Table != "" || s.Key != "" || len(s.Row) != 0 || s.If != nil || s.Else != "":
		return invalid("a %s has a name, and nothing else", s.Op)
	}
	return nil
}

// plan is what the statements of a transaction mean for its savepoints. A savepoint is
// known by the index of the statement that made it.
type plan struct {
	// of is the savepoint that a rollback_to, a release or an else means, skip where an
	// else goes on. Both are by the index of the statement.
	of, skip map[int]int
}

// planned reads the savepoints of a transaction; nil: it has none.
func (t *Transaction) planned() (*plan, error) {
	type savepoint struct {
		name string
		at   int
	}
	var p *plan
	var stack []savepoint
	ends := map[int]int{}
	end := func(from, at int) {
		for _, gone := range stack[from:] {
			ends[gone.at] = at
		}
		stack = stack[:from]
	}
	for i := range t.Statements {
		s := &t.Statements[i]
		name := s.Name
		if !s.Op.savepoint() {
			if name = s.Else; name == "" {
				continue
			}
		}
		if p == nil {
			p = &plan{of: map[int]int{}, skip: map[int]int{}}
		}
		if s.Op == OpSavepoint {
			stack = append(stack, savepoint{name, i})
			continue
		}
		top := len(stack) - 1
		for top >= 0 && stack[top].name != name {
			top--
		}
		if top < 0 {
			return nil, fmt.Errorf("statement %d: %w", i, invalid("savepoint %q is not open here", name))
		}
		p.of[i] = stack[top].at
		switch s.Op {
		case OpRollbackTo:
			end(top+1, i)
		case OpRelease:
			end(top, i)
		default:
			p.skip[i] = len(t.Statements)
		}
	}
	if p == nil {
		return nil, nil
	}
	for i := range p.skip {
		if at, ended := ends[p.of[i]]; ended {
			p.skip[i] = at
		}
	}
	return p, nil
}
