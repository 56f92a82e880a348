// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

var admin = manifest.Publisher{Role: manifest.RoleOperator, Process: "ADMIN"}

// lock takes the write lock for an hour, or makes the own one Frozen.
func (w *world) lock(mode manifest.LockMode) {
	w.Helper()
	w.lockFor(mode, time.Hour)
}

func (w *world) lockFor(mode manifest.LockMode, d time.Duration) {
	w.Helper()
	l := manifest.Lock{Owner: "M1", Reason: "database restart", Mode: mode, Since: time.Now(), Until: time.Now().Add(d)}
	if _, err := w.manifest().Lock(context.Background(), admin, l); err != nil {
		w.Fatal(err)
	}
}

func (w *world) release() {
	w.Helper()
	if _, err := w.manifest().Release(context.Background(), admin, "M1"); err != nil {
		w.Fatal(err)
	}
}

func (w *world) manifest() *manifest.Store {
	w.Helper()
	m, err := manifest.Open(context.Background(), w.root, manifest.Options{NewID: newID})
	if err != nil {
		w.Fatal(err)
	}
	return m
}

// try does a transaction and tells its end.
func (p *process) try(statements ...store.Statement) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.Transact(context.Background(), store.Transaction{Statements: statements})
		done <- err
	}()
	return done
}

// heeds waits until the process knows of the lock.
func (p *process) heeds(state control.State) control.Status {
	p.w.Helper()
	p.Refresh()
	return p.await("it heeds the lock", func(st control.Status) bool { return st.Lock == "M1" && st.State == state })
}

func (p *process) parks(n int) {
	p.w.Helper()
	p.await("writers are parked", func(st control.Status) bool { return st.Parked == n })
}

// Whoever comes to write while a lock holds the store waits for its end, and reads
// go on.
func TestWritersWaitForTheEndOfALock(t *testing.T) {
	contract.Row(t, 109, 138)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	w.lock(manifest.Frozen)
	p.heeds(control.Frozen)
	writes := [...]<-chan error{p.try(put("t", "k", "2")), p.try(put("u", "k", "1")), p.try(get("t", "k"), del("t", "gone"))}
	p.parks(len(writes))
	if got := string(p.must(get("t", "k")).Results[0].Row); got != `{"v":"1"}` {
		t.Errorf("a reader of a store that is held got %s", got)
	}
	var hold store.Hold
	if err := json.Unmarshal(p.call("GET", "/v1/lock", "").Body.Bytes(), &hold); err != nil || !hold.Held || hold.Owner != "M1" || hold.Mode != manifest.Frozen ||
		hold.Reason != "database restart" || hold.Until.IsZero() || hold.Parked != len(writes) {
		t.Errorf("who waits is told %+v, %v", hold, err)
	}
	if st := p.Status(); st.InFlight != 0 || st.Next != 2 {
		t.Errorf("somebody writes: %+v", st)
	}
	w.release()
	p.Refresh()
	for _, done := range writes {
		if err := <-done; err != nil {
			t.Errorf("after the lock: %v", err)
		}
	}
	st := p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
	if st.Lock != "" || st.Parked != 0 || st.InFlight != 0 {
		t.Errorf("%+v", st)
	}
	if body := strings.TrimSpace(p.call("GET", "/v1/lock", "").Body.String()); body != `{"held":false}` {
		t.Errorf("after the lock: %s", body)
	}
	w.same("after the lock", p.rows(), content{"t": {"k": `{"v":"2"}`}, "u": {"k": `{"v":"1"}`}})
	w.rest()
}

