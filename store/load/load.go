// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store"
)

// Options says what load to make. Targets and NewID are required.
type Options struct {
	// Targets are the base URLs of the stores; worker n uses the n-th, round and round.
	Targets []string
	// Transactions in total; 0: until ctx ends.
	Transactions int
	// Tables that each transaction writes, Concurrency workers, Keys of each worker.
	// Defaults 3, 8, 1,000.
	Tables, Concurrency, Keys int
	// Gap is the least time between two transactions of one worker.
	Gap time.Duration
	// Every makes it an open loop: for each target a transaction is due that often,
	// whether or not the ones before it were answered, and waits for a free worker. 0: a
	// closed loop, in which each worker sends its next one when it has an answer. The
	// targets take turns: together they get one each Every / len(Targets).
	Every time.Duration
	// Trace is called for every transaction that was acknowledged, by one at a time;
	// nil: nobody looks.
	Trace func(Trace)
	// Timeout of one try: a store whose address has gone does not answer. Default 10 s.
	Timeout time.Duration
	// GiveUp is how long one transaction, or one read, is tried. Default 2 min.
	GiveUp time.Duration
	// Acks gets every acknowledged transaction; nil: nobody does.
	Acks *Journal
	// NewID names the run.
	NewID func() string
	HTTP  *http.Client
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// Summary is what a load came to.
type Summary struct {
	Run          string        `json:"run"`
	Acknowledged int           `json:"acknowledged"`
	Retried      int           `json:"retried"`
	Repeated     int           `json:"repeated"` // answered before, under the same id
	Unanswered   int           `json:"unanswered"`
	Elapsed      time.Duration `json:"elapsed"`
	P50          time.Duration `json:"p50"`
	P99          time.Duration `json:"p99"`
}

// row is what a load writes.
type row struct {
	Token string `json:"token"`
	Seq   uint64 `json:"seq"`
	Of    int    `json:"of"`
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		v   *int
		def int
	}{{&o.Tables, 3}, {&o.Concurrency, 8}, {&o.Keys, 1000}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.GiveUp == 0 {
		o.GiveUp = 2 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, o.Concurrency // of all hosts: no bound
		o.HTTP = &http.Client{Transport: t, Timeout: o.Timeout}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = objstore.Sleep
	}
	return o
}

// Run makes the load. It ends with ctx, without an error, and then transactions
// that were not answered yet are counted as unanswered. An error is a refusal that
// no retry helps against, or a failure of the file of acknowledgements.
func Run(ctx context.Context, o Options) (Summary, error) {
	if len(o.Targets) == 0 || o.NewID == nil {
		return Summary{}, errors.New("load: a target and NewID are required")
	}
	o = o.withDefaults()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{opt: o, id: o.NewID(), began: o.Now()}
	var wg sync.WaitGroup
	due := make([]chan time.Time, len(o.Targets))
	for i := range due {
		if o.Every > 0 {
			due[i] = make(chan time.Time)
			first := r.began.Add(o.Every * time.Duration(i) / time.Duration(len(due))) // not all targets at once
			wg.Go(func() { r.schedule(ctx, first, due[i]) })
		}
	}
	for n := range o.Concurrency {
		wg.Go(func() {
			if err := r.worker(ctx, n, due[n%len(due)]); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	s := r.summary()
	if err := context.Cause(ctx); err != nil && !over(err) {
		return s, err
	}
	return s, nil
}

// over reports whether a load has ended because it was told to.
func over(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

type run struct {
	opt   Options
	id    string
	began time.Time
	taken atomic.Int64

	mu        sync.Mutex
	sum       Summary
	latencies []time.Duration
}

func (r *run) worker(ctx context.Context, n int, due <-chan time.Time) error {
	c := newClient(r.opt.Targets[n%len(r.opt.Targets)], r.opt.HTTP)
	prefix := ""
	err := r.again(ctx, func() error {
		t, err := c.tables(ctx)
		prefix = t.Prefix
		return err
	})
	for seq := uint64(1); err == nil; seq++ {
		began, more := r.next(due)
		if !more {
			break
		}
		if err = r.one(ctx, c, prefix, n, seq, began); err == nil && r.opt.Gap > 0 {
			err = r.opt.Sleep(ctx, r.opt.Gap)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// next waits until a transaction is due, and says since when; false: it was the last.
func (r *run) next(due <-chan time.Time) (since time.Time, more bool) {
	if due == nil {
		return r.opt.Now(), r.take()
	}
	since, more = <-due
	return since, more
}

// take reports whether there is one more to do.
func (r *run) take() bool {
	return r.opt.Transactions == 0 || r.taken.Add(1) <= int64(r.opt.Transactions)
}

// one sends one transaction, which is due since began, until it is answered.
func (r *run) one(ctx context.Context, c *client, prefix string, n int, seq uint64, began time.Time) error {
	a := Ack{
		Prefix: prefix, Key: fmt.Sprintf("%s-w%d-k%d", r.id, n, seq%uint64(r.opt.Keys)),
		Token: fmt.Sprintf("%s-w%d-%d", r.id, n, seq), Seq: seq, Of: r.opt.Tables,
	}
	raw, err := json.Marshal(row{Token: a.Token, Seq: seq, Of: a.Of})
	if err != nil {
		return err
	}
	t := store.Transaction{ID: a.Token}
	for i := range a.Of {
		t.Statements = append(t.Statements, store.Statement{Op: store.OpPut, Table: tableName(i), Key: a.Key, Row: raw})
	}
	var result store.Result
	trace := Trace{Token: a.Token, Target: n % len(r.opt.Targets), Due: began}
	err = r.again(ctx, func() error {
		sent := r.opt.Now()
		var err error
		if result, err = c.transact(ctx, t); err != nil && r.opt.Trace != nil {
			trace.Failed = append(trace.Failed, Try{Sent: sent, Status: statusOf(err), Waited: r.opt.Now().Sub(sent), Says: err.Error()})
		}
		return err
	})
	trace.Took = r.opt.Now().Sub(began)
	if err != nil {
		r.count(func(s *Summary) { s.Unanswered++ })
		return err
	}
	a.Position, trace.Position = uint64(result.Position), uint64(result.Position)
	if r.opt.Acks != nil {
		if err := r.opt.Acks.Add(a); err != nil {
			return err
		}
	}
	r.count(func(s *Summary) {
		s.Acknowledged++
		if result.Repeated {
			s.Repeated++
		}
		r.latencies = append(r.latencies, r.opt.Now().Sub(began))
		if r.opt.Trace != nil {
			r.opt.Trace(trace)
		}
	})
	return nil
}

func (r *run) again(ctx context.Context, f func() error) error {
	return r.opt.again(ctx, func() { r.count(func(s *Summary) { s.Retried++ }) }, f)
}

// again calls f until it is answered, a refusal that no retry helps against
// included. Before each try but the first it calls retried.
func (o Options) again(ctx context.Context, retried func(), f func() error) error {
	deadline := o.Now().Add(o.GiveUp)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := f()
		if err == nil || !errors.Is(err, errAgain) {
			return err
		}
		if o.Now().After(deadline) {
			return fmt.Errorf("gave up after %s: %w", o.GiveUp, err)
		}
		retried()
		if err := o.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func (r *run) count(f func(*Summary)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.sum)
}

func (r *run) summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sum
	s.Run, s.Elapsed = r.id, r.opt.Now().Sub(r.began)
	if n := len(r.latencies); n > 0 {
		slices.Sort(r.latencies)
		s.P50, s.P99 = r.latencies[n/2], r.latencies[n*99/100]
	}
	return s
}
