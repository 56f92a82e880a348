// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
)

// Actor is a process with its work.
type Actor struct {
	Name string
	Work func(ctx context.Context, p *Process)
}

// Wish is what a client wants: tables to have a content, in one step. An empty
// content drops the table. A wish is issued again only when it failed for certain.
type Wish struct {
	Name string
	Kind recovery.WriterKind // default: checkpoint
	// Tables in order.
	Tables []Content
}

// Content of one table. Fails: writing it does not work.
type Content struct {
	Table, Text string
	Fails       bool
}

const (
	poll  = time.Second
	await = 2 * time.Second
	tries = 4 // of whatever an actor does again
)

func (p *Process) manifest(ctx context.Context) (*manifest.Store, error) {
	opt := manifest.Options{NewID: p.NewID, Now: p.Now, Sleep: p.Sleep, Resolve: await, CheckpointEvery: 4}
	for {
		s, err := manifest.Open(ctx, p.Bucket(), opt)
		if !errors.Is(err, ErrLost) {
			return s, err
		}
	}
}

var keys = map[string][]byte{"k1": []byte("0123456789abcdef0123456789abcdef"), "current": []byte("k1")}

func keyring() *audit.Keyring {
	k, err := audit.NewKeyring(keys)
	if err != nil {
		panic(err)
	}
	return k
}

func (p *Process) recoverer(ctx context.Context) (*recovery.Recoverer, *manifest.Store, error) {
	m, err := p.manifest(ctx)
	if err != nil {
		return nil, nil, err
	}
	trail, err := audit.Open(p.Bucket(), "main", keyring(), audit.Options{Recoverer: string(p.ID()), Now: p.Now, NewAttempt: p.NewID, Wait: p.Sleep})
	if err != nil {
		return nil, nil, err
	}
	return recovery.NewRecoverer(m, trail, recovery.RecovererOptions{
		Process: p.ID(), Now: p.Now, Sleep: p.Sleep, Formats: map[recovery.WriterKind]recovery.Format{recovery.KindForeign: p.log()},
	}), m, nil
}

// Writes is a process of writer id that makes the wishes come true, one after the
// other: the client of docs/protocol.md. A process that was fenced registers again; one
// that was superseded ends.
func Writes(name, id string, wishes ...Wish) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		wr, err := p.writer(ctx, id)
		if err != nil {
			return
		}
		for _, w := range wishes {
			p.wish(ctx, wr, w)
		}
		p.speaks("", nil)
	}}
}

// WritesAtOnce is as Writes, with all wishes at the same time: they share publications.
func WritesAtOnce(name, id string, wishes ...Wish) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		wr, err := p.writer(ctx, id)
		if err != nil {
			return
		}
		var all sync.WaitGroup
		for i, w := range wishes {
			all.Go(func() { p.wish(context.WithValue(ctx, threadKey{}, i+1), wr, w) })
		}
		all.Wait()
		p.speaks("", nil)
	}}
}

func (p *Process) writer(ctx context.Context, id string) (*recovery.Writer, error) {
	m, err := p.manifest(ctx)
	if err != nil {
		return nil, err
	}
	wr := recovery.NewWriter(m, recovery.WriterOptions{
		ID: manifest.WriterID(id), Process: p.ID(), NewID: p.NewID, Now: p.Now, Sleep: p.Sleep, Await: await, Poll: poll,
	})
	p.speaks(manifest.WriterID(id), func() maintenance.Word {
		st := m.View()
		word := maintenance.Word{Process: p.ID(), Epoch: wr.Epoch().Number, Manifest: st.Version}
		if st.Lock != nil {
			word.Lock = st.Lock.Owner
		}
		for _, op := range wr.Open() {
			word.Open = append(word.Open, string(op))
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		word.InFlight = p.busy
		return word
	})
	return wr, p.register(ctx, wr)
}

// speaks makes the process answer at its control port, as this writer; nil: it has ended.
func (p *Process) speaks(id manifest.WriterID, word func() maintenance.Word) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.id, p.word = id, word
}

// works counts the commits whose client has no answer yet.
func (p *Process) works(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy += n
}

func (p *Process) register(ctx context.Context, wr *recovery.Writer) (err error) {
	for range tries {
		if err = wr.Register(ctx); err == nil {
			p.registered(wr.Epoch())
			return nil
		}
		if errors.Is(err, manifest.ErrSuperseded) || p.Dead() {
			return err
		}
	}
	return err
}

// registered checks what a process was told: its epoch stands in the line.
func (p *Process) registered(e manifest.Epoch) {
	if l := p.w.ledger; l != nil && !p.Dead() {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		if !l.given[e] {
			l.breach("AnEpochIsTakenOnce", "%s was told that it has epoch %s, and no publication gives it", p.Name, e)
		}
	}
}

