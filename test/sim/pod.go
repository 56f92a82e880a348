// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// pod is a State with the local disk of one pod of the reference store, and what
// the pod's clients sent and were told. Transactions are numbered from 1; each
// writes its number into two tables, so that half of one shows.
type pod struct {
	*State
	disk        *logtest.FS
	sent, acked int  // the newest
	all         bits // that were acknowledged
}

// bits is a set of transactions. It is a value.
type bits uint64

func (b bits) has(n int) bool { return b&(1<<n) != 0 }

// image is what a dying machine leaves of its disk.
type image struct {
	name string
	of   func(*logtest.FS) *logtest.FS
}

// images: the process was killed, and the kernel wrote what it had; the power was
// cut, and nothing that was not synced is there, or half of it, or all.
var images = []image{
	{"killed", (*logtest.FS).Killed},
	{"power-cut", func(f *logtest.FS) *logtest.FS { return f.PowerLoss(func(int) int { return 0 }) }},
	{"power-cut, half written", func(f *logtest.FS) *logtest.FS { return f.PowerLoss(func(n int) int { return n / 2 }) }},
	{"power-cut, all written", func(f *logtest.FS) *logtest.FS { return f.PowerLoss(func(n int) int { return n }) }},
}

// disk is a file system on which the n-th durable operation is the last.
type disk struct {
	*logtest.FS
	p   *Process
	die func()

	mu    sync.Mutex
	n     int
	point Point // of this disk
	fired bool
}

func (d *disk) op(do func(half bool) error) error {
	d.mu.Lock()
	d.n++
	m := Moment(0)
	if d.n == d.point.Write {
		m, d.fired = d.point.Moment, true
	}
	d.mu.Unlock()
	if m == 0 {
		return do(false)
	}
	var err error
	if m != Before {
		err = do(m == Torn)
	}
	d.die()
	if err == nil {
		err = ErrDead
	}
	return err
}

// Create implements log.FS.
func (d *disk) Create(path string) (f log.File, err error) {
	err = d.op(func(bool) error { f, err = d.FS.Create(path); return err })
	return &diskFile{f, d}, err
}

// Rename implements log.FS.
func (d *disk) Rename(from, to string) error {
	return d.op(func(bool) error { return d.FS.Rename(from, to) })
}

// Remove implements log.FS.
func (d *disk) Remove(path string) error {
	return d.op(func(bool) error { return d.FS.Remove(path) })
}

// SyncDir implements log.FS.
func (d *disk) SyncDir(dir string) error {
	return d.op(func(bool) error { return d.FS.SyncDir(dir) })
}

type diskFile struct {
	log.File
	d *disk
}

func (f *diskFile) Write(b []byte) (n int, err error) {
	err = f.d.op(func(half bool) error {
		if half {
			b = b[:len(b)/2]
		}
		n, err = f.File.Write(b)
		return err
	})
	return n, err
}

func (f *diskFile) Sync() error { return f.d.op(func(bool) error { return f.File.Sync() }) }

func (f *diskFile) Close() error {
	if f.File == nil {
		return nil
	}
	return f.File.Close()
}

// life is one process of the pod: it starts on what the last one left, does its
// work, and is killed at the end, if not before.
type life struct {
	name  string
	point Point // of the bucket, or, with Process "disk", of the disk
	work  func(ctx context.Context, l *life, s *store.Store)

	pod
	lives  *logtest.FS // the disk while it lives
	wrote  int         // durable operations of the disk
	fired  bool
	served bool
	rows   int // transactions that it has when it is checked
	err    error
}

func (l *life) actor() Actor {
	return Actor{l.name, func(ctx context.Context, p *Process) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		p.onDeath = func() { l.lives.Die(); cancel() }
		d := &disk{FS: l.lives, p: p, die: p.die}
		if l.point.Process == "disk" {
			d.point = l.point
		}
		id := byte(0)
		s, err := store.New(store.Options{
			Dir: "data", Writer: "pod-0", Process: p.ID(), FS: d,
			OpenRoot: func(context.Context) (objstore.Bucket, error) { return p.Bucket(), nil },
			NewID:    p.NewID, NewLogID: func() [16]byte { id++; return [16]byte{l.name[len(l.name)-1], id} },
			Now: p.Now, Sleep: p.Sleep, After: func(time.Duration) <-chan time.Time { return nil },
			SegmentSize: 500, Await: await, Poll: poll,
		})
		if err != nil {
			l.err = err
			return
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		for !l.served {
			changed := s.Changed()
			if l.served = s.Status().State == control.Serving; l.served {
				break
			}
			select {
			case <-changed:
			case l.err = <-ended:
				l.wrote, l.fired = d.n, d.fired
				return
			}
		}
		l.work(ctx, l, s)
		l.wrote, l.fired = d.n, d.fired
		p.die()
		<-ended
	}}
}

