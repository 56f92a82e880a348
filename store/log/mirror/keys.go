// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/salvor-io/salvor/store/log"
)

// The names in a root. Every number has 20 digits, so names sort as numbers do.
const (
	// RangePrefix is where the ranges of logs live, by writer and epoch.
	RangePrefix = "wal/"
	// SnapshotPrefix is where snapshots live, by writer and position.
	SnapshotPrefix = "snapshot/"

	beginName = "begin"
)

// Name is a range of one epoch, as its object's name says it.
type Name struct {
	Epoch       uint64
	First, Last log.Position
}

// Key is the name of the object.
func (n Name) Key(writer string) string {
	return fmt.Sprintf("%s%s/%020d/%020d-%020d", RangePrefix, writer, n.Epoch, uint64(n.First), uint64(n.Last))
}

// SnapshotName is a snapshot, as its object's name says it. The epoch is a part of it: a
// process that was fenced may be at the same position in another history.
type SnapshotName struct {
	Position log.Position
	Epoch    uint64
}

// Key is the name of the object.
func (n SnapshotName) Key(writer string) string {
	return fmt.Sprintf("%s%s/%020d-%020d", SnapshotPrefix, writer, uint64(n.Position), n.Epoch)
}

// BeginKey is the name of the object that begins an epoch.
func BeginKey(writer string, epoch uint64) string {
	return fmt.Sprintf("%s%s/%020d/%s", RangePrefix, writer, epoch, beginName)
}

// partKey is the name of a part of the object at key: the key, a dot, and the part's
// digest without "sha256:". It lives and dies with it.
func partKey(key, digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return key + "." + hex
}

// whole cuts the suffix of a part off.
func whole(key string) (of string, part bool) {
	dir := strings.LastIndexByte(key, '/')
	name, _, part := strings.Cut(key[dir+1:], ".")
	return key[:dir+1] + name, part
}

// parseRange is the inverse of Name.Key; ok is false for any other name.
func parseRange(writer, key string) (n Name, ok bool) {
	epoch, name, _ := strings.Cut(strings.TrimPrefix(key, RangePrefix+writer+"/"), "/")
	first, last, _ := strings.Cut(name, "-")
	e, ok1 := number(epoch)
	f, ok2 := number(first)
	l, ok3 := number(last)
	n = Name{Epoch: e, First: log.Position(f), Last: log.Position(l)}
	return n, ok1 && ok2 && ok3 && f > 0 && f <= l && n.Key(writer) == key
}

// parseBegin is the inverse of BeginKey.
func parseBegin(writer, key string) (epoch uint64, ok bool) {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, RangePrefix+writer+"/"), "/")
	epoch, ok = number(name)
	return epoch, ok && BeginKey(writer, epoch) == key
}

// parseSnapshot is the inverse of SnapshotName.Key.
func parseSnapshot(writer, key string) (n SnapshotName, ok bool) {
	position, epoch, _ := strings.Cut(strings.TrimPrefix(key, SnapshotPrefix+writer+"/"), "-")
	p, ok1 := number(position)
	e, ok2 := number(epoch)
	n = SnapshotName{Position: log.Position(p), Epoch: e}
	return n, ok1 && ok2 && n.Key(writer) == key
}

func number(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && len(s) == 20
}
