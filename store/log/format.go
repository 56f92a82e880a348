// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// Position is a record's place in the log. The first record has position 1; 0 is
// the place before it.
type Position uint64

// MaxRecord is the largest body, in bytes. It is part of the format: a longer
// frame is a damaged one.
const MaxRecord = 16 << 20

const (
	magic      = "salvorL1"
	headerSize = 8 + 16 + 8 + 8 + 4
	frameSize  = 4 + 4 + 8 + 8
	suffix     = ".log"
	tempSuffix = ".tmp"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header begins a segment.
type header struct {
	id [16]byte
	// first is the position of the segment's first record; follows the last one
	// before it: first-1, unless positions were skipped on purpose.
	first, follows Position
}

func (h header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = append(b, h.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.first))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.follows))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeHeader(b []byte) (header, error) {
	var h header
	switch {
	case len(b) < headerSize:
		return h, errors.New("the segment's header is cut off")
	case string(b[:len(magic)-1]) != magic[:len(magic)-1]:
		return h, errors.New("this is no segment of a log")
	case string(b[:len(magic)]) != magic:
		return h, fmt.Errorf("the segment has format %q, this salvor reads %q: upgrade salvor", b[len(magic)-1], magic[len(magic)-1])
	case binary.LittleEndian.Uint32(b[headerSize-4:]) != crc32.Checksum(b[:headerSize-4], castagnoli):
		return h, errors.New("the checksum of the segment's header is wrong")
	}
	copy(h.id[:], b[8:24])
	h.first = Position(binary.LittleEndian.Uint64(b[24:]))
	h.follows = Position(binary.LittleEndian.Uint64(b[32:]))
	if h.first == 0 || h.follows >= h.first {
		return h, fmt.Errorf("position %d cannot follow %d", h.first, h.follows)
	}
	return h, nil
}

// frame is a record as it stands in a segment.
type frame struct {
	position Position
	// durable is the newest position that was safe when the frame was written.
	durable Position
	body    []byte
}

func (f frame) size() int { return frameSize + len(f.body) }

func (f frame) append(b []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.body)))
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.position))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.durable))
	b = append(b, f.body...)
	binary.LittleEndian.PutUint32(b[at+4:], sum(b[at:at+frameSize], f.body))
	return b
}

// sum is the checksum of a frame: everything but the checksum itself.
func sum(head, body []byte) uint32 {
	c := crc32.Checksum(head[:4], castagnoli)
	c = crc32.Update(c, castagnoli, head[8:frameSize])
	return crc32.Update(c, castagnoli, body)
}

// length returns the length that a frame's head claims, and whether it can be one.
func length(head []byte) (int, bool) {
	n := binary.LittleEndian.Uint32(head)
	return int(n), n >= 1 && n <= MaxRecord
}

// errBadFrame: what is there is no frame, or not a whole one.
var errBadFrame = errors.New("bad frame")

// readFrame reads the next frame from r, which has left bytes. io.EOF at the
// very end. The body is fresh; nothing is allocated for a length that cannot be.
func readFrame(r io.Reader, left int64) (frame, error) {
	if left == 0 {
		return frame{}, io.EOF
	}
	var head [frameSize]byte
	if left < frameSize {
		return frame{}, errBadFrame
	}
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n, ok := length(head[:])
	if !ok || int64(n) > left-frameSize {
		return frame{}, errBadFrame
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return frame{}, err
	}
	return checkFrame(head[:], body)
}

func checkFrame(head, body []byte) (frame, error) {
	if binary.LittleEndian.Uint32(head[4:]) != sum(head, body) {
		return frame{}, errBadFrame
	}
	return frame{
		position: Position(binary.LittleEndian.Uint64(head[8:])),
		durable:  Position(binary.LittleEndian.Uint64(head[16:])),
		body:     body,
	}, nil
}

// acknowledgedBehind looks through what lies behind a bad frame for a frame that
// proves that position p was acknowledged.
func acknowledgedBehind(rest []byte, p Position) (at int, proof frame, found bool) {
	for i := 0; i+frameSize < len(rest); i++ {
		head := rest[i : i+frameSize]
		n, ok := length(head)
		if !ok || n > len(rest)-i-frameSize {
			continue
		}
		// Cheap tests before the checksum: one over megabytes at every byte of garbage
		// would never end.
		position, durable := Position(binary.LittleEndian.Uint64(head[8:])), Position(binary.LittleEndian.Uint64(head[16:]))
		if durable < p || position <= durable || position-p > 1<<32 {
			continue
		}
		if f, err := checkFrame(head, rest[i+frameSize:i+frameSize+n]); err == nil {
			return i, f, true
		}
	}
	return 0, frame{}, false
}

func segmentName(first Position) string { return fmt.Sprintf("%020d%s", uint64(first), suffix) }

// isSegment reports whether name is that of a segment; its header says which.
func isSegment(name string) bool {
	return strings.HasSuffix(name, suffix) && len(name) == 20+len(suffix)
}