// transact does the next transaction.
func (l *life) transact(ctx context.Context, s *store.Store) {
	l.sent++
	n := l.sent
	row := json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
	_, err := s.Transact(ctx, store.Transaction{Statements: []store.Statement{
		{Op: store.OpPut, Table: "x", Key: "last", Row: row},
		{Op: store.OpPut, Table: "y", Key: "last", Row: row},
		{Op: store.OpPut, Table: "x", Key: fmt.Sprintf("t%d", n), Row: row},
	}})
	if err == nil && ctx.Err() == nil {
		l.acked, l.all = n, l.all|1<<n
	}
}

// busy is what a pod does before it dies.
func busy(ctx context.Context, l *life, s *store.Store) {
	for range 2 {
		l.transact(ctx, s)
		l.transact(ctx, s)
		if ctx.Err() != nil {
			return
		}
		_, _ = s.Checkpoint(ctx)
	}
	l.transact(ctx, s)
}

// check is what the last life does: everything that was acknowledged is there,
// nothing by halves; and its next checkpoint shows it to everybody.
func check(ctx context.Context, l *life, s *store.Store) {
	got, err := s.Transact(ctx, store.Transaction{Statements: []store.Statement{
		{Op: store.OpGet, Table: "x", Key: "last"}, {Op: store.OpGet, Table: "y", Key: "last"},
	}})
	if err != nil {
		l.ledger.breach("TheStoreGoesOn", "a read: %v", err)
		return
	}
	x, y := string(got.Results[0].Row), string(got.Results[1].Row)
	var last struct{ N int }
	if x != "" {
		_ = json.Unmarshal([]byte(x), &last)
	}
	switch {
	case x != y:
		l.ledger.breach("AllOrNothing", "a transaction by halves: x has %s, y has %s", x, y)
	case last.N < l.acked || last.N > l.sent:
		l.ledger.breach("AcknowledgedIsNeverLost", "transaction %d was acknowledged, %d sent, the pod has %d", l.acked, l.sent, last.N)
	}
	for n := 1; n <= l.sent; n++ {
		got, err := s.Transact(ctx, store.Transaction{Statements: []store.Statement{{Op: store.OpGet, Table: "x", Key: fmt.Sprintf("t%d", n)}}})
		if err == nil && got.Results[0].Found {
			l.rows++
		} else if l.all.has(n) {
			l.ledger.breach("AcknowledgedIsNeverLost", "transaction %d was acknowledged, and is gone from under %d (%v)", n, last.N, err)
		}
	}
	l.transact(ctx, s)
	if _, err := s.Checkpoint(ctx); err != nil || l.acked != l.sent {
		l.ledger.breach("TheStoreGoesOn", "the next transaction and checkpoint: %v", err)
	}
}

// inRoot checks what readers of the root see behind the last checkpoint.
func (l *life) inRoot(ctx context.Context, p *Process) {
	d, err := store.OpenDump(ctx, p.Bucket(), p.NewID, "pod-0.x", "pod-0.y")
	if err != nil {
		l.ledger.breach("AReaderFindsWhatIsNamed", "%v", err)
		return
	}
	want, n := fmt.Sprintf(`{"n":%d}`, l.acked), 0
	for r, err := range d.Rows(ctx) {
		if err != nil || r.Key == "last" && string(r.Row) != want {
			l.ledger.breach("AReaderFindsWhatIsNamed", "%s %s is %s, want %s (%v)", r.Table, r.Key, r.Row, want, err)
		}
		n++
	}
	if want := l.rows + 3; n != want { // one more was made, and its number is in two rows
		l.ledger.breach("AReaderFindsWhatIsNamed", "%d rows, want %d", n, want)
	}
}

// live runs one life on a pod.
func (x *Pods) live(on pod, name string, at Point, work func(context.Context, *life, *store.Store), more ...Actor) (*life, result) {
	l := &life{name: name, point: at, work: work, pod: on, lives: on.disk.Killed()}
	st := *on.State
	l.State = &st
	res := run(x.t, x.clock, on.State, Leg{Name: name, Point: at}, append([]Actor{l.actor()}, more...), &script{}, false, func(w *World) { l.ledger = w.ledger })
	l.fired = l.fired || res.fired
	l.State = res.end
	return l, res
}

// Pods explores the reference store with its own log.
type Pods struct {
	Totals
	Failed string

	t     *testing.T
	clock *clock
	seen  map[Digest]bool
}

