// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/salvor-io/salvor/objstore/envelope"
)

// The bytes of one object, audit/<chain>/<n>:
//
//	salvor audit 1 sha256:<64 hex>\n
//	{"rows":[<row>,<row>,...]}\n
//
// There is nothing else in it: what is not in a row is not signed, so whatever
// is known about a batch stands in its rows.
const (
	objectKind   = "audit"
	objectFormat = 1
	objectHead   = "salvor audit 1 sha256:"
	bodyHead     = `{"rows":[`
	bodyTail     = "]}\n"
)

func objectPrefix(chain string) string { return "audit/" + chain + "/" }

func objectKey(chain string, n uint64) string { return fmt.Sprintf("audit/%s/%020d", chain, n) }

// objectNumber is the inverse of objectKey. Other objects may live under the
// prefix; they are no part of the chain.
func objectNumber(chain, key string) (uint64, bool) {
	s := strings.TrimPrefix(key, objectPrefix(chain))
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 || objectKey(chain, n) != key {
		return 0, false
	}
	return n, true
}

// encodeObject returns the object that holds the rows, each already marshalled.
func encodeObject(rows []json.RawMessage) ([]byte, error) {
	return envelope.Encode(objectKind, objectFormat, struct {
		Rows []json.RawMessage `json:"rows"`
	}{rows})
}

// storedRow is a row as it was read.
type storedRow struct {
	Row
	// exact: the bytes are the only ones that this salvor writes for the row. JSON
	// has many spellings of one value; none but this one counts as untouched.
	exact bool
	err   error // the bytes are no row; Row is what could be made of them
}

// parseObject reads an object as far as it can be read, so that damage is
// reported at the row it hit. err says what is wrong with the object as a whole,
// at which row that lies: at is an index of rows; len(rows) when what follows
// the last readable row cannot be read.
func parseObject(raw []byte) (rows []storedRow, at int, err error) {
	var body unread
	if _, err = envelope.Decode(objectKind, objectFormat, raw, &body); err == nil && !bytes.HasPrefix(raw, []byte(objectHead)) {
		err = fmt.Errorf("%w: the header is spelt in another way", envelope.ErrMalformed)
	}
	var newer *envelope.FormatError
	if errors.As(err, &newer) {
		return nil, 0, err
	}
	raws, at, serr := splitRows(raw[bytes.IndexByte(raw, '\n')+1:])
	for _, r := range raws {
		var row storedRow
		row.err = json.Unmarshal(r, &row.Row)
		again, merr := json.Marshal(&row.Row)
		row.exact = row.err == nil && merr == nil && bytes.Equal(again, r)
		rows = append(rows, row)
	}
	if serr != nil { // it is the more precise of the two
		err = serr
	}
	return rows, at, err
}

// splitRows takes a body apart into the bytes of its rows. err says that it is
// not exactly a list of rows, at where.
func splitRows(body []byte) (rows []json.RawMessage, at int, err error) {
	open := len(bodyHead) - 1
	if len(body) <= open || body[open] != '[' {
		return nil, 0, fmt.Errorf("%w: the body is no list of rows", envelope.ErrMalformed)
	}
	dec := json.NewDecoder(bytes.NewReader(body[open:]))
	if _, err := dec.Token(); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", envelope.ErrMalformed, err)
	}
	exact := append(make([]byte, 0, len(body)), bodyHead...)
	for dec.More() {
		var r json.RawMessage
		if err := dec.Decode(&r); err != nil {
			if rest := body[open+int(dec.InputOffset()):]; len(rows) > 0 && len(rest) <= len(bodyTail) {
				break // not a row, but the damaged end of the list
			}
			return rows, len(rows), fmt.Errorf("%w: what follows cannot be read: %w", envelope.ErrMalformed, err)
		}
		if len(rows) > 0 {
			exact = append(exact, ',')
		}
		exact = append(exact, r...)
		rows = append(rows, r)
	}
	exact = append(exact, bodyTail...)
	switch {
	case len(rows) == 0:
		return nil, 0, fmt.Errorf("%w: no rows", envelope.ErrMalformed)
	case !bytes.HasPrefix(body, []byte(bodyHead)):
		return rows, 0, fmt.Errorf("%w: the list of rows begins in another way", envelope.ErrMalformed)
	case !bytes.Equal(body, exact):
		return rows, len(rows) - 1, fmt.Errorf("%w: the list of rows is spelt in another way", envelope.ErrMalformed)
	}
	return rows, 0, nil
}

// unread lets envelope.Decode check a body without taking it apart.
type unread struct{}

func (*unread) UnmarshalJSON([]byte) error { return nil }
