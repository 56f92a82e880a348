// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// The paths of the three calls.
const (
	StatusPath  = "/control/v1/status"
	StreamPath  = "/control/v1/stream"
	RefreshPath = "/control/v1/refresh"
)

// maxOrder bounds the id of an order, in bytes.
const maxOrder = 64

// The bounds of the heartbeat that a reader may ask for.
const (
	minHeartbeat = 50 * time.Millisecond
	maxHeartbeat = time.Minute
)

// Source is the process that a server speaks for. Its methods are called from
// many goroutines and do not block.
type Source interface {
	// Status says how things are now.
	Status() Status
	// Changed returns a channel that is closed at the next change that a reader
	// should hear of at once. Positions of the log and counts may wait for the
	// heartbeat: they change with every transaction.
	Changed() <-chan struct{}
	// Refresh asks the process to read the manifest soon. Many calls are one.
	Refresh()
}

// Orders is a Source that heeds orders: what an operator wants of this one process
// stands in the root, under the id that a refresh names. The id is nothing but a
// hint where to look.
type Orders interface {
	// LookFor asks the process to read the order of that id soon.
	LookFor(order string)
}

// ServerOptions tunes a Server. Every zero value is good.
type ServerOptions struct {
	// Heartbeat is the longest silence in a stream whose reader asks for none. Default 1 s.
	Heartbeat time.Duration
	// MaxStreams bounds the streams of this process; more are refused. Default 64.
	MaxStreams int
	// WriteTimeout ends a stream whose reader does not read. Default 5 s.
	WriteTimeout time.Duration
	// Now is the clock for deadlines. Default time.Now.
	Now func() time.Time
}

// Server answers the three calls. It is an http.Handler.
type Server struct {
	source Source
	opt    ServerOptions
	mux    *http.ServeMux
	slots  chan struct{}

	once   sync.Once
	closed chan struct{}
}

// NewServer returns the handler for one process.
func NewServer(source Source, opt ServerOptions) *Server {
	if opt.Heartbeat == 0 {
		opt.Heartbeat = time.Second
	}
	if opt.MaxStreams == 0 {
		opt.MaxStreams = 64
	}
	if opt.WriteTimeout == 0 {
		opt.WriteTimeout = 5 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s := &Server{
		source: source, opt: opt, mux: http.NewServeMux(),
		slots: make(chan struct{}, opt.MaxStreams), closed: make(chan struct{}),
	}
	s.mux.HandleFunc("GET "+StatusPath, s.status)
	s.mux.HandleFunc("GET "+StreamPath, s.stream)
	s.mux.HandleFunc("POST "+RefreshPath, s.refresh)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close ends every stream, each with a last status: an orderly goodbye.
func (s *Server) Close() { s.once.Do(func() { close(s.closed) }) }

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(s.source.Status()) // the reader is gone: nobody to tell
}

func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	if o, ok := s.source.(Orders); ok {
		if id := r.URL.Query().Get("order"); id != "" && len(id) <= maxOrder {
			o.LookFor(id)
		}
	}
	s.source.Refresh()
	w.WriteHeader(http.StatusAccepted)
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	heartbeat, err := s.heartbeat(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("all %d streams of this process are taken: close one, or poll %s", s.opt.MaxStreams, StatusPath), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	for open := true; ; {
		changed := s.source.Changed() // before the look, so that nothing is missed
		if s.tell(w) != nil || !open {
			return
		}
		beat.Reset(heartbeat)
		select {
		case <-changed:
		case <-beat.C:
		case <-s.closed:
			open = false
		case <-r.Context().Done():
			return
		}
	}
}

// tell writes one line and sees it off.
func (s *Server) tell(w http.ResponseWriter) error {
	c := http.NewResponseController(w)
	if err := c.SetWriteDeadline(s.opt.Now().Add(s.opt.WriteTimeout)); err != nil {
		return err
	}
	if err := json.NewEncoder(w).Encode(s.source.Status()); err != nil {
		return err
	}
	return c.Flush()
}

// heartbeat is what the reader asks for: one that keeps many streams asks for a slow one.
func (s *Server) heartbeat(r *http.Request) (time.Duration, error) {
	asked := r.URL.Query().Get("heartbeat")
	if asked == "" {
		return s.opt.Heartbeat, nil
	}
	d, err := time.ParseDuration(asked)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("heartbeat %q: want a duration such as 1s", asked)
	}
	return min(max(d, minHeartbeat), maxHeartbeat), nil
}