// wish commits, and again under a new id as long as it was told that it failed.
func (p *Process) wish(ctx context.Context, wr *recovery.Writer, w Wish) {
	for range tries {
		err := p.commit(ctx, wr, w)
		var required *recovery.RequiredError
		var locked *manifest.LockedError
		switch {
		case p.Dead(), err == nil, errors.Is(err, manifest.ErrUnknown):
			return
		case errors.Is(err, recovery.ErrFailed), errors.Is(err, manifest.ErrFenced):
			if p.register(ctx, wr) != nil { // it may have been fenced
				return
			}
		case errors.As(err, &required), errors.As(err, &locked), errors.Is(err, ErrLost):
			if required != nil {
				p.waits(wr, required.Operation)
			}
			if p.Sleep(ctx, poll) != nil {
				return
			}
		default:
			return
		}
	}
}

// commit commits once, and passes on what it hears.
func (p *Process) commit(ctx context.Context, wr *recovery.Writer, w Wish) error {
	p.works(1)
	defer p.works(-1)
	r, err := wr.Commit(ctx, p.operation(w))
	switch {
	case p.Dead(): // what it heard, nobody else did
	case err == nil:
		p.tell(r.Operation, toldPublished, r.Version)
	case errors.Is(err, recovery.ErrFailed):
		p.tell(r.Operation, toldFailed, 0)
	}
	return err
}

// waits checks what a writer is told to wait for. Its own leftovers it removes, or says
// that it cannot finish them: nobody else is going to. One that recovery has removed
// meanwhile is none: another thread of the process may have seen that first.
func (p *Process) waits(wr *recovery.Writer, op manifest.OperationID) {
	if l := p.w.ledger; l != nil {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		if _, err := p.w.Disk.Get(always, recovery.SidecarKey(op)); errors.Is(err, objstore.ErrNotFound) {
			return
		}
		o := l.ops[op]
		switch {
		case o.plan == nil || o.plan.Epoch.Process != p.ID() || slices.Contains(wr.Open(), op) || slices.Contains(wr.Abandoned(), op):
		case o.outcome != "" && o.by.Process == p.ID():
			l.breach("NobodyWaitsForHimself", "%s waits for %s, which it decided itself in %d", p.Name, op, o.version)
		default:
			l.breach("NobodyWaitsForHimself", "%s waits for %s, which is its own, and tells nobody that it has given it up", p.Name, op)
		}
	}
}

func (p *Process) tell(op manifest.OperationID, what told, v manifest.Version) {
	if l := p.w.ledger; l != nil {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		l.tell(op, what, v)
	}
}

// log is the tables whose readers follow their head.
func (p *Process) log() *commitlog.Log {
	return commitlog.New(p.Bucket(), objstore.Patience{Bound: await, Now: p.Now, Sleep: p.Sleep})
}

// seen is a change of a table whose readers follow its head. Its writer knows the head:
// it is asked past the scheduler.
func (p *Process) seen(w Wish, c Content) recovery.Change {
	change := recovery.Change{Table: manifest.TableID(c.Table)}
	if head, err := commitlog.New(p.w.Disk, objstore.Patience{}).Read(always, change.Table); err == nil && head.Gone {
		change.Head = head.Ref()
	}
	write := p.log().Write(c.Text)
	change.Write = func(ctx context.Context, v recovery.TableVersion) (string, error) {
		if l := p.w.ledger; l != nil {
			p.w.mu.Lock()
			l.intends(v.Operation, w.Name)
			p.w.mu.Unlock()
		}
		return write(ctx, v)
	}
	return change
}

func (p *Process) operation(w Wish) recovery.Operation {
	op := recovery.Operation{Kind: w.Kind}
	if op.Kind == "" {
		op.Kind = recovery.KindCheckpoint
	}
	for _, c := range w.Tables {
		if recovery.TraitsOf(op.Kind).Visible {
			op.Changes = append(op.Changes, p.seen(w, c))
			continue
		}
		if c.Text == "" && !c.Fails {
			op.Changes = append(op.Changes, recovery.Change{Table: manifest.TableID(c.Table), Drop: true})
			continue
		}
		op.Changes = append(op.Changes, recovery.Change{Table: manifest.TableID(c.Table), Write: func(ctx context.Context, v recovery.TableVersion) (string, error) {
			if l := p.w.ledger; l != nil {
				p.w.mu.Lock()
				l.intends(v.Operation, w.Name)
				p.w.mu.Unlock()
			}
			if c.Fails {
				return "", errors.New("the table cannot be written")
			}
			raw, err := envelope.Encode("table", 1, c.Text)
			if err != nil {
				return "", err
			}
			h, _, err := envelope.ParseHeader(raw)
			if err != nil {
				return "", err
			}
			// The name carries the operation: what is there is its own.
			for range tries {
				var res objstore.PutResult
				if res, err = p.Bucket().PutIfAbsent(ctx, v.Object, raw, string(v.Operation)); res.Outcome == objstore.Created || res.Outcome == objstore.Exists {
					return h.Digest, nil
				}
			}
			return "", err
		}})
	}
	return op
}

// wish is one that gives each table a content of its own.
func wish(name string, tables ...string) Wish {
	w := Wish{Name: name}
	for _, t := range tables {
		w.Tables = append(w.Tables, Content{Table: t, Text: fmt.Sprintf("%s of %s", t, name)})
	}
	return w
}
