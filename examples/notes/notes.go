// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package notes is the store of package before, made recoverable: docs/embedding.md goes
// through it step by step. It is the smallest one in Go; package store is a complete one.
//
//	Put          the log, then the map, then the answer         notes.go
//	Open         log, root, epoch, pinned version, replay       open.go
//	Checkpoint   the map, through recovery.Writer, to the root  checkpoint.go
//	Run, Status  what the operator sees, and what it asks for   control.go
package notes

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/recorder"
)

// Notes are texts by key.
type Notes struct {
	opt Options

	mu    sync.RWMutex // guards what follows
	notes map[string]string
	at    log.Position // of the newest change in notes

	// writing is held by whoever changes something: the recorder has one unit of work at
	// a time. Whoever holds it while lock is set has drained the store.
	writing sync.Mutex
	log     *log.Log
	rec     *recorder.Recorder

	manifest *manifest.Store
	writer   *recovery.Writer

	told   sync.Mutex // guards what the status says
	lock   *manifest.Lock
	signal control.Signal
	nudge  chan struct{}
}

// event is a change as it stands in the log.
type event struct {
	Key  string `json:"key"`
	Text string `json:"text"`
}

// Put sets a note. It returns when the change is durable, and visible to Get.
func (n *Notes) Put(key, text string) error {
	n.writing.Lock()
	defer n.writing.Unlock()
	if l := n.held(); l != nil {
		return fmt.Errorf("no writes until %s: %s", l.Until, l.Reason)
	}
	e := event{key, text}
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := n.rec.Arm(); err != nil {
		return err
	}
	if err := n.rec.Record(raw); err != nil {
		return err
	}
	_, err = n.rec.Commit(func(p log.Position) { n.apply(p, e) })
	return err
}

// apply makes a change visible. Commit calls it when the change is in the log, replay when
// it was found there: nothing else changes the map.
func (n *Notes) apply(p log.Position, e event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes[e.Key], n.at = e.Text, p
}

// Get returns a note.
func (n *Notes) Get(key string) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	text, ok := n.notes[key]
	return text, ok
}
