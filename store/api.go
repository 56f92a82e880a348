// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log"
)

// defaultPage and maxPage bound a listing of rows.
const (
	defaultPage = 1000
	maxPage     = 10000
)

// Handler returns the store's API:
//
//	POST /v1/transactions               {"id","statements":[...]}: 200 when durable, or as "sync" in the answer says
//	GET  /v1/tables                     {"writer","prefix","tables":[...]}
//	GET  /v1/tables/{table}/rows        {"rows":[...],"next"}; ?after=KEY&limit=N
//	GET  /v1/tables/{table}/rows/{key}  {"key","row"}
//	POST /v1/checkpoint                 publish now
//	GET  /v1/lock                       {"held","mode","owner","reason","since","until","parked"}
//	GET  /v1/log                        {"sync","interval","loses","next","written","durable","published"}
//	POST /v1/log/sync                   the same, when what was answered before is durable
//	GET  /healthz, /readyz
//
// A refusal is {"error":{"reason","message","outcome"}}. outcome is "unknown" when
// the transaction may have happened: send it again under the same id.
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/transactions", s.postTransaction)
	mux.HandleFunc("POST /v1/checkpoint", s.postCheckpoint)
	mux.HandleFunc("GET /v1/lock", s.getLock)
	mux.HandleFunc("GET /v1/log", s.serving(s.getLog))
	mux.HandleFunc("POST /v1/log/sync", s.serving(s.postSync))
	mux.HandleFunc("GET /v1/tables", s.serving(s.getTables))
	mux.HandleFunc("GET /v1/tables/{table}/rows", s.serving(s.getRows))
	mux.HandleFunc("GET /v1/tables/{table}/rows/{key}", s.serving(s.getRow))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.getReady)
	return mux
}

func (s *Store) postTransaction(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > maxBody { // not a byte of it is read
		refuse(w, unreadable(&http.MaxBytesError{Limit: maxBody}))
		return
	}
	var t Transaction
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		refuse(w, unreadable(err))
		return
	}
	result, err := s.Transact(r.Context(), t)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, result)
}

func unreadable(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &Refusal{Reason: ReasonTooLarge, Message: fmt.Sprintf("the body is above %d bytes", large.Limit)}
	}
	return invalid("the body is no transaction: %v", err)
}

// Published is the answer to POST /v1/checkpoint.
type Published struct {
	Published bool                 `json:"published"`
	Operation manifest.OperationID `json:"operation,omitempty"`
	Manifest  manifest.Version     `json:"manifest,omitzero"`
	// ByRecovery: a recoverer published it for this process.
	ByRecovery bool `json:"byRecovery,omitempty"`
}

func (s *Store) postCheckpoint(w http.ResponseWriter, r *http.Request) {
	res, err := s.Checkpoint(r.Context())
	if err != nil {
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			refusal = &Refusal{Reason: ReasonCheckpoint, Message: err.Error(), RetryAfter: time.Second, Cause: err}
			refusal.Unknown = errors.Is(err, manifest.ErrUnknown)
			var required *recovery.RequiredError
			if errors.As(err, &required) {
				refusal.Reason = "RecoveryRequired"
			}
		}
		refuse(w, refusal)
		return
	}
	answer(w, http.StatusOK, Published{Published: res.Operation != "", Operation: res.Operation, Manifest: res.Version, ByRecovery: res.ByRecovery})
}

// serving lets a reader in when the tables are whole.
func (s *Store) serving(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, why := s.gate.state(); why != nil && s.log.Load() == nil {
			refuse(w, why)
			return
		}
		h(w, r)
	}
}

func (s *Store) getTables(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"writer": s.opt.Writer, "prefix": s.opt.TablePrefix, "tables": s.tables.list(s.names)})
}

// Page is the answer to GET /v1/tables/{table}/rows.
type Page struct {
	Table    string       `json:"table"`
	Position log.Position `json:"position"`
	Rows     []Row        `json:"rows"`
	// Next is the key to ask for rows after; empty at the end.
	Next string `json:"next,omitempty"`
}

