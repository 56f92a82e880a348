// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/load"
)

// ledger is what a store was sent, and what it has acknowledged. Each worker of a run
// sends number 1, 2, 3, ..., the next when it has an answer.
type ledger struct {
	mu     sync.Mutex
	runs   []string
	newest map[sender]uint64 // that was acknowledged
	at     map[string]uint64 // positions by token
	by     map[uint64]string // and the other way round
	faults []string
}

type sender struct {
	run    string
	worker int
}

func (s sender) token(seq uint64) string { return fmt.Sprintf("%s-w%d-%d", s.run, s.worker, seq) }

// transaction is what a sender sends as number seq, as package load makes it.
func (s sender) transaction(seq uint64) store.Transaction {
	t := store.Transaction{ID: s.token(seq)}
	for i := range ofTables {
		t.Statements = append(t.Statements, store.Statement{
			Op: store.OpPut, Table: fmt.Sprint("load", i), Key: s.key(seq),
			Row: fmt.Appendf(nil, `{"token":%q,"seq":%d,"of":%d}`, s.token(seq), seq, ofTables),
		})
	}
	return t
}

func (s sender) key(seq uint64) string { return fmt.Sprintf("%s-w%d-k%d", s.run, s.worker, seq%keys) }

func senderOf(token string) (s sender, seq uint64, ok bool) {
	parts := strings.Split(token, "-")
	if len(parts) != 3 || !strings.HasPrefix(parts[1], "w") {
		return s, 0, false
	}
	w, err := strconv.Atoi(parts[1][1:])
	n, nerr := strconv.ParseUint(parts[2], 10, 64)
	return sender{parts[0], w}, n, err == nil && nerr == nil
}

func newLedger() *ledger {
	return &ledger{newest: map[sender]uint64{}, at: map[string]uint64{}, by: map[uint64]string{}}
}

func (l *ledger) ran(run string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = append(l.runs, run)
}

func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.at)
}

// acknowledged notes an answer, and returns how many there are.
func (l *ledger) acknowledged(token string, position uint64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, seq, ok := senderOf(token)
	switch {
	case !ok || seq != l.newest[s]+1:
		l.faults = append(l.faults, fmt.Sprintf("%s is acknowledged behind number %d", token, l.newest[s]))
	case l.by[position] != "":
		l.faults = append(l.faults, fmt.Sprintf("position %d was given to %s and to %s", position, l.by[position], token))
	}
	l.newest[s], l.at[token], l.by[position] = seq, position, token
	return len(l.at)
}

// inLog checks that the log has everything that was acknowledged and is not in the root,
// each once, at its position; and nothing that was not sent.
func (v *victim) inLog(left remains) {
	v.t.Helper()
	for _, f := range v.faults {
		v.t.Error(f)
	}
	covered := v.covered()
	if left.first > covered+1 || covered > left.last {
		v.t.Errorf("the log has positions %d to %d, and the root covers %d", left.first, left.last, covered)
	}
	seen := map[string]uint64{}
	for p := left.first; p <= left.last; p++ {
		r, ok := left.records[p]
		if !ok {
			v.t.Fatalf("position %d of %d to %d is not there", p, left.first, left.last)
		}
		if other, twice := seen[r.ID]; twice {
			v.t.Errorf("%s is there at %d and at %d", r.ID, other, p)
		}
		seen[r.ID] = p
		s, seq, ok := senderOf(r.ID)
		if !ok || seq > v.newest[s]+1 || fmt.Sprint(r) != fmt.Sprint(s.transaction(seq)) {
			v.t.Errorf("position %d holds what nobody has sent: %s", p, r.ID)
		}
		if at, acked := v.at[r.ID]; acked && at != p {
			v.t.Errorf("%s was acknowledged at %d and is at %d", r.ID, at, p)
		}
	}
	for token, p := range v.at {
		if p >= left.first && left.records[p].ID != token {
			v.t.Errorf("lost: %s was acknowledged at position %d, the log ends at %d", token, p, left.last)
		}
	}
	if v.t.Failed() {
		v.t.FailNow()
	}
}

