// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Frame is one as a test forges it: well formed, and saying anything.
type Frame struct {
	Kind              uint8
	Event             int
	Position, Durable Position
	Body              string
}

// The kinds, by the words of doc.go.
const (
	Whole, Begin, Event, Commit, Note = uint8(kindWhole), uint8(kindBegin), uint8(kindEvent), uint8(kindCommit), uint8(kindCheckpoint)
)

// Covers is the body of a checkpoint.
func Covers(p Position) string { return string(checkpointBody(p)) }

// Forge returns a segment of log id with one flush for each list of frames.
func Forge(id byte, first, follows, checkpoint Position, flushes ...[]Frame) []byte {
	const block = 64
	h := header{id: [16]byte{id}, first: first, follows: follows, incarnation: uint64(first), checkpoint: checkpoint, block: block}
	out := make([]byte, block)
	copy(out, h.encode())
	for _, frames := range flushes {
		b := &batch{block: block}
		for _, f := range frames {
			b.put(kind(f.Kind), f.Event, f.Position, []byte(f.Body), crc32.Checksum([]byte(f.Body), castagnoli))
		}
		b.seal(0, h.seed)
		for i, at := range b.heads { // each with its own word
			head := b.buf[at : at+frameSize]
			head[8] &^= byte(ends)
			binary.LittleEndian.PutUint32(head, crc32.Checksum([]byte(frames[i].Body), castagnoli))
			sealHead(head, frames[i].Durable, i == len(b.heads)-1, h.seed)
		}
		out = append(out, b.buf...)
	}
	return out
}

// DecodeFrames walks a segment's bytes as Recover does, and returns what it met.
func DecodeFrames(raw []byte) (n int, err error) {
	sc := &scanner{reader: newReader(bytes.NewReader(raw), int64(len(raw))), path: "fuzz"}
	h, err := sc.begin()
	if err != nil {
		return 0, err
	}
	sc.last, sc.checkpoint, sc.good = h.first-1, h.checkpoint, sc.at
	_, err = sc.transactions(func(_ Position, body []byte) error {
		if len(body) == 0 || len(body) > MaxRecord {
			return fmt.Errorf("an event of %d bytes", len(body))
		}
		n++
		return nil
	}, nil)
	if err != nil {
		return n, err
	}
	return n, sc.torn(sc.at)
}
