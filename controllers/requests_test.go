// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// requests are what an operator asks of the API server.
type requests struct {
	mu  sync.Mutex
	all []string // "PATCH /apis/.../status"
}

type recorded struct {
	inner http.RoundTripper
	r     *requests
}

// RoundTrip implements http.RoundTripper.
func (t recorded) RoundTrip(q *http.Request) (*http.Response, error) {
	line := q.Method + " " + q.URL.Path
	if q.GetBody != nil && strings.HasSuffix(q.URL.Path, "/events") {
		line += " " + eventReason(q)
	}
	if q.Method == http.MethodGet && q.URL.Query().Get("watch") != "" {
		line = "WATCH " + q.URL.Path
	}
	t.r.mu.Lock()
	t.r.all = append(t.r.all, line)
	t.r.mu.Unlock()
	return t.inner.RoundTrip(q)
}

// eventReason is why an event is sent.
func eventReason(q *http.Request) string {
	body, err := q.GetBody()
	if err != nil {
		return err.Error()
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return err.Error()
	}
	var e struct{ Reason, Note string }
	if json.Unmarshal(raw, &e) != nil {
		return fmt.Sprintf("%q", raw)
	}
	return e.Reason + ": " + e.Note
}

// since returns the requests after the first n, watches aside.
func (r *requests) since(n int) (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.all[n:] {
		if !strings.HasPrefix(l, "WATCH ") {
			out = append(out, l)
		}
	}
	return out
}

func (r *requests) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// writes are the requests that change something and contain a word.
func (r *requests) writes(since int, word string) (out []string) {
	for _, l := range r.since(since) {
		if !strings.HasPrefix(l, "GET ") && strings.Contains(l, word) {
			out = append(out, l)
		}
	}
	return out
}
