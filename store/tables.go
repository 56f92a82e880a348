// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/btree"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log"
)

// Row is a row with its key: in a table version, in a listing, in a dump.
type Row struct {
	Key string          `json:"key"`
	Row json.RawMessage `json:"row"`

	at log.Position // of its last write, or one behind it: see Read.Modified
}

func rowLess(a, b Row) bool { return a.Key < b.Key }

// tables is the state in memory: what is durable, and on top of it what is in the
// log's buffer. Transactions are evaluated against both, since their order is the
// log's; everybody else reads what is durable.
type tables struct {
	mu sync.RWMutex
	// visible holds what is durable, up to position applied.
	visible map[string]*table
	applied log.Position
	// floor: every table has what was written up to here, whatever its pin covers.
	floor log.Position
	// pending is the newest write of a cell that is not applied yet.
	pending map[cell]pendingWrite

	// replaced is how many bytes of rows were replaced or deleted since the start, written
	// how often a row was written: what an open snapshot keeps in memory.
	replaced, written int64
	snapshots         snapshots
}

// table is one table. Its tree is cloned, never copied, for whoever reads long.
type table struct {
	rows *btree.BTreeG[Row]
	// last is the position of the newest write that was applied.
	last log.Position
	// pin is the newest published version that this process knows of.
	pin manifest.Pin
}

type cell struct{ table, key string }

type pendingWrite struct {
	position log.Position
	row      json.RawMessage // nil: deleted
}

func newTables() *tables {
	return &tables{visible: map[string]*table{}, pending: map[cell]pendingWrite{}}
}

// newest returns what a transaction that comes next in the log reads, and whether
// that is in the log's buffer only.
func (t *tables) newest(c cell) (f found, isPending bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if w, ok := t.pending[c]; ok {
		return found{w.row, w.position}, true
	}
	return t.get(c), false
}

// get returns what is durable. Under mu.
func (t *tables) get(c cell) found {
	if tab := t.visible[c.table]; tab != nil {
		if r, ok := tab.rows.Get(Row{Key: c.key}); ok {
			return found{r.Row, r.at}
		}
	}
	return found{}
}

// expect puts writes on top of what is durable, before they go into the log.
func (t *tables) expect(p log.Position, writes []Statement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range writes {
		t.pending[cell{s.Table, s.Key}] = pendingWrite{position: p, row: s.Row}
	}
}

// apply makes writes visible, all at once.
func (t *tables) apply(p log.Position, writes []Statement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range writes {
		t.write(p, s)
		if c := (cell{s.Table, s.Key}); t.pending[c].position == p {
			delete(t.pending, c)
		}
	}
	t.applied = p
	t.snapshots.tidy(t)
}

// replay is apply for a record that was read back: a table whose pin covers the
// position has the write already.
func (t *tables) replay(p log.Position, writes []Statement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range writes {
		if p <= t.floor {
			break
		}
		if tab := t.visible[s.Table]; tab == nil || log.Position(tab.pin.Position) < p {
			t.write(p, s)
		}
	}
	t.applied = max(t.applied, p)
}

func (t *tables) write(p log.Position, s Statement) {
	tab := t.visible[s.Table]
	if tab == nil {
		tab = &table{rows: newTree()}
		t.visible[s.Table] = tab
	}
	var was Row
	var there bool
	if s.Op == OpDelete {
		was, there = tab.rows.Delete(Row{Key: s.Key})
	} else {
		was, there = tab.rows.ReplaceOrInsert(Row{Key: s.Key, Row: s.Row, at: p})
	}
	if there {
		t.replaced += int64(rowOverhead + len(was.Key) + len(was.Row))
	}
	t.written++
	tab.last = p
}

func newTree() *btree.BTreeG[Row] { return btree.NewG(32, rowLess) }

// reset empties the tables, for another try to fill them.
func (t *tables) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.visible, t.applied, t.floor = map[string]*table{}, 0, 0
}

// reached notes where the log ends: what comes next has a higher position.
func (t *tables) reached(p log.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applied = max(t.applied, p)
}

// load takes over a published version.
func (t *tables) load(name string, pin manifest.Pin, rows []Row) {
	tab := &table{rows: newTree(), last: log.Position(pin.Position), pin: pin}
	for _, r := range rows {
		r.at = tab.last
		tab.rows.ReplaceOrInsert(r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.visible[name] = tab
	t.applied = max(t.applied, tab.last)
}

// published notes the pins of a manifest.
func (t *tables) published(pins map[string]manifest.Pin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, pin := range pins {
		if tab := t.visible[name]; tab != nil {
			tab.pin = pin
		}
	}
}

// snapshot is what all tables were at one position.
type snapshot struct {
	position log.Position
	tables   map[string]*btree.BTreeG[Row]
}

func (s snapshot) names() []string { return slices.Sorted(maps.Keys(s.tables)) }

// changed returns a snapshot of the tables that changed after the version that is
// published, all at one position.
func (t *tables) changed() snapshot {
	t.mu.Lock() // cloning a tree excludes its writers and its readers
	defer t.mu.Unlock()
	s := snapshot{position: t.applied, tables: map[string]*btree.BTreeG[Row]{}}
	for name, tab := range t.visible {
		if tab.last > log.Position(tab.pin.Position) {
			s.tables[name] = tab.rows.Clone()
		}
	}
	return s
}

// TableInfo is a table in a listing.
type TableInfo struct {
	Name string           `json:"name"`
	ID   manifest.TableID `json:"id"`
	Rows int              `json:"rows"`
	// Position of the newest write; Published the one that the root covers.
	Position  log.Position `json:"position"`
	Published log.Position `json:"published"`
}

func (t *tables) list(n names) []TableInfo {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]TableInfo, 0, len(t.visible))
	for name, tab := range t.visible {
		out = append(out, TableInfo{
			Name: name, ID: n.id(name), Rows: tab.rows.Len(),
			Position: tab.last, Published: log.Position(tab.pin.Position),
		})
	}
	slices.SortFunc(out, func(a, b TableInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// tree returns a table as it is now, to be read without a lock; false when there
// is no such table.
func (t *tables) tree(name string) (*btree.BTreeG[Row], log.Position, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tab := t.visible[name]
	if tab == nil {
		return nil, 0, false
	}
	return tab.rows.Clone(), t.applied, true
}
