// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package envelope gives every object that salvor writes the same first line:
// what it is, in which format, and the digest of the rest.
//
//	salvor manifest 1 sha256:9f86d081884c7d65...\n
//	{"store":"...", ...}\n
//
// A reader learns kind, format and integrity before it parses the body: a newer
// format is refused with a sentence, a truncated or altered object is never half
// understood, and 128 bytes are enough to learn the digest of a large object.
package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// HeaderMax is the most bytes that a header line takes, newline included.
const HeaderMax = 128

const magic = "salvor"

// ErrMalformed is wrapped when the bytes are no envelope of the kind asked for.
var ErrMalformed = errors.New("malformed object")

// FormatError says that an object was written by a newer salvor.
type FormatError struct {
	Kind       string
	Found, Max int
}

// Error implements error.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s object has format %d, this salvor reads up to %d: upgrade salvor; nothing was changed", e.Kind, e.Found, e.Max)
}

// DigestError says that the body is not the one that was written.
type DigestError struct {
	Kind, Want, Got string
}

// Error implements error.
func (e *DigestError) Error() string {
	return fmt.Sprintf("%s object is damaged: header says %s, body has %s: restore the object from a copy or a bucket version", e.Kind, e.Want, e.Got)
}

// Formats are the formats of one kind of object, oldest first. A new one has the
// number of the format level of the store that it came with.
type Formats []int

// At returns the format to write in a store of this level: the newest that is not
// above it.
func (f Formats) At(level int) int {
	at := f[0]
	for _, n := range f {
		if n <= level {
			at = n
		}
	}
	return at
}

// Newest returns the newest format that can be read.
func (f Formats) Newest() int { return f[len(f)-1] }

// Header is the first line of an object.
type Header struct {
	Kind   string
	Format int
	Digest string // "sha256:" and 64 hex digits, over the body
}

// Encode returns header and body as one object. body is marshalled as JSON with
// a newline at the end; struct fields keep their order, so the bytes are stable.
func Encode(kind string, format int, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	b = append(b, '\n')
	return append([]byte(Line(kind, format, Digest(b))), b...), nil
}

// Line is the first line of an object whose body has this digest.
func Line(kind string, format int, digest string) string {
	return fmt.Sprintf("%s %s %d %s\n", magic, kind, format, digest)
}

// Digest returns "sha256:" and the hex digest of b.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ParseHeader reads the first line of raw, which may be cut off after it.
// It returns the header and the offset of the body.
func ParseHeader(raw []byte) (Header, int, error) {
	end := bytes.IndexByte(raw[:min(len(raw), HeaderMax)], '\n')
	if end < 0 {
		return Header{}, 0, fmt.Errorf("%w: no header line", ErrMalformed)
	}
	f := strings.Split(string(raw[:end]), " ")
	if len(f) != 4 || f[0] != magic {
		return Header{}, 0, fmt.Errorf("%w: header %q", ErrMalformed, raw[:end])
	}
	n, err := strconv.Atoi(f[2])
	if err != nil || n < 1 {
		return Header{}, 0, fmt.Errorf("%w: format %q", ErrMalformed, f[2])
	}
	return Header{Kind: f[1], Format: n, Digest: f[3]}, end + 1, nil
}

// Decode checks kind, format and digest of raw and unmarshals its body into v.
// It returns the format found. Errors: ErrMalformed, *FormatError (a newer
// format, checked before the digest), *DigestError.
func Decode(kind string, maxFormat int, raw []byte, v any) (int, error) {
	h, off, err := ParseHeader(raw)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", kind, err)
	}
	if h.Kind != kind {
		return 0, fmt.Errorf("%w: found a %q object where a %q was expected", ErrMalformed, h.Kind, kind)
	}
	if h.Format > maxFormat {
		return h.Format, &FormatError{Kind: kind, Found: h.Format, Max: maxFormat}
	}
	if got := Digest(raw[off:]); got != h.Digest {
		return h.Format, &DigestError{Kind: kind, Want: h.Digest, Got: got}
	}
	if err := json.Unmarshal(raw[off:], v); err != nil {
		return h.Format, fmt.Errorf("%w: %s body: %w", ErrMalformed, kind, err)
	}
	return h.Format, nil
}