// A writer waits no longer than the parking bound. It is told who holds the store,
// and nothing that it asked for has happened.
func TestAWriterIsParkedForABoundOnly(t *testing.T) {
	contract.Row(t, 109, 138)
	w := newWorld(t)
	bound := make(chan time.Time)
	parked := make(chan time.Duration, 9)
	p := w.start(func(o *store.Options) {
		o.Park = 17 * time.Second
		o.After = func(d time.Duration) <-chan time.Time {
			if d == 17*time.Second {
				parked <- d
				return bound
			}
			return time.After(d)
		}
	})
	w.lock(manifest.Frozen)
	p.heeds(control.Frozen)
	done := make(chan *http.Response, 1)
	go func() {
		done <- p.call("POST", "/v1/transactions", `{"statements":[{"op":"put","table":"t","key":"k","row":{}}]}`).Result()
	}()
	<-parked
	// One whom nothing can help is not kept waiting.
	if res := p.call("POST", "/v1/transactions", `{"statements":[{"op":"put","table":"t","key":"k"}]}`); res.Code != http.StatusBadRequest {
		t.Errorf("a put without a row: %d %s", res.Code, res.Body)
	}
	close(bound)
	res := <-done
	body := make([]byte, 1000)
	n, _ := res.Body.Read(body)
	for _, want := range []string{`"Frozen"`, "M1", "database restart", "no writes until", "salvor manifest show"} {
		if !strings.Contains(string(body[:n]), want) {
			t.Errorf("the refusal does not say %s: %s", want, body[:n])
		}
	}
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "30" {
		t.Errorf("%d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if strings.Contains(string(body[:n]), "unknown") {
		t.Errorf("nothing happened, and the client is told that it may have: %s", body[:n])
	}
	w.release()
	p.Refresh()
	p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
	w.same("of the refused one", p.rows(), content{})
}

// A caller that goes away takes its transaction along.
func TestACallerThatStopsWaitingWritesNothing(t *testing.T) {
	contract.Row(t, 138)
	w := newWorld(t)
	p := w.start()
	w.lock(manifest.Frozen)
	p.heeds(control.Frozen)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Transact(ctx, store.Transaction{Statements: []store.Statement{put("t", "k", "1")}})
		done <- err
	}()
	p.parks(1)
	cancel()
	var refusal *store.Refusal
	if err := <-done; !errors.As(err, &refusal) || refusal.Reason != store.ReasonFrozen || refusal.Unknown {
		t.Fatalf("%v", err)
	}
	w.release()
	p.Refresh()
	p.await("it serves", func(st control.Status) bool { return st.State == control.Serving && st.Parked == 0 })
	w.same("of the one who left", p.rows(), content{})
}

// What is under way when the lock is taken is finished, and the status says at
// once when it is.
func TestWhatIsUnderWayIsFinishedUnderALock(t *testing.T) {
	contract.Row(t, 110)
	w := newWorld(t)
	p := w.start()
	hold := p.disk.HoldSync()
	underWay := p.try(put("t", "k", "1"))
	<-hold.Arrived
	w.lock(manifest.Draining)
	if st := p.heeds(control.Draining); st.InFlight != 1 || st.Durable != 0 {
		t.Errorf("one is under way: %+v", st)
	}
	newcomer := p.try(put("t", "k", "2"))
	p.parks(1)
	changed := p.Changed()
	hold.Release()
	if err := <-underWay; err != nil {
		t.Fatalf("what was under way: %v", err)
	}
	told(t, changed, "nobody writes any more")
	if st := p.Status(); st.InFlight != 0 || st.Durable != 1 || st.Parked != 1 {
		t.Errorf("drained: %+v", st)
	}
	w.release()
	p.Refresh()
	if err := <-newcomer; err != nil {
		t.Fatal(err)
	}
}

// A checkpoint that has begun goes out while the store is Draining. One that
// begins later arms nothing, and goes out after the lock.
func TestACheckpointUnderALock(t *testing.T) {
	contract.Row(t, 110, 112)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	armed := p.bucket.On(fault.PutIfAbsent, "tables/").ParkBefore()
	began := make(chan recovery.Result, 1)
	go func() { began <- p.checkpoint() }()
	if _, err := armed.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.must(put("t", "k", "2")) // the next checkpoint's
	w.lock(manifest.Draining)
	armed.Release()
	if r := <-began; r.Operation == "" || r.ByRecovery {
		t.Fatalf("the checkpoint that had begun: %+v", r)
	}
	p.heeds(control.Draining)
	w.lock(manifest.Frozen)
	p.heeds(control.Frozen)
	// What is acknowledged and not published yet stays in the log.
	before := len(p.bucket.Calls())
	_, err := p.Checkpoint(t.Context())
	var locked *manifest.LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("a checkpoint under the lock: %v", err)
	}
	for _, c := range p.bucket.Calls()[before:] {
		if c.Verb == fault.PutIfAbsent {
			t.Errorf("under the lock it put %s", c.Key)
		}
	}
	w.release()
	p.Refresh()
	p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
	p.checkpoint()
	w.same("after the lock", w.dump(), content{"t": {"k": `{"v":"2"}`}})
	w.rest()
}

