// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import "strings"

// The names in a root. Every number has 20 digits, so names sort as numbers do.
const (
	// IdentityKey holds the store's identity, created once.
	IdentityKey = "store"
	// Prefix is where the publications live, one object a number.
	Prefix = "manifest/"
	// CheckpointPrefix is where full states live, so that reading does not cost history.
	CheckpointPrefix = "checkpoint/"
	// PartPrefix is where the parts of a state live that is too large for one object.
	PartPrefix = "parts/"
	// BoundaryPrefix is where collected numbers are announced.
	BoundaryPrefix = "boundary/"
	// ReaderPrefix is where readers say which version they still need.
	ReaderPrefix = "readers/"
	// TablePrefix is where physical table versions live.
	TablePrefix = "tables/"
)

// Key returns the name of publication v.
func Key(v Version) string { return Prefix + v.String() }

// CheckpointKey returns the name of the full state at v.
func CheckpointKey(v Version) string { return CheckpointPrefix + v.String() }

// PartKey returns the name of a part of the full state at v: its digest, without
// the "sha256:".
func PartKey(v Version, digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return PartPrefix + v.String() + "/" + hex
}

// BoundaryKey returns the name that says: numbers below v are collected.
func BoundaryKey(v Version) string { return BoundaryPrefix + v.String() }

// TableKey returns the name of one physical version of a table. It carries the
// operation, so no two operations ever share a name.
func TableKey(t TableID, number uint64, op OperationID) string {
	return TablePrefix + string(t) + "/" + Version(number).String() + "-" + string(op)
}

// ParseTableKey is the inverse of TableKey; ok is false for any other name.
func ParseTableKey(key string) (t TableID, number uint64, op OperationID, ok bool) {
	rest, found := strings.CutPrefix(key, TablePrefix)
	if !found {
		return "", 0, "", false
	}
	table, name, found := strings.Cut(rest, "/")
	if !found || len(name) < 22 || name[20] != '-' {
		return "", 0, "", false
	}
	v, err := ParseVersion(name[:20])
	if err != nil || TableID(table).Validate() != nil || OperationID(name[21:]).Validate() != nil {
		return "", 0, "", false
	}
	return TableID(table), uint64(v), OperationID(name[21:]), true
}

// VersionKey returns the name of the table version that an object belongs to, and
// its operation: the version's own object, or one of its parts, whose names are
// the version's, a dot, and anything ("….part-0001"). They live and die with it.
// ok is false for any other name.
func VersionKey(key string) (version string, op OperationID, ok bool) {
	dir := strings.LastIndexByte(key, '/')
	name, _, _ := strings.Cut(key[dir+1:], ".")
	version = key[:dir+1] + name
	_, _, op, ok = ParseTableKey(version)
	return version, op, ok
}
