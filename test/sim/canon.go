// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/salvor-io/salvor/objstore/mem"
)

// Digest is a hash of all that is durable.
type Digest [sha256.Size]byte

// exact hashes every byte: two worlds with this digest have the same future.
func exact(d *mem.Bucket, more string) Digest {
	h := sha256.New()
	each(d, func(key string, body []byte) {
		frame(h, []byte(key))
		frame(h, body)
	})
	frame(h, []byte(more))
	return Digest(h.Sum(nil))
}

// distinct hashes what a state is, whoever made it: ids count in the order in
// which they appear, digests and times do not count. Two states with this digest
// differ in names at most, and are counted once.
func distinct(d *mem.Bucket, more string) Digest {
	h := sha256.New()
	c := canon{out: h, seen: map[string]byte{}}
	each(d, func(key string, body []byte) {
		c.text([]byte(key))
		c.text(body)
	})
	c.text([]byte(more))
	return Digest(h.Sum(nil))
}

func each(d *mem.Bucket, f func(key string, body []byte)) {
	ctx := context.Background()
	for e, err := range d.List(ctx, "", "") {
		if err != nil {
			panic(err)
		}
		o, err := d.Get(ctx, e.Key)
		if err != nil {
			panic(err)
		}
		f(e.Key, o.Body)
	}
}

func frame(h hash.Hash, b []byte) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
	_, _ = h.Write(n[:])
	_, _ = h.Write(b)
}

type canon struct {
	out  hash.Hash
	seen map[string]byte
	buf  []byte
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// text writes s with every id replaced by its number and without what only time
// and names decide.
func (c *canon) text(s []byte) {
	c.buf = c.buf[:0]
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && isWord(s[j]) {
			j++
		}
		switch {
		case j == i: // punctuation
			c.buf = append(c.buf, s[i])
			i++
			continue
		case j-i == 64: // the hex of a SHA-256
			c.buf = append(c.buf, '#')
		case j-i == 4 && s[i] == '2' && j+16 <= len(s) && s[j] == '-' && s[j+6] == 'T': // RFC 3339
			for j < len(s) && s[j] != '"' {
				j++
			}
			c.buf = append(c.buf, '@')
		case j+5 <= len(s) && s[j] == '-' && s[i] >= 'A' && s[i] <= 'Z' && digits(s[j+1:j+5]): // an id: PROCESS-0007
			j += 5
			id, ok := c.seen[string(s[i:j])]
			if !ok {
				id = byte(len(c.seen) + 1)
				c.seen[string(s[i:j])] = id
			}
			c.buf = append(c.buf, '<', id, '>')
		default:
			c.buf = append(c.buf, s[i:j]...)
		}
		i = j
	}
	frame(c.out, c.buf)
}

func digits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
