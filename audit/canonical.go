// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

// RowFormat is the format of the rows that this salvor writes.
const RowFormat = 1

// canonicalTag begins the canonical form of format 1, so that a hash of a row
// can never be the hash of anything else.
const canonicalTag = "salvor audit row 1"

// Canonical returns the bytes that are hashed: the law of format 1.
//
//	canonical = field(tag) field(chain) field(batch) field(id) field(time)
//	            field(kind) field(operation) field(store) field(writer)
//	            field(writerKind) field(actor) field(manifestVersion)
//	            field(publishedBy) field(reason)
//	            field(number of tables) { field(table) field(from) field(to) }
//	            field(recoverer) field(attempt) field(previous) field(keyID)
//	field(x)  = length of x in bytes, 4 bytes big endian, then x
//	tag       = "salvor audit row 1"
//	numbers   = decimal ASCII without leading zeros
//	time      = RFC 3339, UTC, "Z", fraction without trailing zeros
//	hash      = "sha256:" + hex(SHA-256(canonical))
//	mac       = "hmac-sha256:" + hex(HMAC-SHA-256(key[keyID], 32 bytes of the hash))
//
// The rules for changing it:
//
//   - No field of a format is ever added, dropped, reordered or read differently.
//   - A new field, or a new meaning of one, is a new format with a tag and a
//     function of its own beside this one; rows of all formats stay verifiable.
//   - Hash and MAC are the only fields that are not hashed.
//   - The golden test of a format is never edited.
func (r *Row) Canonical() []byte { return r.appendCanonical(nil) }

func (r *Row) appendCanonical(b []byte) []byte {
	var num [20]byte
	number := func(n uint64) { b = appendField(b, strconv.AppendUint(num[:0], n, 10)) }
	var ts [len(time.RFC3339Nano)]byte

	b = appendField(b, canonicalTag)
	b = appendField(b, r.Chain)
	number(r.Batch)
	number(r.ID)
	b = appendField(b, r.Time.UTC().AppendFormat(ts[:0], time.RFC3339Nano))
	b = appendField(b, string(r.Kind))
	b = appendField(b, r.Operation)
	b = appendField(b, r.StoreUID)
	b = appendField(b, r.Writer)
	b = appendField(b, r.WriterKind)
	b = appendField(b, r.Actor)
	number(r.ManifestVersion)
	b = appendField(b, string(r.PublishedBy))
	b = appendField(b, r.Reason)
	number(uint64(len(r.Tables)))
	for _, t := range r.Tables {
		b = appendField(b, t.Table)
		b = appendField(b, t.From)
		b = appendField(b, t.To)
	}
	b = appendField(b, r.Recoverer)
	b = appendField(b, r.Attempt)
	b = appendField(b, r.Previous)
	return appendField(b, r.KeyID)
}

func appendField[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

func formatHash(sum [sha256.Size]byte) string { return "sha256:" + hex.EncodeToString(sum[:]) }

func formatMAC(sum []byte) string { return "hmac-sha256:" + hex.EncodeToString(sum) }
