// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/store/log"
)

// pending is a range that was read from the log, with the bytes that go out. It is kept
// until it is known to be there: a put whose answer was lost may land later, and nothing
// that overlaps with it may be there then.
type pending struct {
	name  Name
	raw   []byte
	parts [][]byte
	link  Link
	bytes int64
}

// ship mirrors everything up to a position. In turn.
func (m *Mirror) ship(ctx context.Context, upTo log.Position) error {
	for {
		if m.pending == nil {
			if m.next > upTo {
				return nil
			}
			err := m.read()
			var gone *log.TruncatedError
			if errors.As(err, &gone) && m.opt.Covered() >= gone.Earliest-1 {
				m.skip(gone.Earliest - 1) // it was published before it was mirrored, or skipped
				continue
			}
			if err != nil || m.pending == nil {
				return err
			}
		}
		if err := m.send(ctx); err != nil {
			return err
		}
	}
}

// skip passes what the checkpoints cover. In turn.
func (m *Mirror) skip(covered log.Position) {
	m.next, m.tip = covered+1, nil
}

// read makes the next range pending.
func (m *Mirror) read() error {
	if covered := m.opt.Covered(); covered >= m.next {
		m.skip(covered)
	}
	var txs [][][]byte
	c := m.opt.Log.From(m.next)
	err := c.Read(m.opt.RangeSize, func(p log.Position, event []byte) error {
		if p == m.next+log.Position(len(txs)) {
			txs = append(txs, nil)
		}
		last := len(txs) - 1
		txs[last] = append(txs[last], append([]byte(nil), event...))
		return nil
	})
	err = errors.Join(err, c.Close())
	if len(txs) == 0 {
		return err
	}
	last := m.next + log.Position(len(txs)) - 1
	p, perr := m.pack(Name{Epoch: m.opt.Epoch, First: m.next, Last: last}, txs)
	if perr != nil {
		return perr
	}
	m.pending, m.next = p, last+1
	return nil // an error of the log comes again
}

// pack makes the objects of a range.
func (m *Mirror) pack(n Name, txs [][][]byte) (*pending, error) {
	o := rangeObject{
		Store: m.opt.Store, Writer: m.opt.Writer, Epoch: n.Epoch, Process: m.opt.Process,
		First: n.First, Last: n.Last, Transactions: txs,
	}
	if m.tip != nil && m.tip.Last == n.First-1 {
		o.After = m.tip
	}
	p := &pending{name: n}
	var err error
	if p.raw, err = envelope.Encode(rangeKind, RangeFormat, &o); err == nil && len(p.raw) > objstore.MaxObject {
		var all []byte
		if all, err = json.Marshal(txs); err != nil {
			return nil, err
		}
		for o.Transactions = nil; len(all) > 0; {
			body := all[:min(len(all), m.opt.PartSize)]
			o.Parts = append(o.Parts, part{Digest: envelope.Digest(body), Bytes: int64(len(body))})
			p.parts, p.bytes, all = append(p.parts, body), p.bytes+int64(len(body)), all[len(body):]
		}
		p.raw, err = envelope.Encode(rangeKind, RangeFormat, &o)
	}
	if err != nil {
		return nil, err
	}
	h, _, err := envelope.ParseHeader(p.raw)
	p.link, p.bytes = Link{Epoch: n.Epoch, First: n.First, Last: n.Last, Digest: h.Digest}, p.bytes+int64(len(p.raw))
	return p, err
}

// send puts what is pending, its parts first.
func (m *Mirror) send(ctx context.Context) error {
	p := m.pending
	key := p.name.Key(m.opt.Writer)
	for _, body := range p.parts {
		m.request(1)
		if err := put(ctx, m.opt.Bucket, m.patience(), partKey(key, envelope.Digest(body)), body, m.opt.Process); err != nil {
			return err
		}
	}
	m.request(1)
	if err := put(ctx, m.opt.Bucket, m.patience(), key, p.raw, m.opt.Process); err != nil {
		return err
	}
	held := heldRange{name: p.name, bytes: p.bytes}
	for _, body := range p.parts {
		held.parts = append(held.parts, partKey(key, envelope.Digest(body)))
	}
	m.ranges, m.tip, m.pending = append(m.ranges, held), &p.link, nil
	m.count()
	return nil
}
