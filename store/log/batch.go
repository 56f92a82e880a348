// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"encoding/binary"
	"unsafe"
)

// batch is what one flush writes. There are two: one collects while the other is on
// its way to the disk.
type batch struct {
	// gen numbers the batches from 1, in the order in which they are flushed.
	gen uint64
	// buf has frames without their last words (see sealHead), as they will stand in the
	// segment, from the start of a block. heads are where they begin.
	buf   []byte
	heads []int
	block int
	// last is the newest position that is in the log once the batch is.
	last    Position
	applies []applied
	// done is closed when it is known what became of the batch; nil: nobody has asked.
	done chan struct{}
}

type applied struct {
	position Position
	apply    func(Position)
}

// reset empties the batch for another generation. Memory that was needed once for
// something large is given back.
func (b *batch) reset(gen uint64, most int) {
	clear(b.applies)
	b.gen, b.buf, b.heads, b.applies, b.done = gen, b.buf[:0], b.heads[:0], b.applies[:0], nil
	if cap(b.buf) > 2*most {
		b.buf = nil
	}
}

// put adds a frame.
func (b *batch) put(k kind, index int, p Position, body []byte, bodySum uint32) {
	at := len(b.buf)
	if rest := b.block - at%b.block; rest < frameSize { // no head stands across the end of a block
		b.grow(at + rest)
		clear(b.buf[at:])
		at += rest
	}
	b.grow(at + frameSize + len(body))
	putHead(b.buf[at:], k, index, p, len(body), bodySum)
	copy(b.buf[at+frameSize:], body)
	b.heads = append(b.heads, at)
	b.last = p
}

// seal gives every frame its last words and fills the last block.
func (b *batch) seal(durable Position, seed uint32) {
	for i, at := range b.heads {
		sealHead(b.buf[at:at+frameSize:at+frameSize], durable, i == len(b.heads)-1, seed)
	}
	n := len(b.buf)
	b.grow(blocks(n, b.block))
	clear(b.buf[n:])
}

// grow makes the buffer n bytes long.
func (b *batch) grow(n int) {
	if n <= cap(b.buf) {
		b.buf = b.buf[:n]
		return
	}
	buf := AlignedBytes(max(blocks(n, b.block), 2*cap(b.buf), 64<<10))
	copy(buf, b.buf)
	b.buf = buf[:n]
}

// checkpointBody is what a frame of kindCheckpoint says.
func checkpointBody(p Position) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(p)) }

// alignment is that of memory from which a file may be written past the page cache.
const alignment = 4096

// AlignedBytes returns n bytes that [Blocks] can be written from.
func AlignedBytes(n int) []byte {
	raw := make([]byte, n+alignment)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(raw)))) & (alignment - 1)
	return raw[skip : skip+n : skip+n]
}
