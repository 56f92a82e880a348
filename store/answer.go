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

	"github.com/salvor-io/salvor/store/log"
)

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: nobody to tell
}

// Problem is how a refusal is told over HTTP.
type Problem struct {
	Error ProblemDetail `json:"error"`
}

// ProblemDetail is why.
type ProblemDetail struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"`
	// Outcome is "unknown" when a transaction may have happened.
	Outcome string `json:"outcome,omitempty"`
	// Failed is the precondition that did not hold.
	Failed *FailedPrecondition `json:"failed,omitempty"`
	// Earliest is the first position that a feed can have.
	Earliest log.Position `json:"earliest,omitempty"`
	// Replay is how far a process that starts has read its log.
	Replay *Replay `json:"replay,omitempty"`
}

// Replay is how many bytes of the log's files a start has read, of how many.
type Replay struct {
	Done int64 `json:"doneBytes"`
	Of   int64 `json:"ofBytes"`
}

func detail(err error) *ProblemDetail {
	var r *Refusal
	if !errors.As(err, &r) {
		return &ProblemDetail{Reason: ReasonInternal, Message: err.Error()}
	}
	d := &ProblemDetail{Reason: r.Reason, Message: err.Error(), Failed: r.Failed, Earliest: r.Earliest}
	if r.Unknown {
		d.Outcome = "unknown"
	}
	return d
}

// refuse tells a client why, and counts it.
func (s *Store) refuse(w http.ResponseWriter, err error) {
	s.meters.refusal(err)
	refuse(w, err)
}

func refuse(w http.ResponseWriter, err error) { refuseWith(w, err, detail(err)) }

func refuseWith(w http.ResponseWriter, err error, d *ProblemDetail) {
	code := http.StatusInternalServerError
	if r := (*Refusal)(nil); errors.As(err, &r) {
		code = r.status()
		if r.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(r.RetryAfter.Seconds()))))
		}
	}
	answer(w, code, Problem{Error: *d})
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
	case r.Reason == ReasonIDReused, r.Reason == ReasonPositionAhead:
		return http.StatusConflict
	case r.Reason == ReasonTruncated, r.Reason == ReasonSnapshotGone:
		return http.StatusGone
	case r.Reason == ReasonPrecondition:
		return http.StatusPreconditionFailed
	case r.Reason == ReasonTooLarge:
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusInternalServerError
	}
}

// getReady is for a readiness probe: 200 while transactions are taken. While the log is
// replayed it says how far that is.
func (s *Store) getReady(w http.ResponseWriter, _ *http.Request) {
	if _, why := s.gate.state(); why != nil {
		d := detail(why)
		if l := s.opened.Load(); l != nil && why.Reason == ReasonStarting {
			is := l.Status()
			d.Replay = &Replay{Done: is.Replayed, Of: is.Replay}
			d.Message += fmt.Sprintf("; %d of %d bytes of the log were replayed", is.Replayed, is.Replay)
		}
		refuseWith(w, why, d)
		return
	}
	if p := s.poison(); p != nil {
		refuse(w, refused(p, false))
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// getStarted is for a startup probe: 200 once the log was replayed, for good.
func (s *Store) getStarted(w http.ResponseWriter, r *http.Request) {
	if s.log.Load() == nil {
		s.getReady(w, r)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}
