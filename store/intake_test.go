// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store"
)

// The bytes in flight are bounded before a byte of them is read: whoever is too much is
// told to come again, and counted; the rest is done.
func TestTooManyBytesInFlight(t *testing.T) {
	w := newWorld(t)
	p := w.start(func(o *store.Options) { o.MaxInFlightBytes = 4 << 10 })
	big := strings.Repeat("x", 3<<10)
	hold := p.disk.HoldSync()
	done := p.try(put("t", "k", big))
	<-hold.Arrived
	unread := &unread{}
	req := httptest.NewRequest("POST", "/v1/transactions", unread)
	req.ContentLength = 2 << 10
	res := httptest.NewRecorder()
	p.Handler().ServeHTTP(res, req)
	if res.Code != http.StatusServiceUnavailable || res.Header().Get("Retry-After") != "1" || !strings.Contains(res.Body.String(), "Overloaded") || unread.reads != 0 {
		t.Fatalf("%d %s after %d reads", res.Code, res.Body, unread.reads)
	}
	var refusal *store.Refusal
	if _, err := p.Transact(t.Context(), store.Transaction{Statements: []store.Statement{put("t", "k", big)}}); !errors.As(err, &refusal) || refusal.Reason != store.ReasonOverloaded {
		t.Fatalf("in the process: %v", err)
	}
	if r := p.must(get("t", "k")); r.Results[0].Found {
		t.Fatal("it is there already")
	}
	if m := p.Metrics(); m.Refusals[store.ReasonOverloaded] != 2 || m.InFlightBytes < 3<<10 {
		t.Fatalf("%+v", m)
	}
	hold.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := p.Metrics().InFlightBytes; n != 0 {
		t.Fatalf("%d bytes are in flight when nothing is", n)
	}
	p.must(put("t", "k", strings.Repeat("x", 8<<10))) // more than the bound, and alone
}

type unread struct{ reads int }

func (u *unread) Read([]byte) (int, error) { u.reads++; return 0, io.EOF }

// Writers that wait for the end of a write lock are bounded apart: they keep no reader
// out, and one too many of them is told at once.
func TestParkedBytesAreBoundedApart(t *testing.T) {
	w := newWorld(t)
	p := w.start(func(o *store.Options) { o.MaxInFlightBytes, o.Park = 4<<10, time.Hour })
	p.must(put("t", "k", "1"))
	w.lock(manifest.Frozen)
	p.heeds(control.Frozen)
	big := strings.Repeat("x", 3<<10)
	done := p.try(put("t", "k", big))
	p.parks(1)
	var refusal *store.Refusal
	if _, err := p.Transact(t.Context(), store.Transaction{Statements: []store.Statement{put("t", "k", big)}}); !errors.As(err, &refusal) || refusal.Reason != store.ReasonOverloaded {
		t.Fatalf("one too many: %v", err)
	}
	if r := p.must(get("t", "k"), get("t", strings.Repeat("y", 500))); !r.Results[0].Found {
		t.Fatalf("%+v", r)
	}
	w.release()
	p.Refresh()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if m := p.Metrics(); m.InFlightBytes != 0 || m.ParkedBytes != 0 {
		t.Fatalf("in flight %d, parked %d", m.InFlightBytes, m.ParkedBytes)
	}
}
