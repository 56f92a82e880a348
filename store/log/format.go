// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// Position is a transaction's place in the log. The first one has position 1; 0 is
// the place before it.
type Position uint64

// MaxRecord is the largest transaction, in bytes, with the heads of its frames
// behind the first. It is part of the format: a longer frame is a damaged one.
const MaxRecord = 16 << 20

const (
	magic      = "salvorL2"
	headerSize = 8 + 16 + 8 + 8 + 8 + 8 + 4 + 4
	frameSize  = 4 + 4 + 1 + 3 + 8 + 8
	suffix     = ".log"
	tempSuffix = ".tmp"

	// minBlock and maxBlock bound the unit in which a segment is written.
	minBlock, maxBlock = 64, 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kind says what a frame is. The numbers are in the log: they are never given
// another meaning.
type kind uint8

const (
	// kindNone is what unwritten space says.
	kindNone kind = 0
	// kindWhole is a transaction of one event: begin, event and commit in one.
	kindWhole kind = 1
	// kindBegin is the first event of several, kindEvent one behind it, and
	// kindCommit the last one: without it the transaction never happened.
	kindBegin  kind = 2
	kindEvent  kind = 3
	kindCommit kind = 4
	// kindCheckpoint says what a checkpoint elsewhere covers. It has the position of
	// the transaction before it.
	kindCheckpoint kind = 5

	// ends is added to the kind of the last frame of a flush. Behind it, and nowhere
	// else, zeros up to the end of the block are padding: what a disk has lost in the
	// middle of a flush is never taken for it.
	ends kind = 0x80
)

// header begins a segment.
type header struct {
	// version is 1 for a segment of the first format, which is only read.
	version int
	id      [16]byte
	// first is the position of the segment's first transaction; follows the last one
	// before it: first-1, unless positions were skipped on purpose.
	first, follows Position
	// incarnation is larger than that of any file of this log before: what a file
	// held in an earlier use is foreign in this one.
	incarnation uint64
	// checkpoint is the newest one that was known when the segment was begun.
	checkpoint Position
	// block is the unit of a flush, in bytes: a flush begins at a multiple of it.
	block int
	// seed is mixed into the checksum of every frame: the header's own.
	seed uint32
}

// encode returns the header and sets its seed.
func (h *header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = append(b, h.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.first))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.follows))
	b = binary.LittleEndian.AppendUint64(b, h.incarnation)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.checkpoint))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.block))
	h.version, h.seed = 2, crc32.Checksum(b, castagnoli)
	return binary.LittleEndian.AppendUint32(b, h.seed)
}

// headerError is what is wrong with a header.
type headerError struct {
	damage Damage
	why    string
}

func (e *headerError) Error() string { return e.why }

func badHeader(format string, args ...any) error {
	return &headerError{DamagedHeader, fmt.Sprintf(format, args...)}
}

// decodeHeader reads the beginning of a segment, of which raw has headerSize bytes,
// or all that there are.
func decodeHeader(raw []byte) (header, error) {
	const family = len(magic) - 1
	var h header
	switch {
	case len(raw) < len(magic):
		return h, badHeader("the segment's header is cut off")
	case string(raw[:family]) != magic[:family]:
		return h, badHeader("this is no segment of a log")
	case raw[family] == '1':
		return decodeHeader1(raw)
	case string(raw[:len(magic)]) != magic:
		return h, &headerError{NewerFormat, fmt.Sprintf("the segment has format %q, this salvor reads up to %q", raw[family], magic[family])}
	case len(raw) < headerSize:
		return h, badHeader("the segment's header is cut off")
	}
	h.version, h.seed = 2, binary.LittleEndian.Uint32(raw[headerSize-4:])
	if h.seed != crc32.Checksum(raw[:headerSize-4], castagnoli) {
		return h, badHeader("the checksum of the segment's header is wrong")
	}
	copy(h.id[:], raw[8:24])
	h.first = Position(binary.LittleEndian.Uint64(raw[24:]))
	h.follows = Position(binary.LittleEndian.Uint64(raw[32:]))
	h.incarnation = binary.LittleEndian.Uint64(raw[40:])
	h.checkpoint = Position(binary.LittleEndian.Uint64(raw[48:]))
	h.block = int(binary.LittleEndian.Uint32(raw[56:]))
	return h, h.check()
}

