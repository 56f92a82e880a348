// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
)

// Fault is what the gateway does to one request.
type Fault uint8

const (
	// None passes the request on, and its answer back.
	None Fault = iota
	// LoseAnswer passes it on and ends the connection instead of answering.
	LoseAnswer
	// LoseRequest ends the connection and passes nothing on.
	LoseRequest
	// Conflict answers 409 ConditionalRequestConflict and passes nothing on.
	Conflict
	// SlowDown answers 503 SlowDown and passes nothing on.
	SlowDown
	// Twice passes it on twice, as something on the way does that tries again by
	// itself: the client has the second answer.
	Twice
)

// String returns the fault in words.
func (f Fault) String() string {
	return []string{"none", "answer lost", "request lost", "409", "503", "sent twice"}[f]
}

// Inject does to every request what f says; nil ends it.
func (g *Gateway) Inject(f func(*http.Request) Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inject = f
}

// suffer does to a request what was injected, before it is passed on. It reports
// whether that was all there is to do.
func (g *Gateway) suffer(w http.ResponseWriter, r *http.Request, body []byte) (done bool) {
	g.mu.Lock()
	f := g.inject
	g.mu.Unlock()
	if f == nil {
		return false
	}
	switch f(r) {
	case LoseAnswer:
		g.forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case LoseRequest:
		panic(http.ErrAbortHandler)
	case Conflict:
		refuse(w, http.StatusConflict, "ConditionalRequestConflict")
		return true
	case SlowDown:
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	case Twice:
		g.forward.ServeHTTP(httptest.NewRecorder(), r)
		r.Body = io.NopCloser(bytes.NewReader(body))
	case None:
	}
	return false
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>injected</Message></Error>`, code)
}
