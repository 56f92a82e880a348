// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/salvor-io/salvor/store/log"

// evaluation is a transaction in the making: what its statements have read and written,
// before any of it is in the log.
type evaluation struct {
	// read returns what the transaction finds that it did not write itself.
	read func(cell) found
	// at is the position that it will have.
	at log.Position

	own map[cell]found // what it wrote; a nil row: deleted
	// writes are those that stand; undo has, for each, what own had of the cell before.
	writes []Statement
	undo   []before
	marks  map[int]int // of each savepoint: how many writes there were
	said   bool
	result []Read
}

type before struct {
	found
	own bool
}

// looks reports whether anything of the transaction depends on what the tables hold.
func (t *Transaction) looks() bool {
	for i := range t.Statements {
		if s := &t.Statements[i]; s.If != nil || !s.Op.writes() {
			return true
		}
	}
	return false
}

// run does the statements, in memory. p is the transaction's plan. It returns the
// precondition that the whole transaction fails of; nil: none.
func (e *evaluation) run(t Transaction, p *plan) *FailedPrecondition {
	e.own, e.result = map[cell]found{}, make([]Read, len(t.Statements))
	for i := 0; i < len(t.Statements); i++ {
		s := &t.Statements[i]
		switch s.Op {
		case OpSavepoint:
			if e.marks == nil {
				e.marks = map[int]int{}
			}
			e.marks[i] = len(e.writes)
			continue
		case OpRollbackTo:
			e.rollBack(e.marks[p.of[i]])
			continue
		case OpRelease:
			continue
		}
		f := e.find(cell{s.Table, s.Key})
		if s.If != nil && !s.If.holds(f) {
			failed := &FailedPrecondition{Statement: i, Table: s.Table, Key: s.Key, If: *s.If, Is: f.told()}
			if s.Else == "" {
				return failed
			}
			e.said = true
			e.result[i].Failed = failed
			e.rollBack(e.marks[p.of[i]])
			for end := p.skip[i]; i+1 < end; i++ { // what ends the savepoint is done
				e.result[i+1].Skipped = true
			}
			continue
		}
		if s.Op == OpGet {
			e.said = true
			e.result[i] = f.told()
			continue
		}
		e.write(s)
	}
	return nil
}

// find returns the row as the next statement sees it.
func (e *evaluation) find(c cell) found {
	if f, ok := e.own[c]; ok {
		return f
	}
	return e.read(c)
}

func (e *evaluation) write(s *Statement) {
	c := cell{s.Table, s.Key}
	was, own := e.own[c]
	e.undo = append(e.undo, before{was, own})
	e.writes = append(e.writes, s.write())
	e.own[c] = found{s.Row, e.at}
}

// rollBack undoes all but the first n writes, the newest first.
func (e *evaluation) rollBack(n int) {
	for len(e.writes) > n {
		last := len(e.writes) - 1
		c := cell{e.writes[last].Table, e.writes[last].Key}
		if was := e.undo[last]; was.own {
			e.own[c] = was.found
		} else {
			delete(e.own, c)
		}
		e.writes, e.undo = e.writes[:last], e.undo[:last]
	}
}

// results is what the client is told; nil when there is nothing to tell.
func (e *evaluation) results() []Read {
	if !e.said {
		return nil
	}
	return e.result
}
