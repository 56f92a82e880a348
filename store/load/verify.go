// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/salvor-io/salvor/store"
)

// Report is what a verification found.
type Report struct {
	Acknowledged int `json:"acknowledged"`
	// Keys with an acknowledged write, and Rows that a load wrote.
	Keys int `json:"keys"`
	Rows int `json:"rows"`
	Lost int `json:"lost"`
	Half int `json:"half"`
	// Faults says what is wrong, the first ones of it.
	Faults []string `json:"faults,omitempty"`
}

// OK reports whether everything acknowledged is there, and nothing by half.
func (r Report) OK() bool { return r.Lost == 0 && r.Half == 0 }

// maxFaults is how many faults are told one by one.
const maxFaults = 20

func (r *Report) fault(count *int, format string, args ...any) {
	if *count++; len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

// place is a key in the tables of one store.
type place struct{ prefix, key string }

func (p place) String() string { return fmt.Sprintf("key %s of tables %s*", p.key, p.prefix) }

// Verify compares what was acknowledged with the rows that are there. Rows that no
// load wrote are passed over.
func Verify(acks iter.Seq2[Ack, error], rows iter.Seq2[store.DumpRow, error]) (Report, error) {
	var r Report
	newest := map[place]Ack{}
	for a, err := range acks {
		if err != nil {
			return r, err
		}
		r.Acknowledged++
		if p := (place{a.Prefix, a.Key}); a.Seq >= newest[p].Seq {
			newest[p] = a
		}
	}
	r.Keys = len(newest)
	found, err := r.collect(rows)
	if err != nil {
		return r, err
	}
	for _, p := range sortedPlaces(found) {
		r.whole(p, found[p])
	}
	for _, p := range sortedPlaces(newest) {
		a, there := newest[p], found[p]
		for i := range a.Of {
			switch row, ok := there[i]; {
			case !ok:
				r.fault(&r.Lost, "lost: %s: number %d was acknowledged at position %d, %s has no such row", p, a.Seq, a.Position, tableID(p.prefix, i))
			case row.Seq < a.Seq:
				r.fault(&r.Lost, "lost: %s: number %d was acknowledged at position %d, %s has number %d", p, a.Seq, a.Position, tableID(p.prefix, i), row.Seq)
			}
		}
	}
	return r, nil
}

// collect sorts the rows of loads by place and number of table.
func (r *Report) collect(rows iter.Seq2[store.DumpRow, error]) (map[place]map[int]row, error) {
	found := map[place]map[int]row{}
	for d, err := range rows {
		if err != nil {
			return nil, err
		}
		prefix, n, ok := splitTable(string(d.Table))
		var w row
		if !ok || json.Unmarshal(d.Row, &w) != nil || w.Token == "" {
			continue
		}
		r.Rows++
		p := place{prefix, d.Key}
		if found[p] == nil {
			found[p] = map[int]row{}
		}
		found[p][n] = w
	}
	return found, nil
}

// whole checks that the tables of one place hold the same transaction.
func (r *Report) whole(p place, rows map[int]row) {
	for _, i := range slices.Sorted(maps.Keys(rows)) {
		for j := range rows[i].Of {
			switch other, ok := rows[j]; {
			case !ok:
				r.fault(&r.Half, "half: %s: %s has %s, %s has nothing", p, tableID(p.prefix, i), rows[i].Token, tableID(p.prefix, j))
				return
			case other.Token != rows[i].Token:
				r.fault(&r.Half, "half: %s: %s has %s, %s has %s", p, tableID(p.prefix, i), rows[i].Token, tableID(p.prefix, j), other.Token)
				return
			}
		}
	}
}

func splitTable(id string) (prefix string, n int, ok bool) {
	at := strings.LastIndex(id, "load")
	if at < 0 {
		return "", 0, false
	}
	n, err := strconv.Atoi(id[at+len("load"):])
	return id[:at], n, err == nil
}

func sortedPlaces[V any](m map[place]V) []place {
	return slices.SortedFunc(maps.Keys(m), func(a, b place) int {
		if c := strings.Compare(a.prefix, b.prefix); c != 0 {
			return c
		}
		return strings.Compare(a.key, b.key)
	})
}