// found reports whether a run broke a law, and keeps its story.
func (x *Pods) found(what string, res result) bool {
	if len(res.end.ledger.Breaches) > 0 && x.Failed == "" {
		x.Failed = fmt.Sprintf("%s: %v\n%s", what, res.end.ledger.Breaches, res.trace)
	}
	return x.Failed != ""
}

// ExplorePods kills a pod at every durable write of its disk and its bucket, cuts
// the power or not, and the recovery, and the next life, which is killed too (one of
// share of them); the last life has everything.
func ExplorePods(t *testing.T, share int) *Pods {
	t.Helper()
	x := &Pods{t: t, clock: &clock{t: epoch}, seen: map[Digest]bool{}, Totals: Totals{Seen: map[Digest]bool{}}}
	first := pod{State: origin(t, x.clock, 1), disk: logtest.New()}
	dry, res := x.live(first, "POD1", Point{}, busy)
	if dry.err != nil || dry.acked != 5 {
		t.Fatalf("a calm life: %v, %d acknowledged\n%s", dry.err, dry.acked, res.trace)
	}
	x.deaths(first, "POD1", busy, dry, res, func(l *life, what string, img image) {
		next := l.pod
		next.disk = img.of(l.lives)
		x.after(next, what, share)
	})
	return x
}

// deaths lets a life end at each of its durable writes, in each way.
func (x *Pods) deaths(on pod, name string, work func(context.Context, *life, *store.Store), dry *life, dryRes result, then func(*life, string, image)) {
	for _, of := range []struct {
		process string
		writes  int
	}{{"disk", dry.wrote}, {name, dryRes.writes[name]}} {
		for n := 1; n <= of.writes && x.Failed == ""; n++ {
			for _, m := range []Moment{Before, Unacknowledged, Torn} {
				at := Point{of.process, n, m}
				l, res := x.live(on, name, at, work)
				if m == Torn && !l.fired {
					continue
				}
				x.Windows++
				if l.fired {
					x.Crossed++
				}
				what := fmt.Sprintf("%s dies at write %d of %s, %s", name, n, of.process, m)
				if x.found(what, res) {
					return
				}
				for _, img := range images {
					then(l, what+", "+img.name, img)
				}
			}
		}
	}
}

// after is the recovery and the next lives.
func (x *Pods) after(p pod, what string, share int) {
	d := exact(p.State.disk, p.text())
	if x.seen[d] || x.Failed != "" {
		return
	}
	x.seen[d] = true
	x.count(p)
	p.now = epoch.Add(200 * time.Hour)
	op := run(x.t, x.clock, p.State, Leg{Name: "recovery"}, []Actor{Recovers("R8", dead)}, &script{}, true)
	for i, end := range append(op.snaps, op.end) {
		next := p
		next.State = end
		x.count(next)
		story := fmt.Sprintf("%s; recovery up to write %d of %d", what, i+1, len(op.snaps))
		if i < len(op.snaps) { // it was killed: another one
			again := run(x.t, x.clock, end, Leg{Name: "recovery"}, []Actor{Recovers("R9", dead)}, &script{}, false)
			next.State = again.end
		}
		last, res := x.live(next, "POD9", Point{}, check)
		if !last.served {
			last.State.ledger.breach("TheStoreGoesOn", "the next life does not serve: %v", last.err)
		}
		if x.found(story, res) {
			return
		}
		end := run(x.t, x.clock, last.State, Leg{Name: "end"}, []Actor{{"E1", func(ctx context.Context, p *Process) {
			l := *last
			l.State = &State{ledger: p.w.ledger}
			l.inRoot(ctx, p)
			(&judge{p, p.w.ledger}).finish(ctx, func() {})
		}}}, &script{}, false)
		if x.found(story+"; the next life; the end", end) {
			return
		}
	}
	if int(d[0])%share == 0 && what != "" { // the next life dies too, before anybody recovers
		dry, res := x.live(p, "POD2", Point{}, busy)
		x.deaths(p, "POD2", busy, dry, res, func(l *life, then string, img image) {
			next := l.pod
			next.disk = img.of(l.lives)
			if int(exact(next.State.disk, next.text())[1])%share == 0 {
				x.after(next, what+"; "+then, 1<<30)
			}
		})
	}
}

func (x *Pods) count(p pod) {
	x.States++
	x.Seen[distinct(p.State.disk, p.text())] = true
}

// text is what the digests of the bucket do not cover.
func (p pod) text() string {
	s := fmt.Sprintf("%d/%d %s", p.acked, p.sent, p.ledger.promises())
	for _, path := range p.disk.Files() {
		s += fmt.Sprintf("%s %x\n", path, p.disk.Bytes(path))
	}
	return s
}
