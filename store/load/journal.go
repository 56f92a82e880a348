// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
)

// Ack is a transaction that the store has acknowledged.
type Ack struct {
	// Prefix begins the ids of the tables that it wrote: load0, load1, ...
	Prefix string `json:"prefix"`
	Key    string `json:"key"`
	Token  string `json:"token"`
	Seq    uint64 `json:"seq"`
	Of     int    `json:"of"`
	// Position in the store's log.
	Position uint64 `json:"position"`
}

// Journal is a file of acknowledgements, one JSON line each. Many that write at
// the same time share an fsync.
type Journal struct {
	f *os.File

	mu      sync.Mutex
	pending []byte
	round   *round // collects while an fsync runs
	syncing bool
	err     error // set once
}

type round struct{ done chan struct{} }

// OpenJournal opens the file for more lines, and makes it if it is not there.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	return &Journal{f: f, round: &round{done: make(chan struct{})}}, nil
}

// Add returns when the acknowledgement is durable.
func (j *Journal) Add(a Ack) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.pending = append(append(j.pending, line...), '\n')
	mine := j.round
	if j.syncing {
		j.mu.Unlock()
		<-mine.done
		return j.failure()
	}
	j.syncing = true
	for len(j.pending) > 0 && j.err == nil {
		lines, r := j.pending, j.round
		j.pending, j.round = nil, &round{done: make(chan struct{})}
		j.mu.Unlock()
		_, werr := j.f.Write(lines)
		if werr == nil {
			werr = j.f.Sync()
		}
		j.mu.Lock()
		if werr != nil && j.err == nil {
			j.err = fmt.Errorf("file of acknowledgements: %w", werr)
		}
		close(r.done)
	}
	if j.err != nil { // those who came meanwhile wait for a round that nobody runs
		close(j.round.done)
		j.pending, j.round = nil, &round{done: make(chan struct{})}
	}
	j.syncing = false
	j.mu.Unlock()
	return j.failure()
}

func (j *Journal) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Close closes the file.
func (j *Journal) Close() error { return j.f.Close() }

// ReadAcks yields the lines of a file of acknowledgements. A last line without an
// end was cut off by a crash of the load itself: it is passed over.
func ReadAcks(r io.Reader) iter.Seq2[Ack, error] {
	return func(yield func(Ack, error) bool) {
		in := bufio.NewReader(r)
		for n := 1; ; n++ {
			line, err := in.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			var a Ack
			if err == nil {
				err = json.Unmarshal(line, &a)
			}
			if err != nil {
				yield(a, fmt.Errorf("acknowledgement in line %d: %w", n, err))
				return
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}
