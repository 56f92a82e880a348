// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package notes

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log"
)

// snapshot is the object of a version: all notes at one position. Above 8 MiB it would
// have to be split, as package store does.
type snapshot struct {
	Store     string               `json:"store"`
	Table     manifest.TableID     `json:"table"`
	Number    uint64               `json:"number"`
	Operation manifest.OperationID `json:"operation"`
	Epoch     manifest.Epoch       `json:"epoch"`
	Position  log.Position         `json:"position"`
	Notes     map[string]string    `json:"notes"`
}

const (
	kind   = "notes"
	format = 1
)

// table is this writer's own: no other writer publishes it.
func (n *Notes) table() manifest.TableID { return manifest.TableID(n.opt.Writer + ".notes") }

// Checkpoint publishes what has changed, and cuts the log behind it. When it fails, what
// it should have published is in the log, and goes out with the next one.
func (n *Notes) Checkpoint(ctx context.Context) error {
	n.mu.RLock()
	at, notes := n.at, maps.Clone(n.notes)
	n.mu.RUnlock()
	if at == n.published() {
		return nil
	}
	_, err := n.writer.Commit(ctx, recovery.Operation{Kind: recovery.KindCheckpoint, Changes: []recovery.Change{{
		Table: n.table(), Position: manifest.Position(at),
		Write: func(ctx context.Context, v recovery.TableVersion) (digest string, err error) {
			return n.write(ctx, v, snapshot{
				Store: n.manifest.Identity().UID, Table: v.Table, Number: v.Number, Operation: v.Operation, Epoch: v.Epoch,
				Position: at, Notes: notes,
			})
		},
	}}})
	if err != nil {
		return err
	}
	n.signal.Notify()
	// Read it back before anything is cut, and note in the log what it covers.
	if _, err := n.read(ctx, n.manifest.View().Tables[n.table()]); err != nil {
		return err
	}
	if err := n.rec.Checkpoint(at); err != nil {
		return err
	}
	return n.rec.Truncate(at)
}

// published is the position that the newest published version covers.
func (n *Notes) published() log.Position {
	return log.Position(n.manifest.View().Tables[n.table()].Position)
}

// write creates the object. Its name carries the operation, so nobody else makes it, and
// Settle tells what became of a put whose answer was lost.
func (n *Notes) write(ctx context.Context, v recovery.TableVersion, s snapshot) (digest string, err error) {
	raw, err := envelope.Encode(kind, format, s)
	if err != nil {
		return "", err
	}
	own, _, err := objstore.Settle(ctx, n.opt.Root, v.Object, raw, string(v.Operation), objstore.Patience{})
	if err != nil {
		return "", err
	}
	if !own {
		return "", fmt.Errorf("object %s is there with other bytes", v.Object)
	}
	h, _, err := envelope.ParseHeader(raw)
	return h.Digest, err
}

// load takes over what the manifest pins, and returns the position that it covers.
func (n *Notes) load(ctx context.Context) (log.Position, error) {
	pin, ok := n.manifest.View().Tables[n.table()]
	if !ok {
		return 0, nil // nothing was published yet
	}
	s, err := n.read(ctx, pin)
	if err != nil {
		return 0, err
	}
	n.notes, n.at = s.Notes, s.Position
	return s.Position, nil
}

// read reads a version, and checks that it is the one that the manifest names.
func (n *Notes) read(ctx context.Context, pin manifest.Pin) (s snapshot, err error) {
	key := manifest.TableKey(n.table(), pin.Number, pin.Operation)
	o, err := n.opt.Root.Get(ctx, key)
	if err != nil {
		return s, err
	}
	if _, err := envelope.Decode(kind, format, o.Body, &s); err != nil { // newer, cut or altered
		return s, fmt.Errorf("%s: %w", key, err)
	}
	if h, _, err := envelope.ParseHeader(o.Body); err != nil || h.Digest != pin.Digest || s.Operation != pin.Operation {
		return s, fmt.Errorf("%s is not what was published", key)
	}
	return s, nil
}

// look reads the manifest: somebody may have ended this process's epoch, or taken the
// write lock. manifest.ErrSuperseded says that a newer process has this name: exit.
func (n *Notes) look(ctx context.Context) error {
	st, err := n.manifest.Latest(ctx)
	if err == nil && st.Lock != nil {
		_, err = n.manifest.Expire(ctx, manifest.Publisher{ // it ends though its holder is gone
			Role: manifest.RoleWriter, Process: n.opt.Process, Writer: n.opt.Writer, Epoch: n.writer.Epoch(),
		})
	}
	if err == nil || errors.Is(err, manifest.ErrFenced) {
		st, err = n.manifest.View(), nil
	}
	if err == nil && st.Writers[n.opt.Writer] != n.writer.Epoch() {
		err = n.writer.Register(ctx)
	}
	if err != nil {
		return err
	}
	n.heed(n.manifest.View().Lock)
	return nil
}
