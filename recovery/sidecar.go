// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"errors"
	"fmt"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// The formats of the objects of this package.
var (
	sidecarFormats   = envelope.Formats{1}
	confirmedFormats = envelope.Formats{1}
)

const (
	sidecarKind   = "sidecar"
	confirmedKind = "confirmed"
)

// Sidecar is a writer's durable intent: the object recovery/<op>. It is written
// before the operation's first effect and deleted last; while it exists,
// somebody still has something to do.
type Sidecar struct {
	Store     string               `json:"store"`
	Operation manifest.OperationID `json:"operation"`
	// Attempt makes the bytes of two armings differ, always: it proves ownership.
	Attempt string            `json:"attempt"`
	Writer  manifest.WriterID `json:"writer"`
	// Epoch under which the operation was armed. The operation belongs to it.
	Epoch manifest.Epoch `json:"epoch"`
	Kind  WriterKind     `json:"kind"`
	// Base is the manifest version that the operation started from.
	Base    manifest.Version `json:"base"`
	Started time.Time        `json:"started"`
	Tables  []TablePlan      `json:"tables"`
	// Outcomes are the ids of the entries that may decide the operation, minted
	// before its first effect.
	Outcomes OutcomeIDs `json:"outcomes"`

	// Level is the store's format level when the operation was armed: what belongs
	// to the operation is written for it. Zero is 1; it stands in no object.
	Level int `json:"-"`
}

// OutcomeIDs are the pre-minted ids of an operation's possible outcomes.
type OutcomeIDs struct {
	Publish  string `json:"publish"`
	Abandon  string `json:"abandon"`
	RollBack string `json:"rollBack"`
}

// TablePlan is what an operation means to do to one table.
type TablePlan struct {
	Table manifest.TableID `json:"table"`
	// Expected is the pin that the operation starts from; zero creates the table.
	Expected manifest.Ref `json:"expected,omitzero"`
	// Head is the table's newest version when the operation was planned, of a table
	// with readers of its own whose head is not what the manifest names.
	Head manifest.Ref `json:"head,omitzero"`
	// Number of the version that the operation creates. Its object is
	// manifest.TableKey(Table, Number, operation).
	Number uint64 `json:"number,omitempty"`
	// Drop removes the table instead; nothing is created.
	Drop bool `json:"drop,omitempty"`
	// Position of the writer's log that the new version covers.
	Position manifest.Position `json:"position,omitempty"`
}

// Confirmed says that every effect of an operation is durable and which versions
// they are: the object recovery/<op>.confirmed.
type Confirmed struct {
	Store     string               `json:"store"`
	Operation manifest.OperationID `json:"operation"`
	Attempt   string               `json:"attempt"`
	Tables    []Reached            `json:"tables"`
}

// Reached is a table version that was made, with the digest in its first line.
type Reached struct {
	Table  manifest.TableID `json:"table"`
	Number uint64           `json:"number"`
	Digest string           `json:"digest"`
}

// Object returns the name of the version that p creates for operation op.
func (p TablePlan) Object(op manifest.OperationID) string {
	return manifest.TableKey(p.Table, p.Number, op)
}

// Above is the version that the operation's first goes on top of.
func (p TablePlan) Above() manifest.Ref {
	if p.Head.IsZero() {
		return p.Expected
	}
	return p.Head
}

// Validate names the first field that is missing or wrong. A sidecar is checked
// before it is written and after it is read.
func (s *Sidecar) Validate() error {
	bad := func(field, why string) error {
		return fmt.Errorf("%w: sidecar field %s %s", envelope.ErrMalformed, field, why)
	}
	switch {
	case s.Store == "":
		return bad("store", "is empty")
	case s.Operation.Validate() != nil:
		return bad("operation", s.Operation.Validate().Error())
	case s.Attempt == "":
		return bad("attempt", "is empty")
	case s.Writer.Validate() != nil:
		return bad("writer", s.Writer.Validate().Error())
	case s.Epoch.Number == 0:
		return bad("epoch.number", "is zero")
	case s.Epoch.Process == "":
		return bad("epoch.process", "is empty")
	case s.Kind == "":
		return bad("kind", "is empty")
	case s.Started.IsZero():
		return bad("started", "is zero")
	case len(s.Tables) == 0:
		return bad("tables", "is empty")
	case s.Outcomes.Publish == "" || s.Outcomes.Abandon == "" || s.Outcomes.RollBack == "":
		return bad("outcomes", "lacks an id")
	}
	seen := map[manifest.TableID]bool{}
	for i, t := range s.Tables {
		at := fmt.Sprintf("tables[%d]", i)
		switch {
		case t.Table.Validate() != nil:
			return bad(at+".table", t.Table.Validate().Error())
		case seen[t.Table]:
			return bad(at+".table", fmt.Sprintf("names %s twice", t.Table))
		case t.Drop && t.Expected.IsZero():
			return bad(at+".drop", "drops a table that does not exist")
		case !t.Drop && t.Number <= t.Above().Number:
			return bad(at+".number", "is not above the expected version")
		}
		seen[t.Table] = true
	}
	return nil
}

// EncodeSidecar returns the bytes of recovery/<op>, or why they may not be written.
func EncodeSidecar(s *Sidecar) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return envelope.Encode(sidecarKind, sidecarFormats.At(s.Level), s)
}

// DecodeSidecar parses a sidecar. Errors wrap envelope.ErrMalformed, or are
// *envelope.FormatError or *envelope.DigestError.
func DecodeSidecar(raw []byte) (*Sidecar, error) {
	var s Sidecar
	if _, err := envelope.Decode(sidecarKind, sidecarFormats.Newest(), raw, &s); err != nil {
		return nil, err
	}
	return &s, s.Validate()
}

// EncodeConfirmed returns the bytes of recovery/<op>.confirmed, for a store of
// this format level.
func EncodeConfirmed(c *Confirmed, level int) ([]byte, error) {
	return envelope.Encode(confirmedKind, confirmedFormats.At(level), c)
}

// DecodeConfirmed parses the confirmation of s and checks that it is of s and
// covers every table that s creates.
func DecodeConfirmed(s *Sidecar, raw []byte) (*Confirmed, error) {
	var c Confirmed
	if _, err := envelope.Decode(confirmedKind, confirmedFormats.Newest(), raw, &c); err != nil {
		return nil, err
	}
	if c.Operation != s.Operation || c.Attempt != s.Attempt || c.Store != s.Store {
		return nil, fmt.Errorf("%w: the confirmation is of another operation or attempt", envelope.ErrMalformed)
	}
	for _, p := range s.Tables {
		r, ok := c.reached(p.Table)
		// Where readers follow the head, an operation may take several steps.
		far := TraitsOf(s.Kind).Visible && r.Number > p.Number
		if !p.Drop && (!ok || r.Number != p.Number && !far || r.Digest == "") {
			return nil, fmt.Errorf("%w: the confirmation does not cover version %d of table %s", envelope.ErrMalformed, p.Number, p.Table)
		}
	}
	return &c, nil
}

func (c *Confirmed) reached(t manifest.TableID) (Reached, bool) {
	for _, r := range c.Tables {
		if r.Table == t {
			return r, true
		}
	}
	return Reached{}, false
}

// IsUnreadable reports whether err says that the bytes cannot be understood, now
// or ever, by this salvor; everything else is a failure to read.
func IsUnreadable(err error) bool {
	var f *envelope.FormatError
	var d *envelope.DigestError
	return errors.Is(err, envelope.ErrMalformed) || errors.Is(err, objstore.ErrTooLarge) || errors.As(err, &f) || errors.As(err, &d)
}
