// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store"
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
	waited int // transactions that waited for the end of a lock
	err    error
	p      *Process
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
			Now: p.Now, Sleep: p.Sleep, After: func(d time.Duration) <-chan time.Time { return p.after(ctx, d) },
			SegmentSize: 500, BlockSize: 64, Spares: -1, Await: await, Poll: poll,
		})
		if err != nil {
			l.err = err
			return
		}
		l.p = p
		p.speaks("pod-0", func() maintenance.Word { return says(s.Status()) })
		p.nudge = s.Refresh
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		for !l.served {
			changed := s.Changed()
			st := s.Status()
			if l.served = st.State == control.Serving || st.Lock != ""; l.served {
				break
			}
			select {
			case <-changed:
			case l.err = <-ended:
				l.wrote, l.fired = d.seen()
				return
			}
		}
		l.work(ctx, l, s)
		l.wrote, l.fired = d.seen()
		p.die()
		if err := <-ended; l.err == nil { // what the dead say
			l.err = err
		}
	}}
}

// transact does the next transaction.
func (l *life) transact(ctx context.Context, s *store.Store) {
	l.sent++
	n := l.sent
	row := json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
	began := l.p.Now()
	_, err := s.Transact(ctx, store.Transaction{Statements: []store.Statement{
		{Op: store.OpPut, Table: "x", Key: "last", Row: row},
		{Op: store.OpPut, Table: "y", Key: "last", Row: row},
		{Op: store.OpPut, Table: "x", Key: fmt.Sprintf("t%d", n), Row: row},
	}})
	if err != nil || ctx.Err() != nil {
		return
	}
	l.acked, l.all = n, l.all|1<<n
	if l.p.Now().Sub(began) >= gap {
		l.waited++
	}
	if k := l.ledger.lock; k != nil && k.Mode == manifest.Frozen && strings.HasPrefix(k.Owner, freezes) {
		l.ledger.breach("NobodyIsAnsweredWhileAllIsHeld", "transaction %d was acknowledged, and %s holds the store since %d", n, k.Owner, k.Version)
	}
}

// pause waits between two transactions.
func (l *life) pause(ctx context.Context, d time.Duration) error { return l.p.Sleep(ctx, d) }

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