// The lock is in the manifest, not in the process: one that starts under it parks
// its writers, too.
func TestALockOutlivesItsPods(t *testing.T) {
	contract.Row(t, 106, 111)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	w.lock(manifest.Frozen)
	p.heeds(control.Frozen)
	parked := p.try(put("t", "k", "lost"))
	p.parks(1)
	p.kill()
	p = w.launch()
	st := p.await("it has started", func(st control.Status) bool { return st.State != control.Starting })
	if st.State != control.Frozen || st.Lock != "M1" {
		t.Fatalf("after the restart: %+v", st)
	}
	if err := <-parked; err == nil {
		t.Fatal("the killed process acknowledged what it never began")
	}
	w.same("after the restart", p.rows(), content{"t": {"k": `{"v":"1"}`}})
	second := p.try(put("t", "k", "2"))
	p.parks(1)
	w.release()
	p.Refresh()
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	w.same("after the lock", p.rows(), content{"t": {"k": `{"v":"2"}`}})
}

// A lock outlives its pods even when nobody can tell them: what the object store is
// restarted under is the very thing that a process cannot ask.
func TestALockIsHeededWithoutARoot(t *testing.T) {
	contract.Row(t, 106, 111, 137)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	w.lock(manifest.Frozen)
	p.heeds(control.Frozen)
	p.kill()
	away := func(o *store.Options) {
		o.OpenRoot = func(context.Context) (objstore.Bucket, error) { return nil, errors.New("it is being restarted") }
	}
	p = w.launch(away)
	st := p.await("it has started", func(st control.Status) bool { return st.State != control.Starting })
	if st.State != control.Frozen || st.Lock != "M1" || st.Manifest != 0 {
		t.Fatalf("from the log alone: %+v", st)
	}
	w.same("from the log alone", p.rows(), content{"t": {"k": `{"v":"1"}`}})
	parked := p.try(put("t", "k", "2"))
	p.parks(1)
	p.kill()
	if err := <-parked; err == nil {
		t.Fatal("acknowledged while all was held")
	}
	w.release()
	p = w.launch() // and the object store is back
	p.await("it serves", func(st control.Status) bool { return st.State == control.Serving && st.Lock == "" })
	p.must(put("t", "k", "3"))
	p.kill()
	p = w.launch(away) // a lock that has ended is forgotten
	st = p.await("it has started", func(st control.Status) bool { return st.State != control.Starting })
	if st.Lock != "" {
		t.Fatalf("from the log alone, after the lock: %+v", st)
	}
	p.must(put("t", "k", "4"))
	w.same("after the lock", p.rows(), content{"t": {"k": `{"v":"4"}`}})
}

// A process that ends while others wait for a lock sends them away at once.
func TestTheEndDoesNotWaitForALock(t *testing.T) {
	contract.Row(t, 137)
	w := newWorld(t)
	p := w.start()
	w.lock(manifest.Frozen)
	p.heeds(control.Frozen)
	parked := p.try(put("t", "k", "1"))
	p.parks(1)
	p.stop()
	var refusal *store.Refusal
	if err := <-parked; !errors.As(err, &refusal) || refusal.Reason != store.ReasonDraining || refusal.Unknown || refusal.RetryAfter == 0 {
		t.Fatalf("%v", err)
	}
	if l := w.state().Lock; l == nil || l.Owner != "M1" {
		t.Errorf("the end of a process ended the lock: %+v", w.state())
	}
}

// With nobody there to tell it, a process sees within seconds that a lock was
// released, and asks little while it waits.
func TestAThawNeedsNobodyToTellIt(t *testing.T) {
	contract.Row(t, 137)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.start()
		defer p.stop()
		w.lockFor(manifest.Frozen, 3*time.Hour)
		p.heeds(control.Frozen)
		before := len(p.bucket.Calls())
		time.Sleep(70 * time.Minute) // not when a checkpoint is due: that looks too
		if asked := len(p.bucket.Calls()) - before; asked > 4*4200/4 {
			t.Errorf("%d requests in 70 minutes under a lock", asked)
		}
		parked := p.try(put("t", "k", "1"))
		w.release()
		began := time.Now()
		if err := <-parked; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it saw the release after %s", took)
		}
	})
}

