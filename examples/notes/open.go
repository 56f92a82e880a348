// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package notes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/recorder"
)

// Options says what a store is. All of it is required.
type Options struct {
	// Dir is the data directory. It outlives the process.
	Dir string
	// Writer is the store's name, the same across restarts: a pod's name, usually.
	Writer manifest.WriterID
	// Process is this process's own id, and NewID returns fresh ones: ULIDs.
	Process manifest.ProcessID
	NewID   func() string
	// NewLogID returns an id for a log that is begun.
	NewLogID func() [16]byte
	// Root is the bucket that the pods of the store share.
	Root objstore.Bucket
	// Every is the time between two checkpoints.
	Every time.Duration
}

// Open starts the store. The order matters: each step relies on the one before.
func Open(ctx context.Context, opt Options) (_ *Notes, err error) {
	n := &Notes{opt: opt, notes: map[string]string{}, nudge: make(chan struct{}, 1)}
	// 1. The directory is ours alone: a second process on it ends here.
	n.log, err = log.Open(filepath.Join(opt.Dir, "log"), log.Options{NewID: opt.NewLogID})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.log.Close())
		}
	}()
	// 2. The root keeps its promises, and a new epoch ends that of the process before.
	if err := n.register(ctx); err != nil {
		return nil, err
	}
	// 3. What the root has.
	covered, err := n.load(ctx)
	if err != nil {
		return nil, err
	}
	// 4. And what only the log has. No position that the root knows is given again.
	if first := n.log.First(); first > covered+1 {
		return nil, fmt.Errorf("the root covers position %d, and the log begins with %d: what lies between is nowhere", covered, first)
	}
	if err := n.log.Recover(covered+1, n.replay); err != nil {
		return nil, err
	}
	n.rec = recorder.New(n.log)
	return n, nil
}

// register makes an empty root a store, and takes a new epoch in it.
func (n *Notes) register(ctx context.Context) (err error) {
	if err := objstore.Probe(ctx, n.opt.Root, "probe/"+n.opt.NewID()+"/"); err != nil {
		return err
	}
	if _, err := manifest.CreateIdentity(ctx, n.opt.Root, n.opt.NewID(), n.opt.NewID(), nil); err != nil {
		return err
	}
	if n.manifest, err = manifest.Open(ctx, n.opt.Root, manifest.Options{NewID: n.opt.NewID}); err != nil {
		return err
	}
	n.writer = recovery.NewWriter(n.manifest, recovery.WriterOptions{
		ID: n.opt.Writer, Process: n.opt.Process, NewID: n.opt.NewID, Changed: n.signal.Notify,
	})
	if err := n.writer.Register(ctx); err != nil {
		return err
	}
	n.heed(n.manifest.View().Lock) // a freeze outlives its pods
	return nil
}

// replay is called with each change in the log, in order.
func (n *Notes) replay(p log.Position, raw []byte) error {
	if p <= n.at {
		return nil // the pinned version has it
	}
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	n.apply(p, e)
	return nil
}

// Close ends the store in order. What no checkpoint has published is in the log.
func (n *Notes) Close() error {
	n.writing.Lock()
	defer n.writing.Unlock()
	return n.log.Close()
}
