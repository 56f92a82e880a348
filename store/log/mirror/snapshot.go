// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"io"

	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/store/log"
)

// Snapshot is the embedder's state at a position that is durable in its log. Write is
// called once, with a writer that may be slow; what it writes is opaque here.
type Snapshot struct {
	Position log.Position
	Write    func(io.Writer) error
}

// snap makes a snapshot and reads it back. In turn.
//
//	parts                  crash: litter, which the next process removes
//	ranges up to it        so that the end of the history is that of its ranges
//	snapshot/...           crash: it counts
//	all of it read back    then what it replaces may go
func (m *Mirror) snap(ctx context.Context) error {
	s := m.opt.Snapshot()
	if s.Position <= m.newest(m.opt.Covered()).at || s.Position <= m.tried {
		return nil // no name is used twice
	}
	m.tried = s.Position
	n := SnapshotName{Position: s.Position, Epoch: m.opt.Epoch}
	o := snapshotObject{Store: m.opt.Store, Writer: m.opt.Writer, Epoch: n.Epoch, Process: m.opt.Process, Position: n.Position}
	w := &partWriter{size: m.opt.PartSize, put: func(body []byte) error {
		p := part{Digest: envelope.Digest(body), Bytes: int64(len(body))}
		key := partKey(n.Key(m.opt.Writer), p.Digest)
		m.litter = append(m.litter, key) // until the snapshot names it
		m.request(1)
		if err := put(ctx, m.opt.Bucket, m.patience(), key, body, m.opt.Process); err != nil {
			return err
		}
		o.Parts, o.Bytes = append(o.Parts, p), o.Bytes+p.Bytes
		return nil
	}}
	err := s.Write(w)
	if err == nil {
		err = w.flush()
	}
	if err == nil {
		err = m.ship(ctx, n.Position)
	}
	if err != nil {
		return err
	}
	raw, err := envelope.Encode(snapshotKind, SnapshotFormat, &o)
	if err != nil {
		return err
	}
	// From here on the parts are the snapshot's, also if nobody knows whether it is there.
	held := heldShot{name: n, bytes: o.Bytes + int64(len(raw))}
	for _, p := range o.Parts {
		key := partKey(n.Key(m.opt.Writer), p.Digest)
		held.parts = append(held.parts, key)
		m.removed(key, m.opt.Writer)
	}
	m.shots = append(m.shots, held)
	m.request(1)
	if err := put(ctx, m.opt.Bucket, m.patience(), n.Key(m.opt.Writer), raw, m.opt.Process); err != nil {
		return err
	}
	_, err = m.prove(ctx)
	return err
}

// partWriter cuts what is written into parts of one size.
type partWriter struct {
	size int
	buf  []byte
	put  func([]byte) error
}

// Write implements io.Writer.
func (w *partWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	for len(w.buf) >= w.size {
		if err := w.put(w.buf[:w.size]); err != nil {
			return 0, err
		}
		w.buf = append(w.buf[:0], w.buf[w.size:]...)
	}
	return len(b), nil
}

// flush puts the rest.
func (w *partWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	return w.put(w.buf)
}
