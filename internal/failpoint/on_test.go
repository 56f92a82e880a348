// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build failpoint

package failpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

// stress keeps every processor busy until the test ends.
func stress(t *testing.T) {
	var stop atomic.Bool
	var all sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !stop.Load() {
				runtime.Gosched()
			}
		})
	}
	t.Cleanup(func() { stop.Store(true); all.Wait() })
}

// A hundred times, on a machine that is busy: of many that arrive, one is parked, the
// others pass, and it goes on when it is told.
func TestTheFirstToArriveIsParked(t *testing.T) {
	contract.Row(t, 105)
	stress(t)
	for run := range 100 {
		Park(WriterArmed)
		var passed atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { Here(WriterArmed); passed.Add(1) })
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := Await(ctx, WriterArmed); err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		cancel()
		others := make(chan struct{})
		go func() {
			for passed.Load() < 7 {
				runtime.Gosched()
			}
			close(others)
		}()
		<-others
		if n := passed.Load(); n != 7 {
			t.Fatalf("run %d: %d passed while one is parked", run, n)
		}
		Release(WriterArmed)
		all.Wait()
		Here(WriterArmed) // nobody asks for it any more
	}
}

// Waiting for a place that nobody reaches, or that nobody asked for, is an error that
// names it.
func TestAPlaceThatIsNeverReachedFails(t *testing.T) {
	contract.Row(t, 105)
	Park(WriterConfirmed)
	defer Release(WriterConfirmed)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the test is over"))
	if err := Await(ctx, WriterConfirmed); err == nil || !strings.Contains(err.Error(), "writer-confirmed was never reached: ") {
		t.Errorf("%v", err)
	}
	if err := Await(t.Context(), WriterPublished); err == nil || !strings.Contains(err.Error(), "nobody asked for it") {
		t.Errorf("%v", err)
	}
}

// Over HTTP, from another process: the whole life of one.
func TestTheHandler(t *testing.T) {
	contract.Row(t, 104, 105)
	s := httptest.NewServer(Handler())
	defer s.Close()
	ask := func(method, path string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/failpoint/v1/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b strings.Builder
		_, _ = fmt.Fprint(&b, res.StatusCode, " ")
		buf := make([]byte, 256)
		n, _ := res.Body.Read(buf)
		return b.String() + strings.TrimSpace(string(buf[:n]))
	}
	for _, step := range []struct{ method, path, want string }{
		{"GET", "writer-armed", `200 {"armed":false,"arrived":false}`},
		{"POST", "writer-amred", "404 no such failpoint; see internal/failpoint"},
		{"POST", "writer-armed", "204 "},
		{"GET", "writer-armed", `200 {"armed":true,"arrived":false}`},
	} {
		if got := ask(step.method, step.path); got != step.want {
			t.Errorf("%s %s: %q, want %q", step.method, step.path, got, step.want)
		}
	}
	done := make(chan struct{})
	go func() { Here(WriterArmed); close(done) }()
	if got := ask("GET", "writer-armed?wait=1"); got != `200 {"armed":true,"arrived":true}` {
		t.Errorf("%q", got)
	}
	select {
	case <-done:
		t.Error("it was not parked")
	default:
	}
	ask("DELETE", "writer-armed")
	<-done
}