// settle sends everything again that the kill has left without an answer, and some of
// what was answered: each of them happens once. It returns how many had no answer.
func (v *victim) settle(left remains) (unsure int) {
	v.t.Helper()
	var wg sync.WaitGroup
	answers := make([]store.Result, workers)
	run := v.runs[len(v.runs)-1]
	for w := range workers {
		wg.Go(func() {
			s := sender{run, w}
			if r, err := v.send(s.transaction(v.newest[s] + 1)); err != nil {
				v.t.Error(err)
			} else {
				answers[w] = r
			}
			if newest := v.newest[s]; newest > 0 && v.at[s.token(newest)] >= left.first {
				if r, err := v.send(s.transaction(newest)); err != nil || !r.Repeated || uint64(r.Position) != v.at[s.token(newest)] {
					v.t.Errorf("%s was acknowledged at %d; sent again: %+v, %v", s.token(newest), v.at[s.token(newest)], r, err)
				}
			}
		})
	}
	wg.Wait()
	for w, r := range answers {
		s := sender{run, w}
		token := s.token(v.newest[s] + 1)
		switch p := left.at(token); {
		case p > 0 && (!r.Repeated || uint64(r.Position) != p):
			v.t.Errorf("%s is in the log at %d; sent again: %+v", token, p, r)
		case p == 0 && (r.Repeated || uint64(r.Position) <= left.last):
			v.t.Errorf("%s is not in the log, which ends at %d; sent again: %+v", token, left.last, r)
		case p == 0 && r.Sync != v.mode:
			v.t.Errorf("%s was answered in mode %s, asked for was %s", token, r.Sync, v.mode)
		case p > 0:
			unsure++
		}
		v.acknowledged(token, uint64(r.Position))
	}
	if v.t.Failed() {
		v.t.FailNow()
	}
	return unsure
}

func (v *victim) send(t store.Transaction) (r store.Result, err error) {
	body, err := json.Marshal(t)
	if err != nil {
		return r, err
	}
	res, err := v.http.Post("http://"+v.pod.api+"/v1/transactions", "application/json", bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return r, fmt.Errorf("%s: %s", t.ID, res.Status)
	}
	return r, json.NewDecoder(res.Body).Decode(&r)
}

// rowsAt is what a store consists of: rows by table and key.
type rowsAt map[string]string

func rowAt(table, key string) string { return table + "/" + key }

// wanted is what everything that was acknowledged comes to, and nothing else.
func (l *ledger) wanted() rowsAt {
	out := rowsAt{}
	for s, newest := range l.newest {
		for seq := max(newest, keys) - keys + 1; seq <= newest; seq++ {
			for _, st := range s.transaction(seq).Statements {
				out[rowAt("ledger-0."+st.Table, st.Key)] = string(st.Row)
			}
		}
	}
	return out
}

// served is what the process says that it has.
func (v *victim) served() rowsAt {
	v.t.Helper()
	out := rowsAt{}
	for r, err := range load.APIRows(v.t.Context(), load.Options{Targets: []string{"http://" + v.pod.api}, HTTP: v.http}) {
		if err != nil {
			v.t.Fatal(err)
		}
		out[rowAt(string(r.Table), r.Key)] = string(r.Row)
	}
	return out
}

// dumped is what the root has.
func (v *victim) dumped() rowsAt {
	v.t.Helper()
	d, err := store.OpenDump(v.t.Context(), v.bucket, newID)
	if err != nil {
		v.t.Fatal(err)
	}
	out := rowsAt{}
	for r, err := range d.Rows(v.t.Context()) {
		if err != nil {
			v.t.Fatal(err)
		}
		out[rowAt(string(r.Table), r.Key)] = string(r.Row)
	}
	return out
}

// same compares rows with everything that was acknowledged, row by row.
func (v *victim) same(what string, got rowsAt) {
	v.t.Helper()
	want := v.wanted()
	for at, row := range want {
		if got[at] != row {
			v.t.Errorf("%s: %s is %q, want %q", what, at, got[at], row)
		}
	}
	for at, row := range got {
		if _, ok := want[at]; !ok {
			v.t.Errorf("%s: nobody has sent %s: %s", what, at, row)
		}
	}
	if v.t.Failed() {
		v.t.FailNow()
	}
}
