// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/store"
)

var errNoRoute = errors.New("no route to host")

// reachable makes the root come and go.
func reachable(w *world, up *atomic.Bool) func(*store.Options) {
	return func(o *store.Options) {
		inner := o.OpenRoot
		o.OpenRoot = func(ctx context.Context) (objstore.Bucket, error) {
			if !up.Load() {
				return nil, errNoRoute
			}
			return inner(ctx)
		}
		o.After = func(d time.Duration) <-chan time.Time { return time.After(min(d, time.Millisecond)) }
	}
}

// A log that holds everything serves without the root, and publishes when it is
// there again.
func TestServesFromTheLogWithoutTheRoot(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	p.kill()
	var up atomic.Bool
	p = w.start(reachable(w, &up))
	w.same("without the root", p.rows(), content{"t": {"k": `{"v":"1"}`}})
	p.must(put("t", "k", "2"))
	st := p.Status()
	if st.Epoch != 0 || !strings.Contains(st.Waiting, "no route to host") {
		t.Fatalf("status %+v", st)
	}
	if _, err := p.Checkpoint(t.Context()); !errors.Is(err, errNoRoute) {
		t.Fatalf("checkpoint without a root: %v", err)
	}
	up.Store(true)
	p.Refresh()
	p.await("it has registered", func(st control.Status) bool { return st.Epoch == 2 && st.Waiting == "" })
	p.checkpoint()
	w.same("published", w.dump(), content{"t": {"k": `{"v":"2"}`}})
}

// A log that was cut needs the pins: the process waits, answers with a reason, and
// serves when the root is there. It does not end.
func TestWaitsForTheRootWhenTheLogIsCut(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	want := content{}
	for i := range 100 {
		tx := put("t", string(rune('a'+i%26)), strings.Repeat("x", 50))
		p.must(tx)
		want.apply(tx)
	}
	p.checkpoint()
	p.must(put("t", "last", "y"))
	want.set("t", "last", `{"v":"y"}`)
	p.kill()
	var up atomic.Bool
	p = w.launch(reachable(w, &up))
	st := p.await("it says what it waits for", func(st control.Status) bool { return st.Waiting != "" })
	if st.State != control.Starting || st.Epoch != 0 {
		t.Fatalf("status %+v", st)
	}
	for _, call := range []string{"POST /v1/transactions", "GET /v1/tables", "GET /readyz"} {
		method, path, _ := strings.Cut(call, " ")
		res := p.call(method, path, `{"statements":[{"op":"get","table":"t","key":"k"}]}`)
		if res.Code != http.StatusServiceUnavailable || res.Header().Get("Retry-After") == "" || !strings.Contains(res.Body.String(), "no route to host") {
			t.Errorf("%s: %d %s", call, res.Code, res.Body)
		}
	}
	if res := p.call("GET", "/healthz", ""); res.Code != http.StatusOK {
		t.Errorf("alive: %d", res.Code)
	}
	up.Store(true)
	p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
	w.same("served", p.rows(), want)
}

// A process that waits for its root ends at SIGTERM.
func TestEndsWhileItWaits(t *testing.T) {
	w := newWorld(t)
	var up atomic.Bool
	p := w.launch(reachable(w, &up))
	p.await("it waits", func(st control.Status) bool { return st.Waiting != "" })
	p.stop()
}

// A new directory cannot know whether the root has pins: it never starts alone.
func TestANewDirectoryNeedsTheRoot(t *testing.T) {
	w := newWorld(t)
	var up atomic.Bool
	p := w.launch(reachable(w, &up))
	st := p.await("it waits", func(st control.Status) bool { return st.Waiting != "" })
	if st.State != control.Starting {
		t.Fatalf("%+v", st)
	}
	p.kill()
}

// Nothing is published on a root that does not keep its promises.
func TestAProbeGatesTheRoot(t *testing.T) {
	w := newWorld(t)
	p := w.launch(func(o *store.Options) {
		o.OpenRoot = func(context.Context) (objstore.Bucket, error) { return fault.IgnoresIfAbsent(w.root), nil }
	})
	st := p.await("it refuses", func(st control.Status) bool { return st.Waiting != "" })
	if st.State != control.Starting || !strings.Contains(st.Waiting, string(objstore.ConditionalWritesNotEnforced)) {
		t.Fatalf("%+v", st)
	}
	if left := w.keysBelow(""); len(left) > 0 {
		t.Fatalf("in the root: %q", left)
	}
	p.kill()
}

// The probe is made once per data directory: a restart does not wait for it.
func TestTheProbeIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	probes := func(p *process) (n int) {
		for _, c := range p.bucket.Calls() {
			if strings.HasPrefix(c.Key, "probe/") {
				n++
			}
		}
		return n
	}
	p := w.start()
	if probes(p) == 0 {
		t.Fatal("the first start did not probe")
	}
	p.kill()
	p = w.start()
	if n := probes(p); n != 0 {
		t.Fatalf("the second start made %d calls of a probe", n)
	}
}
