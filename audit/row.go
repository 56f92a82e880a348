// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says how an operation ended. On disk it is its name; names are never
// renamed or given a second meaning. Reserved for later: SegmentArchived,
// SegmentPurged, SegmentRestored, Acknowledged.
type Kind string

const (
	// RolledForward: the operation's publication stands in the manifest.
	RolledForward Kind = "RolledForward"
	// RolledBack: the manifest says that the operation was abandoned or undone.
	// Tables names what was restored; an abandoned operation restored nothing.
	RolledBack Kind = "RolledBack"
)

// Publisher says whose manifest entry decided an operation.
type Publisher string

const (
	// ByWriter: the writer that armed the operation published the outcome.
	ByWriter Publisher = "writer"
	// ByRecovery: a recoverer published it in the writer's place.
	ByRecovery Publisher = "recovery"
)

// TableChange is what one table went through. From and To name a version the
// way the store does: number and object, "7 tables/orders/0…7-01JX"; empty where
// there was none.
type TableChange struct {
	Table string `json:"table"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// Row is one line of the trail. The caller fills the second block; the log fills
// the rest and overwrites whatever stands there.
//
// Every field but Hash and MAC goes into the hash. Adding, dropping or reordering
// a field is a new format: see [Row.Canonical].
type Row struct {
	Format int `json:"format"` // RowFormat when it was written
	// Chain, Batch and ID are the place of the row: the chain's name, the number of
	// the object that holds it, and its number across the chain, from 1. A row
	// found in any other place was moved.
	Chain string    `json:"chain"`
	Batch uint64    `json:"batch"`
	ID    uint64    `json:"id"`
	Time  time.Time `json:"time"` // UTC, by the clock of the process that wrote it

	Kind            Kind          `json:"kind"`
	Operation       string        `json:"operation"`  // the operation's id
	StoreUID        string        `json:"store"`      // one chain, one store
	Writer          string        `json:"writer"`     // whose operation it was
	WriterKind      string        `json:"writerKind"` // strict, loose, confirmed
	Actor           string        `json:"actor"`      // on whose behalf: "salvor:recovery", a user
	ManifestVersion uint64        `json:"manifestVersion"`
	PublishedBy     Publisher     `json:"publishedBy"`
	Reason          string        `json:"reason"`
	Tables          []TableChange `json:"tables,omitempty"`

	Recoverer string `json:"recoverer"` // id of the process that wrote the row
	Attempt   string `json:"attempt"`   // id of the put that wrote it: ownership after a lost answer
	Previous  string `json:"previous"`  // Hash of row ID-1; empty for the first
	KeyID     string `json:"keyID"`
	Hash      string `json:"hash"` // "sha256:" and hex, over Canonical
	MAC       string `json:"mac"`  // "hmac-sha256:" and hex, over the 32 bytes of Hash
}

// ErrInvalidRow is wrapped when a row lacks something or holds what cannot be written.
var ErrInvalidRow = errors.New("invalid audit row")

// check refuses a caller's row that could not be written, or would not mean
// anything. It looks at the shape only.
func (r *Row) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: operation %q: %s", ErrInvalidRow, r.Operation, fmt.Sprintf(format, args...))
	}
	switch r.Kind {
	case RolledForward, RolledBack:
	default:
		return bad("kind %q is none that this salvor writes", r.Kind)
	}
	switch r.PublishedBy {
	case ByWriter, ByRecovery:
	default:
		return bad("publishedBy %q is neither %s nor %s", r.PublishedBy, ByWriter, ByRecovery)
	}
	if r.Operation == "" || r.StoreUID == "" {
		return bad("operation and store uid are required")
	}
	if r.ManifestVersion == 0 {
		return bad("no manifest version: an outcome is a manifest entry")
	}
	short := []string{r.Operation, r.StoreUID, r.Writer, r.WriterKind, r.Actor}
	for _, t := range r.Tables {
		short = append(short, t.Table, t.From, t.To)
	}
	for _, s := range short {
		if len(s) > MaxField || !utf8.ValidString(s) {
			return bad("%.80q is longer than %d bytes or not UTF-8", s, MaxField)
		}
	}
	return nil
}

// fitReason makes free text writable: what an error message happens to contain
// must not keep an outcome from being recorded.
func fitReason(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= MaxReason {
		return s
	}
	return strings.ToValidUTF8(s[:MaxReason], "")
}
