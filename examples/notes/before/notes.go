// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package before is a store as many programs have one: a map behind a mutex, and a JSON
// file that is written anew with every change. Package notes is what becomes of it.
package before

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
)

// Notes are texts by key.
type Notes struct {
	path string

	mu    sync.Mutex
	notes map[string]string
}

// Open reads the file; one that is not there is empty.
func Open(path string) (*Notes, error) {
	n := &Notes{path: path, notes: map[string]string{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return nil, err
	}
	return n, json.Unmarshal(raw, &n.notes)
}

// Put sets a note.
func (n *Notes) Put(key, text string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes[key] = text
	raw, err := json.Marshal(n.notes)
	if err != nil {
		return err
	}
	return os.WriteFile(n.path, raw, 0o600) // a crash in the middle leaves half of everything
}

// Get returns a note.
func (n *Notes) Get(key string) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text, ok := n.notes[key]
	return text, ok
}
