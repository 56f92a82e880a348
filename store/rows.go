// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/btree"

	"github.com/salvor-io/salvor/store/log"
)

// Page is the answer to GET /v1/tables/{table}/rows.
type Page struct {
	Table    string       `json:"table"`
	Position log.Position `json:"position"`
	Rows     []Row        `json:"rows"`
	// Next is the key to ask for rows after; empty at the end.
	Next string `json:"next,omitempty"`
}

// bounds are the keys that a page is about.
type bounds struct {
	after, start, end, prefix string
}

func boundsOf(q url.Values) bounds {
	return bounds{after: q.Get("after"), start: q.Get("start"), end: q.Get("end"), prefix: q.Get("prefix")}
}

// first is the lowest key that may be in the page.
func (b bounds) first() string { return max(b.after, b.start, b.prefix) }

// over reports whether no key from this one on is in the page.
func (b bounds) over(key string) bool {
	return b.end != "" && key >= b.end || !strings.HasPrefix(key, b.prefix) && key > b.prefix
}

func (s *Store) getRows(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := pageSize(q.Get("limit"))
	if err != nil {
		s.refuse(w, err)
		return
	}
	name, b := r.PathValue("table"), boundsOf(q)
	tree, position, err := s.table(q.Get("snapshot"), name)
	if err != nil {
		s.refuse(w, err)
		return
	}
	page := Page{Table: name, Position: position, Rows: []Row{}}
	tree.AscendGreaterOrEqual(Row{Key: b.first()}, func(row Row) bool {
		switch {
		case row.Key == b.after && b.after != "":
			return true
		case b.over(row.Key):
			return false
		case len(page.Rows) == limit:
			page.Next = page.Rows[limit-1].Key
			return false
		}
		page.Rows = append(page.Rows, row)
		return true
	})
	answer(w, http.StatusOK, page)
}

// table returns a table as it is now, or as it was at a snapshot, to be read without a
// lock.
func (s *Store) table(snapshot, name string) (*btree.BTreeG[Row], log.Position, error) {
	var tree *btree.BTreeG[Row]
	var position log.Position
	if snapshot == "" {
		tree, position, _ = s.tables.tree(name)
	} else {
		var err error
		if tree, position, err = s.tables.at(snapshot, name); err != nil {
			return nil, 0, err
		}
	}
	if tree == nil {
		return nil, 0, &Refusal{Reason: ReasonNotFound, Message: fmt.Sprintf("no table %q", clip(name))}
	}
	return tree, position, nil
}

func pageSize(asked string) (int, error) {
	if asked == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(asked)
	if err != nil || n < 1 {
		return 0, invalid("limit %q: want a number from 1 to %d", clip(asked), maxPage)
	}
	return min(n, maxPage), nil
}

// getRow answers with one row, and with its etag as HTTP knows it.
func (s *Store) getRow(w http.ResponseWriter, r *http.Request) {
	name, key, snapshot := r.PathValue("table"), r.PathValue("key"), r.URL.Query().Get("snapshot")
	var f found
	if snapshot == "" {
		s.tables.mu.RLock()
		f = s.tables.get(cell{name, key})
		s.tables.mu.RUnlock()
	} else {
		tree, _, err := s.tables.at(snapshot, name)
		if err != nil {
			s.refuse(w, err)
			return
		}
		if tree != nil {
			row, _ := tree.Get(Row{Key: key})
			f = found{row.Row, row.at}
		}
	}
	if f.row == nil {
		s.refuse(w, &Refusal{Reason: ReasonNotFound, Message: fmt.Sprintf("no row %q in table %q", clip(key), clip(name))})
		return
	}
	tag := strconv.Quote(etag(f.row))
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	answer(w, http.StatusOK, Row{Key: key, Row: f.row})
}
