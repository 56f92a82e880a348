// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"encoding/binary"
	"hash/crc32"
)

// The first format is only read: the directory of a pod that an older salvor has
// left. Its last segment becomes one of this format when the log is recovered, the
// others go with the next truncation.
//
//	segment   "salvorL1" | log id 16 | first 8 | follows 8 | crc32c 4      44 bytes
//	frame     length 4 | crc32c 4 | position 8 | durable 8 | body length   no padding, one frame a transaction
const (
	headerSize1 = 8 + 16 + 8 + 8 + 4
	frameSize1  = 4 + 4 + 8 + 8
)

func decodeHeader1(raw []byte) (header, error) {
	h := header{version: 1, block: 1}
	switch {
	case len(raw) < headerSize1:
		return h, badHeader("the segment's header is cut off")
	case binary.LittleEndian.Uint32(raw[headerSize1-4:]) != crc32.Checksum(raw[:headerSize1-4], castagnoli):
		return h, badHeader("the checksum of the segment's header is wrong")
	}
	copy(h.id[:], raw[8:24])
	h.first = Position(binary.LittleEndian.Uint64(raw[24:]))
	h.follows = Position(binary.LittleEndian.Uint64(raw[32:]))
	if h.first == 0 || h.follows >= h.first {
		return h, badHeader("position %d cannot follow %d", h.first, h.follows)
	}
	return h, nil
}

func decodeFrame1(head, body []byte) (frame, bool) {
	c := crc32.Checksum(head[:4], castagnoli)
	c = crc32.Update(c, castagnoli, head[8:frameSize1])
	if binary.LittleEndian.Uint32(head[4:]) != crc32.Update(c, castagnoli, body) {
		return frame{}, false
	}
	return frame{
		kind:     kindWhole,
		position: Position(binary.LittleEndian.Uint64(head[8:])),
		durable:  Position(binary.LittleEndian.Uint64(head[16:])),
		body:     body,
	}, true
}

func plausible1(head []byte, p Position) bool {
	position, durable := Position(binary.LittleEndian.Uint64(head[8:])), Position(binary.LittleEndian.Uint64(head[16:]))
	return durable >= p && position > durable && position-p <= 1<<32
}
