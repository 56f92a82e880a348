// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// outage is a bucket whose network can be cut. It counts what is asked meanwhile.
type outage struct {
	objstore.Bucket
	down  atomic.Bool
	asked atomic.Int32
}

var errDown = errors.New("connection refused")

func (o *outage) err() error {
	if !o.down.Load() {
		return nil
	}
	o.asked.Add(1)
	return errDown
}

func (o *outage) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := o.err(); err != nil {
		return objstore.Object{}, err
	}
	return o.Bucket.Get(ctx, key)
}

func (o *outage) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if err := o.err(); err != nil {
		return nil, err
	}
	return o.Bucket.GetRange(ctx, key, off, n)
}

func (o *outage) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	if err := o.err(); err != nil {
		return func(yield func(objstore.Entry, error) bool) { yield(objstore.Entry{}, err) }
	}
	return o.Bucket.List(ctx, prefix, after)
}

func (o *outage) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if err := o.err(); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err
	}
	return o.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

func (o *outage) Delete(ctx context.Context, key string) error {
	if err := o.err(); err != nil {
		return err
	}
	return o.Bucket.Delete(ctx, key)
}

// Many operations pend while the object store does not answer: one caller asks
// for all of them, and all heal when it is back.
func TestAnOutageIsNoStampede(t *testing.T) {
	contract.Row(t, 96, 133)
	var cut *outage
	w, pods := ledgerWorld(t, 1, func(w *world) {
		cut = &outage{Bucket: w.root}
		w.opt.OpenBucket = func(context.Context, v1alpha1.Root, Access) (objstore.Bucket, error) { return cut, nil }
		w.opt.BackoffMost = time.Second
	})
	const many = 40
	for i := range many {
		op := manifest.OperationID(fmt.Sprintf("01PENDING%02d", i))
		w.object(recovery.SidecarKey(op), sidecarOf(t, op, w)) // armed by a process that is long gone
	}
	cut.down.Store(true)
	op, _, _ := pods[0].confirmedCommit("accounts")
	pods[0].kill()
	pods[0].status(terminated)
	for i := range many {
		op := fmt.Sprintf("01PENDING%02d", i)
		w.create(&v1alpha1.RecoverySidecar{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: fmt.Sprintf("pending-%d", i)},
			Spec:       v1alpha1.RecoverySidecarSpec{StoreRef: v1alpha1.LocalReference{Name: "ledger"}, Key: "recovery/" + op, OperationID: op},
		})
	}
	w.becomes("ledger", v1alpha1.ConditionReady, "False RootUnreachable")
	version := w.manifest().Version
	throughout(t, 4*never, "nothing published", func() bool { return w.manifest().Version == version })
	if asked := cut.asked.Load(); asked > 2*many {
		t.Errorf("%d requests in an outage with %d operations pending", asked, many+1)
	}
	cut.down.Store(false)
	w.healed(op)
	eventually(t, "all to be closed", func() bool { return len(w.keys(recovery.Prefix)) == 0 })
	w.oneRow(op, audit.RolledForward)
	if rows := w.rows(); len(rows) != many+1 {
		t.Errorf("%d rows of %d operations", len(rows), many+1)
	}
	pods[0].restart()
	w.streaming("ledger")
}

// faulty loses or refuses the nth write of the operator.
type faulty struct {
	inner http.RoundTripper
	on    *faultPoint
}

type faultPoint struct {
	nth, seen atomic.Int32
	applied   atomic.Bool // the server did it, and the answer is lost
	fired     atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (f faulty) RoundTrip(q *http.Request) (*http.Response, error) {
	isWrite := q.Method != http.MethodGet && strings.Contains(q.URL.Path, "recovery.salvor.io")
	if !isWrite || f.on.nth.Load() == 0 || f.on.seen.Add(1) != f.on.nth.Load() {
		return f.inner.RoundTrip(q)
	}
	f.on.fired.Store(true)
	if f.on.applied.Load() {
		r, err := f.inner.RoundTrip(q)
		if err == nil {
			_ = r.Body.Close()
		}
	}
	return nil, errors.New("read: connection reset by peer")
}

// Each write of a recovery fails once, before the API server had it and after.
func TestEveryAPIWriteMayFail(t *testing.T) {
	contract.Row(t, 156)
	point := &faultPoint{}
	w, pods := ledgerWorld(t, 1, func(w *world) {
		w.wrap = func(rt http.RoundTripper) http.RoundTripper { return faulty{rt, point} }
		w.opt.SweepEvery = never // brings back what a lost creation left out
	})
	p, fired := pods[0], 0
	for nth := range int32(5) {
		for _, applied := range []bool{false, true} {
			point.nth.Store(0)
			point.seen.Store(0)
			point.fired.Store(false)
			point.applied.Store(applied)
			op, _, _ := p.confirmedCommit(fmt.Sprintf("t%d-%t", nth, applied))
			point.nth.Store(nth + 1)
			p.kill()
			w.healed(op)
			w.oneRow(op, audit.RolledForward)
			p.restart()
			w.streaming("ledger")
			if point.fired.Load() {
				fired++
			}
		}
	}
	if fired < 6 {
		t.Errorf("only %d faults fired", fired)
	}
	if n := len(w.sidecars()); n != 10 {
		t.Errorf("%d resources of 10 operations", n)
	}
}

// The object store is away when a freeze is to end: it ends when it is back, by the
// release if there is time left, and by its own end if there is not. Until then everybody
// is told why it has not.
func TestAThawOutlastsAnOutage(t *testing.T) {
	contract.Row(t, 108, 137)
	for _, c := range []struct {
		name string
		late bool // the lock's time is over before the object store is back
		want []string
	}{
		{"back in time", false, []string{"lock Draining", "lock Frozen", "release"}},
		{"back too late", true, []string{"lock Draining", "lock Frozen", "expire"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var cut *outage
			w, pods := ledgerServed(t, 1, func(w *world) {
				cut = &outage{Bucket: w.root}
				w.opt.OpenBucket = func(context.Context, v1alpha1.Root, Access) (objstore.Bucket, error) { return cut, nil }
				w.opt.BackoffMost = time.Second
			})
			pods[0].bucket.When("an outage", func(fault.Call) bool { return cut.down.Load() }).Fail(errDown)
			until := time.Now().Add(time.Hour)
			if c.late {
				until = time.Now().Add(4 * time.Second)
			}
			m := w.freeze("restart", func(m *v1alpha1.StoreMaintenance) { m.Spec.Until = metav1.NewTime(until) })
			until = m.Spec.Until.Time
			w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
			cut.down.Store(true)
			w.becomes("ledger", v1alpha1.ConditionReady, "False RootUnreachable")
			if c.late {
				st := w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
				eventually(t, "its time to be over, and the outage to be told", func() bool {
					st = w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
					return time.Now().After(until) && strings.Contains(st.Stores[0].Message, "connection refused")
				}, func() string { return fmt.Sprintf("%+v", st) })
			} else {
				w.thaw(m)
			}
			throughout(t, 2*never, "it is held", func() bool { _, st := w.state("ledger"); return st.Lock != nil })
			parked := pods[0].write("parked")
			cut.down.Store(false)
			w.unlocked("ledger")
			must(t, <-parked)
			wants(t, w.entries("ledger"), c.want...)
			if c.late {
				w.smt("restart", v1alpha1.ConditionReleased, "True Expired")
			}
		})
	}
}
