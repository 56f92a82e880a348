// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"encoding/binary"
	"errors"
	"io"
)

// reader reads a segment from its start to its end, with as much of it in memory as
// the largest frame that was met needs.
type reader struct {
	in   io.Reader
	size int64 // of the file
	// buf[r:w] was read and not passed yet; buf[r] stands at offset at of the file.
	buf  []byte
	r, w int
	at   int64

	headSize int
	decode   func(head, body []byte, seed uint32) (frame, bool)
	may      func(head []byte, p Position) bool // plausible
	length   int                                // where in a head the length stands
	block    int64
	seed     uint32
	ended    bool // a flush has: the next one begins with the next block
}

const readAhead = 1 << 20

func newReader(in io.Reader, size int64) *reader {
	return &reader{in: in, size: size, buf: make([]byte, min(readAhead, max(int(min(size, readAhead)), headerSize)))}
}

// begin reads the header.
func (r *reader) begin() (header, error) {
	raw, err := r.peek(headerSize)
	if err != nil {
		return header{}, err
	}
	h, err := decodeHeader(raw)
	if err != nil {
		return h, err
	}
	r.seed, r.block = h.seed, int64(h.block)
	r.headSize, r.length, r.decode, r.may = frameSize, 4, decodeFrame, plausible
	skip := h.block
	if h.version == 1 {
		r.headSize, r.length, r.may, skip = frameSize1, 0, plausible1, headerSize1
		r.decode = func(head, body []byte, _ uint32) (frame, bool) { return decodeFrame1(head, body) }
	}
	return h, r.skip(int64(skip))
}

func (r *reader) left() int64 { return r.size - r.at }

// peek returns the next n bytes, or all that there are.
func (r *reader) peek(n int) ([]byte, error) {
	n = int(min(int64(n), r.left()))
	if r.w-r.r < n {
		if err := r.fill(n); err != nil {
			return nil, err
		}
	}
	return r.buf[r.r : r.r+n], nil
}

// fill reads until n bytes are in memory. The file has them.
func (r *reader) fill(n int) error {
	if n > len(r.buf) {
		old := r.buf[r.r:r.w]
		r.buf = make([]byte, max(n, 2*len(r.buf)))
		r.r, r.w = 0, copy(r.buf, old)
	} else if r.r > 0 {
		r.r, r.w = 0, copy(r.buf, r.buf[r.r:r.w])
	}
	most := int(min(int64(len(r.buf)-r.w), r.left()-int64(r.w)))
	m, err := io.ReadAtLeast(r.in, r.buf[r.w:r.w+most], n-r.w)
	r.w += m
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // it was longer a moment ago
	}
	return err
}

// skip passes n bytes, or all that there are.
func (r *reader) skip(n int64) error {
	for n = min(n, r.left()); n > 0; {
		got, err := r.peek(int(min(n, int64(len(r.buf)))))
		if err != nil {
			return err
		}
		r.r, r.at, n = r.r+len(got), r.at+int64(len(got)), n-int64(len(got))
	}
	return nil
}

// head returns the head of the frame that stands here and the length that it claims;
// zero when it cannot be one.
func (r *reader) head() (head []byte, n int, err error) {
	head, err = r.peek(r.headSize)
	if err != nil || len(head) < r.headSize {
		return nil, 0, err
	}
	claim := binary.LittleEndian.Uint32(head[r.length:])
	if claim > MaxRecord || int64(claim) > r.left()-int64(r.headSize) {
		return head, 0, nil
	}
	return head, int(claim), nil
}

// What next finds where a frame should be.
type found int

const (
	foundFrame found = iota + 1
	// foundEnd is the end of the file, or a block of which nothing was written.
	foundEnd
	// foundBad is neither.
	foundBad
)

// next reads the frame here, or behind the padding that is here, and passes it. Its
// body is good until the next call. A head never stands across the end of a block.
func (r *reader) next() (frame, found, error) {
	if r.left() == 0 {
		return frame{}, foundEnd, nil
	}
	if in := r.at % r.block; in > 0 && (r.ended || r.block-in < int64(r.headSize)) {
		if err := r.skip(r.block - in); err != nil {
			return frame{}, 0, err
		}
		if r.left() == 0 {
			return frame{}, foundEnd, nil
		}
	}
	head, n, err := r.head()
	if err != nil {
		return frame{}, 0, err
	}
	if n == 0 {
		if head != nil && allZero(head) {
			return frame{}, foundEnd, nil
		}
		return frame{}, foundBad, nil
	}
	raw, err := r.peek(r.headSize + n)
	if err != nil {
		return frame{}, 0, err
	}
	f, ok := r.decode(raw[:r.headSize], raw[r.headSize:], r.seed)
	if !ok {
		return frame{}, foundBad, nil
	}
	r.r, r.at, r.ended = r.r+len(raw), r.at+int64(len(raw)), f.ends
	return f, foundFrame, nil
}

// proof looks through everything that is left for a frame which proves that position
// p was acknowledged.
func (r *reader) proof(p Position) (f frame, at int64, ok bool, err error) {
	for r.left() > int64(r.headSize) {
		window, err := r.peek(len(r.buf))
		if err != nil {
			return frame{}, 0, false, err
		}
		i := 0
		for ; i+r.headSize <= len(window); i++ {
			claim := binary.LittleEndian.Uint32(window[i+r.length:])
			if claim-1 < MaxRecord && r.may(window[i:], p) {
				break
			}
		}
		r.r, r.at = r.r+i, r.at+int64(i)
		head, n, err := r.head()
		if err != nil || head == nil {
			return frame{}, 0, false, err
		}
		if n > 0 && r.may(head, p) {
			raw, err := r.peek(r.headSize + n)
			if err != nil {
				return frame{}, 0, false, err
			}
			if f, ok := r.decode(raw[:r.headSize], raw[r.headSize:], r.seed); ok {
				return f, r.at, true, nil
			}
			r.r, r.at = r.r+1, r.at+1
		} else if i == 0 {
			r.r, r.at = r.r+1, r.at+1
		}
	}
	return frame{}, 0, false, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