// check looks at what a checksum cannot know.
func (h *header) check() error {
	switch {
	case h.first == 0 || h.follows >= h.first:
		return badHeader("position %d cannot follow %d", h.first, h.follows)
	case h.checkpoint > h.follows:
		return &headerError{FutureCheckpoint, fmt.Sprintf("a checkpoint covers position %d, and the log had %d", h.checkpoint, h.follows)}
	case !goodBlock(h.block):
		return badHeader("a block of %d bytes cannot be", h.block)
	}
	return nil
}

func goodBlock(n int) bool { return n >= minBlock && n <= maxBlock && n&(n-1) == 0 }

// frame is one as it stands in a segment. body is a part of what was read.
type frame struct {
	kind  kind
	ends  bool // the flush
	index int  // of the event in its transaction
	// position of the transaction; durable is the newest one that was safe when the
	// frame was written.
	position, durable Position
	body              []byte
}

func (f frame) size() int { return frameSize + len(f.body) }

// putHead begins a frame, in head: everything that is known when it joins a batch.
// Where the checksum will be stands that of the body.
func putHead(head []byte, k kind, index int, p Position, size int, bodySum uint32) {
	binary.LittleEndian.PutUint32(head, bodySum)
	binary.LittleEndian.PutUint32(head[4:], uint32(size))
	binary.LittleEndian.PutUint32(head[8:], uint32(k)|uint32(index)<<8)
	binary.LittleEndian.PutUint64(head[12:], uint64(p))
}

// sealHead ends it, when the segment and what is durable are known, and whether it is
// the last one of its flush.
func sealHead(head []byte, durable Position, last bool, seed uint32) {
	if last {
		head[8] |= byte(ends)
	}
	binary.LittleEndian.PutUint64(head[20:], uint64(durable))
	binary.LittleEndian.PutUint32(head, sum(head, binary.LittleEndian.Uint32(head), seed))
}

// sum is the checksum of a frame: its body's, then everything of its head but the
// checksum itself, and the segment's seed, so that what another use of the file has
// left never fits.
func sum(head []byte, bodySum, seed uint32) uint32 {
	return crc32.Update(bodySum, castagnoli, head[4:frameSize]) ^ seed
}

// decodeFrame reads the frame whose head and body are given; false when the
// checksum is wrong. It does not look at what the frame says.
func decodeFrame(head, body []byte, seed uint32) (frame, bool) {
	if binary.LittleEndian.Uint32(head) != sum(head, crc32.Checksum(body, castagnoli), seed) {
		return frame{}, false
	}
	w := binary.LittleEndian.Uint32(head[8:])
	return frame{
		kind: kind(w) &^ ends, ends: kind(w)&ends != 0, index: int(w >> 8),
		position: Position(binary.LittleEndian.Uint64(head[12:])),
		durable:  Position(binary.LittleEndian.Uint64(head[20:])),
		body:     body,
	}, true
}

// plausible are cheap tests that a frame passes, before a checksum over megabytes at
// every byte of garbage: it may prove that position p was acknowledged.
func plausible(head []byte, p Position) bool {
	position, durable := Position(binary.LittleEndian.Uint64(head[12:])), Position(binary.LittleEndian.Uint64(head[20:]))
	return durable >= p && position >= durable && position-p <= 1<<32
}

func segmentName(first Position) string { return fmt.Sprintf("%020d%s", uint64(first), suffix) }

// isSegment reports whether name is that of a segment; its header says which.
func isSegment(name string) bool {
	return strings.HasSuffix(name, suffix) && len(name) == 20+len(suffix)
}

// blocks rounds n bytes up to whole blocks.
func blocks(n, block int) int { return (n + block - 1) / block * block }
