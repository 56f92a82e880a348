// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build failpoint

package failpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Enabled reports whether this build can be parked.
const Enabled = true

// Points is the registry of this process.
var points = registry{armed: map[Point]*rendezvous{}}

type registry struct {
	mu    sync.Mutex
	armed map[Point]*rendezvous
}

// rendezvous parks the first arrival until it is released.
type rendezvous struct {
	taken    bool
	arrived  chan struct{}
	released chan struct{}
}

// Park makes the next arrival at p stop there.
func Park(p Point) {
	points.mu.Lock()
	defer points.mu.Unlock()
	points.armed[p] = &rendezvous{arrived: make(chan struct{}), released: make(chan struct{})}
}

// Arrived is closed when somebody is parked at p; nil when p is not armed.
func Arrived(p Point) <-chan struct{} {
	points.mu.Lock()
	defer points.mu.Unlock()
	if r := points.armed[p]; r != nil {
		return r.arrived
	}
	return nil
}

// Await waits until somebody is parked at p. The error says that nobody was before
// ctx ended, or that nobody had asked for it: a test that waits for a place that is
// never reached fails.
func Await(ctx context.Context, p Point) error {
	arrived := Arrived(p)
	if arrived == nil {
		return fmt.Errorf("failpoint %s: nobody asked for it: Park comes first", p)
	}
	select {
	case <-arrived:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("failpoint %s was never reached: %w", p, context.Cause(ctx))
	}
}

// Release lets the arrival at p go on and disarms p.
func Release(p Point) {
	points.mu.Lock()
	defer points.mu.Unlock()
	if r := points.armed[p]; r != nil {
		close(r.released)
		delete(points.armed, p)
	}
}

// Here parks the caller if it is the first to arrive at an armed p.
func Here(p Point) {
	points.mu.Lock()
	r := points.armed[p]
	if r == nil || r.taken {
		points.mu.Unlock()
		return
	}
	r.taken = true
	close(r.arrived)
	points.mu.Unlock()
	<-r.released
}

// Handler serves the registry to a test on the other side of a process boundary:
//
//	POST   /failpoint/v1/<point>          park the next arrival
//	GET    /failpoint/v1/<point>          {"armed":true,"arrived":false}; ?wait=1 answers on arrival
//	DELETE /failpoint/v1/<point>          release it
func Handler() http.Handler {
	mux := http.NewServeMux()
	with := func(f func(http.ResponseWriter, *http.Request, Point)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			p := Point{r.PathValue("point")}
			if !slices.Contains(All, p) {
				http.Error(w, "no such failpoint; see internal/failpoint", http.StatusNotFound)
				return
			}
			f(w, r, p)
		}
	}
	mux.HandleFunc("POST /failpoint/v1/{point}", with(func(w http.ResponseWriter, _ *http.Request, p Point) { Park(p); w.WriteHeader(http.StatusNoContent) }))
	mux.HandleFunc("DELETE /failpoint/v1/{point}", with(func(w http.ResponseWriter, _ *http.Request, p Point) { Release(p); w.WriteHeader(http.StatusNoContent) }))
	mux.HandleFunc("GET /failpoint/v1/{point}", with(func(w http.ResponseWriter, r *http.Request, p Point) {
		ch := Arrived(p)
		arrived := false
		if ch != nil && r.URL.Query().Has("wait") {
			select {
			case <-ch:
			case <-r.Context().Done():
			}
		}
		if ch != nil {
			select {
			case <-ch:
				arrived = true
			default:
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]bool{"armed": ch != nil, "arrived": arrived})
	}))
	return mux
}
