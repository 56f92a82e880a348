// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
)

// Moment is how far a durable write had come when something happened to its
// process, or to its answer.
type Moment uint8

// The moments. At the first three the process dies.
const (
	// Before: the write did not happen.
	Before Moment = iota + 1
	// Unacknowledged: it happened, and nobody heard of it.
	Unacknowledged
	// Torn: half of the object is there.
	Torn
	// AnswerLost: it happened; the process lives, and has to find out.
	AnswerLost
	// RequestLost: it did not happen; the process lives, and has to find out.
	RequestLost
	// Late: the process hears nothing, and the write happens while it waits.
	Late
	// Last: the process hears nothing, and the write happens when all have done their work.
	Last
)

var momentNames = [...]string{"", "before", "unacknowledged", "torn", "answer-lost", "request-lost", "late", "last"}

// String returns the moment in a word.
func (m Moment) String() string { return momentNames[m] }

// Dies reports whether the process dies of it.
func (m Moment) Dies() bool { return m != 0 && m <= Torn }

// Point is a moment of one durable write of one process.
type Point struct {
	Process string
	Write   int // from 1
	Moment
}

// Process is one incarnation of something: it has ids and, unless the world is
// patient, a clock of its own. Its requests wait before the bucket.
type Process struct {
	Name string

	w     *World
	point Point
	dead  bool // under w.mu
	// onDeath ends what the process has beside its bucket. May be nil.
	onDeath func()
	// word is what it says of itself over the control port, as writer id; nil: nobody
	// listens there. Under w.mu.
	word func() maintenance.Word
	id   manifest.WriterID
	// nudge, if set, makes it look at the manifest.
	nudge func()

	mu     sync.Mutex
	ids    int
	slept  time.Duration
	writes int
	fired  bool
	busy   int // commits that have not been answered
}

// Process returns the process of that name.
func (w *World) Process(name string) *Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.procs[name]
	if p == nil {
		p = &Process{w: w, Name: name}
		w.procs[name] = p
	}
	return p
}

// Bucket returns the world's bucket as a client sees it.
func (w *World) Bucket(client string) objstore.Bucket { return &bucket{p: w.Process(client)} }

// Bucket returns the world's bucket as p sees it.
func (p *Process) Bucket() objstore.Bucket { return &bucket{p: p} }

// latePrefix is before the name of what lands when its client has given it up.
const latePrefix = "late-"

// client is who made the request, whenever it lands.
func (p *Process) client() string { return strings.TrimPrefix(p.Name, latePrefix) }

// Dead reports whether it has died.
func (p *Process) Dead() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.dead || p.w.over
}

// die ends the process.
func (p *Process) die() {
	p.w.mu.Lock()
	p.dead = true
	p.w.mu.Unlock()
	if p.onDeath != nil {
		p.onDeath()
	}
}

// ID is the process's own id.
func (p *Process) ID() manifest.ProcessID { return manifest.ProcessID(p.Name + "-0000") }

// NewID returns an id that nobody else has, and that depends on nobody else.
func (p *Process) NewID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids++
	return fmt.Sprintf("%s-%04d", p.Name, p.ids)
}

// Now is the process's clock.
func (p *Process) Now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.w.Now().Add(p.slept)
}

// Sleep is Options.Sleep: others may go on meanwhile.
func (p *Process) Sleep(ctx context.Context, d time.Duration) error {
	r := &request{by: p, thread: thread(ctx)}
	if p.w.patient {
		r.until = p.w.Now().Add(d)
	}
	if err := p.w.park(r); err != nil || p.Dead() {
		return ErrDead
	}
	if !p.w.patient {
		p.mu.Lock()
		p.slept += d
		p.mu.Unlock()
	}
	return context.Cause(ctx)
}

// after is a timer of the process. In an impatient world nothing ever happens by itself.
func (p *Process) after(ctx context.Context, d time.Duration) <-chan time.Time {
	if !p.w.patient {
		return nil
	}
	c := make(chan time.Time, 1)
	go func() {
		if p.Sleep(ctx, d) == nil {
			c <- p.Now()
		}
	}()
	return c
}

// Passes lets time pass for everybody: for the bucket, which dates what it is asked
// to keep, and for those who stand before it.
func (p *Process) Passes(ctx context.Context, d time.Duration) error {
	if err := p.w.park(&request{by: p, thread: thread(ctx), key: everything, jump: d}); err != nil || p.Dead() {
		return ErrDead
	}
	return context.Cause(ctx)
}

// Sleep is Options.Sleep for a client.
func (w *World) Sleep(client string) func(context.Context, time.Duration) error {
	return w.Process(client).Sleep
}

// ask makes one request. An error means that nothing is known of it.
func (p *Process) ask(ctx context.Context, verb fault.Verb, key string, body []byte, do func(r *request, d *mem.Bucket) string) error {
	err := p.w.park(&request{by: p, thread: thread(ctx), verb: verb, key: key, body: body, do: do})
	if err == nil && p.Dead() {
		err = ErrDead
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	return nil
}

// reaches counts a durable write, and changes its fate if it is the point. It
// returns the moment at which the process dies, or 0.
func (p *Process) reaches(r *request, f *Fate) Moment {
	if !r.verb.Durable() {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes++
	if p.point.Write != p.writes || p.point.Write == 0 {
		return 0
	}
	if p.point.Moment == Torn && !strings.HasPrefix(r.key, manifest.TablePrefix) {
		// What salvor writes is one request, which stores do whole or not at all; versions
		// of tables are written by others, perhaps in pieces.
		return 0
	}
	p.fired = true
	switch p.point.Moment {
	case Before, RequestLost:
		*f = LosesRequest
	case Late, Last:
		*f, r.last = LandsLate, p.point.Moment == Last
	default:
		*f = LosesAnswer
	}
	if p.point.Dies() {
		return p.point.Moment
	}
	return 0
}

// threadKey is where a context says which thread of its process it is of.
type threadKey struct{}

func thread(ctx context.Context) int {
	n, _ := ctx.Value(threadKey{}).(int)
	return n
}
