// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"io"
)

// ahead reads a file while what was read before is looked at: the disk and the checksums
// do not wait for each other. Its memory is a few pieces.
type ahead struct {
	full    chan piece
	free    chan []byte
	stop    chan struct{}
	stopped chan struct{}
	rest    []byte // of the piece that is being handed out
	now     piece
}

type piece struct {
	b   []byte
	err error // behind b
}

const (
	pieces    = 3
	pieceSize = 1 << 20
)

func newAhead(in io.Reader) *ahead {
	a := &ahead{full: make(chan piece, pieces), free: make(chan []byte, pieces), stop: make(chan struct{}), stopped: make(chan struct{})}
	for range pieces {
		a.free <- make([]byte, pieceSize)
	}
	go a.read(in)
	return a
}

func (a *ahead) read(in io.Reader) {
	defer close(a.stopped)
	for {
		var b []byte
		select {
		case b = <-a.free:
		case <-a.stop:
			return
		}
		n, err := io.ReadFull(in, b[:pieceSize])
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		a.full <- piece{b[:n], err} // there is room: there are no more pieces than that
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (a *ahead) Read(b []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.b != nil {
			a.free <- a.now.b
		}
		a.now = <-a.full
		a.rest = a.now.b
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// end returns when nobody reads the file any more.
func (a *ahead) end() {
	close(a.stop)
	<-a.stopped
}