// The object store is away while a lock holds the store: writers wait, and are told why.
// When it is back, a lock that was released meanwhile has ended, and one whose time is over
// is ended; not before, whatever the own clock says.
func TestAnOutageUnderALock(t *testing.T) {
	contract.Row(t, 108, 137)
	for _, c := range []struct {
		name     string
		lasts    time.Duration // of the lock
		down     time.Duration
		released bool // by somebody who reaches the object store
		says     string
		how      manifest.Kind
	}{
		{"for a minute, and it is released", time.Hour, time.Minute, true, "no writes until 2000-01-01T01:00:00Z: the store is Frozen for \"database restart\" by M1; reads go on", manifest.KindRelease},
		{"beyond the end of the lock", time.Minute, 10 * time.Minute, false, "no writes yet: the store was Frozen for \"database restart\" by M1 until 2000-01-01T00:01:00Z, and the object store, by whose clock that ends, has not confirmed it; reads go on", manifest.KindExpire},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.start()
				defer p.stop()
				p.must(put("t", "k", "1"))
				began := time.Now()
				w.lockFor(manifest.Frozen, c.lasts)
				p.heeds(control.Frozen)
				var down atomic.Bool
				down.Store(true)
				p.bucket.When("an outage", func(fault.Call) bool { return down.Load() }).Fail(errors.New("connection refused"))
				if c.released {
					w.release()
				}
				time.Sleep(c.down)
				var refusal *store.Refusal
				if err := <-p.try(put("t", "k", "2")); !errors.As(err, &refusal) || refusal.Reason != store.ReasonFrozen || !strings.HasPrefix(refusal.Message, c.says) || refusal.RetryAfter <= 0 {
					t.Fatalf("%v, %s after it began", err, time.Since(began))
				}
				w.same("in the outage", p.rows(), content{"t": {"k": `{"v":"1"}`}})
				down.Store(false)
				back := time.Now()
				if err := <-p.try(put("t", "k", "3")); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(back); took > 6*time.Second {
					t.Errorf("it went on %s after the object store was back", took)
				}
				if st := w.state(); st.Lock != nil || st.EndedLock == nil || st.EndedLock.How != c.how {
					t.Errorf("lock %+v, ended %+v", st.Lock, st.EndedLock)
				}
			})
		})
	}
}

// A lock that nobody releases ends when the object store says that its time is
// over, whatever the clocks of those who wait for it say. All agree on where.
func TestALockThatNobodyReleasesEnds(t *testing.T) {
	contract.Row(t, 137)
	for name, off := range map[string]time.Duration{"clocks are right": 0, "clocks are late": -10 * time.Minute, "clocks are early": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				clock := func(o *store.Options) { o.Now = func() time.Time { return time.Now().Add(off) } }
				p := w.start(clock)
				defer p.stop()
				elsewhere := &world{tb: w.tb, root: w.root, disk: logtest.New(), keys: w.keys}
				other := elsewhere.start(clock, func(o *store.Options) { o.Writer = "ledger-1" })
				defer other.stop()
				w.lockFor(manifest.Frozen, 30*time.Minute)
				until := w.state().Lock.Until
				p.heeds(control.Frozen)
				other.heeds(control.Frozen)
				time.Sleep(29 * time.Minute)
				if st := w.state(); st.Lock == nil {
					t.Fatalf("ended a minute early: %+v", st.EndedLock)
				}
				if err := <-p.try(put("t", "k", "1")); err == nil {
					t.Fatal("a minute before its end the lock let a writer in")
				}
				time.Sleep(time.Until(until))
				if err := <-p.try(put("t", "k", "2")); err != nil {
					t.Fatal(err)
				}
				if err := <-other.try(put("t", "k", "2")); err != nil {
					t.Fatal(err)
				}
				st := w.state()
				if st.Lock != nil || st.EndedLock == nil || st.EndedLock.How != manifest.KindExpire || st.EndedLock.Owner != "M1" {
					t.Fatalf("lock %+v, ended %+v", st.Lock, st.EndedLock)
				}
				if late := time.Since(until); late > 6*time.Second {
					t.Errorf("ended %s after its time", late)
				}
				ends := 0
				for v := manifest.Version(1); v <= st.Version; v++ {
					b, err := w.manifest().Batch(t.Context(), v)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range b.Entries {
						if e.Kind == manifest.KindExpire {
							ends++
						}
					}
				}
				if ends != 1 {
					t.Errorf("it was ended %d times", ends)
				}
			})
		})
	}
}