func (s *Store) getRows(w http.ResponseWriter, r *http.Request) {
	limit, err := pageSize(r.URL.Query().Get("limit"))
	if err != nil {
		refuse(w, err)
		return
	}
	name, after := r.PathValue("table"), r.URL.Query().Get("after")
	tree, position, ok := s.tables.tree(name)
	if !ok {
		refuse(w, &Refusal{Reason: ReasonNotFound, Message: fmt.Sprintf("no table %q", clip(name))})
		return
	}
	page := Page{Table: name, Position: position, Rows: []Row{}}
	tree.AscendGreaterOrEqual(Row{Key: after}, func(row Row) bool {
		switch {
		case row.Key == after && after != "":
			return true
		case len(page.Rows) == limit:
			page.Next = page.Rows[limit-1].Key
			return false
		}
		page.Rows = append(page.Rows, row)
		return true
	})
	answer(w, http.StatusOK, page)
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

func (s *Store) getRow(w http.ResponseWriter, r *http.Request) {
	name, key := r.PathValue("table"), r.PathValue("key")
	s.tables.mu.RLock()
	row, ok := s.tables.get(name, key)
	s.tables.mu.RUnlock()
	if !ok {
		refuse(w, &Refusal{Reason: ReasonNotFound, Message: fmt.Sprintf("no row %q in table %q", clip(key), clip(name))})
		return
	}
	answer(w, http.StatusOK, Row{Key: key, Row: row})
}

// Hold is the answer to GET /v1/lock: who waits is told for whom, and until when.
type Hold struct {
	Held   bool              `json:"held"`
	Mode   manifest.LockMode `json:"mode,omitempty"`
	Owner  string            `json:"owner,omitempty"`
	Reason string            `json:"reason,omitempty"`
	Since  time.Time         `json:"since,omitzero"`
	Until  time.Time         `json:"until,omitzero"`
	// Parked is how many transactions wait for its end in this process.
	Parked int `json:"parked,omitempty"`
}

func (s *Store) getLock(w http.ResponseWriter, _ *http.Request) {
	var h Hold
	if l := s.held(); l != nil {
		who, _ := s.gate.state()
		h = Hold{Held: true, Mode: l.Mode, Owner: l.Owner, Reason: l.Reason, Since: l.Since, Until: l.Until, Parked: who.parked}
	}
	answer(w, http.StatusOK, h)
}

// getReady is for a readiness probe: 200 while transactions are taken.
func (s *Store) getReady(w http.ResponseWriter, _ *http.Request) {
	if _, why := s.gate.state(); why != nil {
		refuse(w, why)
		return
	}
	if p := s.poison(); p != nil {
		refuse(w, refused(p, false))
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: nobody to tell
}

// Problem is how a refusal is told over HTTP.
type Problem struct {
	Error struct {
		Reason  Reason `json:"reason"`
		Message string `json:"message"`
		// Outcome is "unknown" when a transaction may have happened.
		Outcome string `json:"outcome,omitempty"`
	} `json:"error"`
}

func refuse(w http.ResponseWriter, err error) {
	var p Problem
	var r *Refusal
	if !errors.As(err, &r) {
		r = &Refusal{Reason: "Internal", Message: err.Error()}
	}
	p.Error.Reason, p.Error.Message = r.Reason, err.Error()
	if r.Unknown {
		p.Error.Outcome = "unknown"
	}
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(r.RetryAfter.Seconds()))))
	}
	answer(w, r.status(), p)
}

// status is the HTTP status of a refusal.
func (r *Refusal) status() int {
	switch {
	case r.RetryAfter > 0:
		return http.StatusServiceUnavailable
	case r.Reason == ReasonInvalid:
		return http.StatusBadRequest
	case r.Reason == ReasonNotFound:
		return http.StatusNotFound
	case r.Reason == ReasonIDReused:
		return http.StatusConflict
	case r.Reason == ReasonTooLarge:
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusInternalServerError
	}
}
