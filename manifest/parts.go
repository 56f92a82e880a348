// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"

	"github.com/salvor-io/salvor/objstore/envelope"
)

// partsFormats are those of the list of a checkpoint's parts. What the parts are is
// a checkpoint, in the store's format.
var partsFormats = envelope.Formats{1}

const partsKind = "parts"

// parts is the body of such a checkpoint. Its parts, one behind the other, are
// the bytes of the checkpoint that would be one object.
type parts struct {
	Store   string  `json:"store"`
	Version Version `json:"version"`
	Bytes   int64   `json:"bytes"` // of all parts
	Parts   []part  `json:"parts"`
}

type part struct {
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`

	body []byte
}

// encodeCheckpoint returns the bytes of checkpoint/<version>, and the parts that
// they name, none when the state fits in limit bytes. Equal states and limits
// give equal bytes.
func encodeCheckpoint(st *State, limit int) ([]byte, []part, error) {
	raw, err := EncodeCheckpoint(st)
	if err != nil || len(raw) <= limit {
		return raw, nil, err
	}
	list := parts{Store: st.Store, Version: st.Version, Bytes: int64(len(raw))}
	for rest := raw; len(rest) > 0; {
		body := rest[:min(limit, len(rest))]
		list.Parts = append(list.Parts, part{Digest: envelope.Digest(body), Bytes: int64(len(body)), body: body})
		rest = rest[len(body):]
	}
	raw, err = envelope.Encode(partsKind, partsFormats.Newest(), &list)
	return raw, list.Parts, err
}

// decodeParts parses the object at key if it names parts; nil if it is a state.
// Errors are *ObjectError.
func decodeParts(key string, raw []byte) (*parts, error) {
	if h, _, err := envelope.ParseHeader(raw); err != nil || h.Kind != partsKind {
		return nil, nil //nolint:nilerr // what it is instead, its own decoder says
	}
	var list parts
	if _, err := envelope.Decode(partsKind, partsFormats.Newest(), raw, &list); err != nil {
		return nil, objectError(key, err)
	}
	sum := int64(0)
	for _, p := range list.Parts {
		if p.Bytes <= 0 {
			return nil, objectError(key, fmt.Errorf("%w: a part of %d bytes", envelope.ErrMalformed, p.Bytes))
		}
		sum += p.Bytes
	}
	if CheckpointKey(list.Version) != key || sum != list.Bytes || sum == 0 {
		return nil, objectError(key, fmt.Errorf("%w: it says that it is checkpoint %d of %d bytes, its parts have %d",
			envelope.ErrMalformed, list.Version, list.Bytes, sum))
	}
	return &list, nil
}
