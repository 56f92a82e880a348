// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// Formats of the objects of this package. A reader refuses a newer one.
const (
	TableFormat = 1
	PartFormat  = 1
)

const (
	tableKind = "table"
	partKind  = "table-part"
)

// version is the main object of a table version.
type version struct {
	Store     string               `json:"store"`
	Table     manifest.TableID     `json:"table"`
	Number    uint64               `json:"number"`
	Operation manifest.OperationID `json:"operation"`
	Epoch     manifest.Epoch       `json:"epoch"`
	// Parent is the version that this one replaces; zero for a table's first.
	Parent manifest.Ref `json:"parent,omitzero"`
	// Position of the writer's log that the version covers.
	Position manifest.Position `json:"position"`
	// Count of all rows, those of the parts included.
	Count int `json:"count"`
	// Rows in the order of their keys; none when there are parts.
	Rows  []Row     `json:"rows,omitempty"`
	Parts []partRef `json:"parts,omitempty"`
}

// partRef names a part: its number counts from 1.
type partRef struct {
	Part   int    `json:"part"`
	Count  int    `json:"count"`
	Digest string `json:"digest"`
}

// part is an object with some of a version's rows.
type part struct {
	Store     string               `json:"store"`
	Table     manifest.TableID     `json:"table"`
	Number    uint64               `json:"number"`
	Operation manifest.OperationID `json:"operation"`
	Part      int                  `json:"part"`
	Rows      []Row                `json:"rows"`
}

const partSuffix = ".part-"

// PartKey returns the name of the n-th part, from 1, of the version with this name.
func PartKey(version string, n int) string { return fmt.Sprintf("%s%s%04d", version, partSuffix, n) }

// ParsePartKey is the inverse of PartKey: it tells the version that a part belongs
// to. ok is false for any other name, that of a version included.
func ParsePartKey(key string) (version string, n int, ok bool) {
	version, digits, found := strings.Cut(key, partSuffix)
	if !found {
		return "", 0, false
	}
	n, err := strconv.Atoi(digits)
	if _, _, _, isVersion := manifest.ParseTableKey(version); !isVersion || err != nil || n < 1 || PartKey(version, n) != key {
		return "", 0, false
	}
	return version, n, true
}

// check compares what a version says of itself with what the manifest says.
func (v *version) check(store string, table manifest.TableID, pin manifest.Pin) error {
	switch {
	case v.Store != store:
		return fmt.Errorf("%w: it belongs to store %s, this is store %s", envelope.ErrMalformed, v.Store, store)
	case v.Table != table, v.Number != pin.Number, v.Operation != pin.Operation:
		return fmt.Errorf("%w: it says that it is version %d-%s of table %s", envelope.ErrMalformed, v.Number, v.Operation, v.Table)
	case v.Position != pin.Position:
		return fmt.Errorf("%w: it covers position %d, the manifest says %d", envelope.ErrMalformed, v.Position, pin.Position)
	case len(v.Parts) > 0 && len(v.Rows) > 0:
		return fmt.Errorf("%w: it has rows and parts", envelope.ErrMalformed)
	}
	return nil
}

func (p *part) check(v *version, n int) error {
	if p.Store != v.Store || p.Table != v.Table || p.Number != v.Number || p.Operation != v.Operation || p.Part != n {
		return fmt.Errorf("%w: it says that it is part %d of version %d-%s of table %s", envelope.ErrMalformed, p.Part, p.Number, p.Operation, p.Table)
	}
	return nil
}
