// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
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
//	GET  /v1/tables/{table}/rows        {"rows":[...],"next"}; ?after=&limit=&start=&end=&prefix=&snapshot=
//	GET  /v1/tables/{table}/rows/{key}  {"key","row"}, and its ETag; ?snapshot=
//	POST /v1/snapshots                  {"snapshot","position","expires","tables"}; ?ttl=
//	DELETE /v1/snapshots/{snapshot}
//	GET  /v1/changes                    lines of {"position","id","writes"}; ?from=&wait=
//	POST /v1/checkpoint                 publish now
//	GET  /v1/lock                       {"held","mode","owner","reason","since","until","parked"}
//	GET  /v1/log                        {"sync","interval","loses","next","written","durable","published"}
//	POST /v1/log/sync                   the same, when what was answered before is durable
//	GET  /healthz                       200 while the process lives, whatever it is at
//	GET  /readyz                        200 while it takes transactions
//	GET  /startupz                      200 once the log was replayed
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
	mux.HandleFunc("POST /v1/snapshots", s.serving(s.postSnapshot))
	mux.HandleFunc("DELETE /v1/snapshots/{snapshot}", s.serving(s.deleteSnapshot))
	mux.HandleFunc("GET /v1/changes", s.serving(s.getChanges))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.getReady)
	mux.HandleFunc("GET /startupz", s.getStarted)
	return mux
}

func (s *Store) postTransaction(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > maxBody { // not a byte of it is read
		s.refuse(w, unreadable(&http.MaxBytesError{Limit: maxBody}))
		return
	}
	n := r.ContentLength
	if n < 0 {
		n = maxBody // it may have as much
	}
	if err := s.intake.take(n); err != nil {
		s.refuse(w, err)
		return
	}
	defer s.intake.give(n)
	var t Transaction
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		s.refuse(w, unreadable(err))
		return
	}
	began := s.opt.Now()
	result, err := s.transact(r.Context(), t, n)
	s.meters.transaction(t.writes(), s.opt.Now().Sub(began), err)
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
		s.refuse(w, refusal)
		return
	}
	answer(w, http.StatusOK, Published{Published: res.Operation != "", Operation: res.Operation, Manifest: res.Version, ByRecovery: res.ByRecovery})
}

// serving lets a reader in when the tables are whole.
func (s *Store) serving(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, why := s.gate.state(); why != nil && s.log.Load() == nil {
			s.refuse(w, why)
			return
		}
		h(w, r)
	}
}

func (s *Store) getTables(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"writer": s.opt.Writer, "prefix": s.opt.TablePrefix, "tables": s.tables.list(s.names)})
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
	if l := s.held(); recovery.HoldsWriters(l) {
		who, _ := s.gate.state()
		h = Hold{Held: true, Mode: l.Mode, Owner: l.Owner, Reason: l.Reason, Since: l.Since, Until: l.Until, Parked: who.parked}
	}
	answer(w, http.StatusOK, h)
}
