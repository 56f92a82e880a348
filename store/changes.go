// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/salvor-io/salvor/store/log"
)

// The bounds of a feed.
const (
	maxWait      = 5 * time.Minute
	feedPiece    = 256 << 10        // bytes of the log that a feed has in memory at a time
	feedPatience = 30 * time.Second // for a reader who takes nothing
)

// Change is a transaction in a feed: what it wrote, in its order.
type Change struct {
	Position log.Position `json:"position"`
	ID       string       `json:"id,omitempty"`
	Writes   []Statement  `json:"writes"`
}

// FeedEnd is the last line of a feed. Without it the feed was cut off: go on behind the
// last change.
type FeedEnd struct {
	// Next is the position to ask from the next time.
	Next log.Position `json:"next"`
	// Error says why the feed ends before its time; nil: it does not.
	Error *ProblemDetail `json:"error,omitempty"`
}

// Feed hands out what changed, from a position on, in the order of the log, as soon as
// it is durable and visible. Close it. It is not safe for concurrent use.
type Feed struct {
	store  *Store
	cursor *log.Cursor
}

// Changes opens a feed whose first change is that at position from, or the first one
// behind it. A *Refusal with ReasonTruncated names the earliest position that there is.
func (s *Store) Changes(from log.Position) (*Feed, error) {
	_, why := s.gate.state()
	l := s.log.Load()
	if l == nil {
		return nil, why
	}
	if next := l.Next(); from > next {
		return nil, &Refusal{Reason: ReasonPositionAhead, Message: fmt.Sprintf(
			"position %d was asked for, and this log goes up to %d: it is not the log that the position is from; read the tables again, and go on from there", from, next-1)}
	}
	if n := s.feeds.Add(1); n > int64(s.opt.MaxFeeds) {
		s.feeds.Add(-1)
		return nil, &Refusal{Reason: ReasonOverloaded, Message: fmt.Sprintf("%d feeds are open, which is as many as there may be", n-1), RetryAfter: 5 * time.Second}
	}
	f := &Feed{store: s, cursor: l.From(from)}
	if err := f.cursor.Check(); err != nil {
		f.Close()
		return nil, unreadableLog(err)
	}
	return f, nil
}

// Close gives the feed up.
func (f *Feed) Close() {
	_ = f.cursor.Close() // it was only read
	f.store.feeds.Add(-1)
}

// Next is the position that a feed which continues this one begins with.
func (f *Feed) Next() log.Position { return f.cursor.Next() }

// Read hands out what is durable, up to about most bytes of the log; it waits for
// nothing. Errors are *Refusal, or what each returns.
func (f *Feed) Read(most int, each func(Change) error) error {
	var told error
	err := f.cursor.Read(most, func(p log.Position, raw []byte) error {
		rec, err := decodeRecord(raw)
		if err == nil {
			told = each(Change{Position: p, ID: rec.ID, Writes: rec.Writes})
			err = told
		}
		return err
	})
	switch {
	case told != nil:
		return told
	case err != nil:
		return unreadableLog(err)
	}
	return nil
}

// Await returns when there is something to read. Errors are *Refusal, or the end of ctx.
func (f *Feed) Await(ctx context.Context) error {
	err := f.store.log.Load().Await(ctx, f.cursor.Next())
	if err == nil || ctx.Err() != nil {
		return err
	}
	return refused(err, false)
}

// unreadableLog turns what a cursor says into what a client is told.
func unreadableLog(err error) *Refusal {
	var truncated *log.TruncatedError
	if errors.As(err, &truncated) {
		return &Refusal{Reason: ReasonTruncated, Earliest: truncated.Earliest, Cause: err, Message: fmt.Sprintf(
			"position %d is not in the log any more: read the tables at a snapshot, and go on from the position behind it; the earliest that the log has is %d", truncated.From, truncated.Earliest)}
	}
	return &Refusal{Reason: ReasonUnreadable, Message: "the log cannot be read: " + err.Error(), Cause: err}
}

// getChanges is the feed over HTTP: lines of JSON, flushed as they come.
func (s *Store) getChanges(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseUint(r.URL.Query().Get("from"), 10, 64)
	if err != nil || from == 0 {
		s.refuse(w, invalid("from: want a position, from 1"))
		return
	}
	wait, err := duration(r.URL.Query().Get("wait"), maxWait)
	if err != nil {
		s.refuse(w, err)
		return
	}
	f, err := s.Changes(log.Position(from))
	if err != nil {
		s.refuse(w, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // the feed may last longer than a request may take; not every server can
	enc := json.NewEncoder(w)
	end := FeedEnd{}
	err = s.feed(r.Context(), f, wait, func(c Change) error {
		_ = rc.SetWriteDeadline(s.opt.Now().Add(feedPatience))
		s.meters.changes.Add(1)
		return enc.Encode(c)
	}, func() error {
		if err := rc.Flush(); !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		return nil
	})
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		end.Error = detail(s.counted(refusal))
	case err != nil:
		return // the client is gone
	}
	end.Next = f.Next()
	_ = enc.Encode(end)
}

// feed writes what there is and what comes, until nothing has come for as long as wait.
func (s *Store) feed(ctx context.Context, f *Feed, wait time.Duration, each func(Change) error, flush func() error) error {
	for {
		before := f.Next()
		if err := f.Read(feedPiece, each); err != nil {
			return err
		}
		if f.Next() > before {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		if wait == 0 {
			return nil
		}
		quiet, cancel := context.WithCancelCause(ctx)
		stop := make(chan struct{})
		go func() {
			select {
			case <-s.opt.After(wait):
				cancel(errQuiet)
			case <-s.draining:
				cancel(errQuiet)
			case <-stop:
			}
		}()
		err := f.Await(quiet)
		close(stop)
		cancel(nil)
		switch {
		case errors.Is(err, errQuiet):
			return nil
		case err != nil:
			return err
		}
	}
}

var errQuiet = errors.New("nothing came")

// duration reads one from a query; empty is 0.
func duration(asked string, most time.Duration) (time.Duration, error) {
	if asked == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(asked)
	if err != nil || d < 0 || d > most {
		return 0, invalid("%q: want a duration from 0s to %s, such as 30s", clip(asked), most)
	}
	return d, nil
}
