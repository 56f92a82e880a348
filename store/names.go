// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/salvor-io/salvor/manifest"
)

// The bounds of what a client sends.
const (
	maxName       = 64
	maxKey        = 512
	maxRow        = 1 << 20
	maxStatements = 10000
	maxBody       = 8 << 20
)

// names maps a client's table names to the ids that this writer owns. No name has
// a dot, so that the tables of writers "a" and "a.b" can be told apart.
type names struct{ prefix string }

func (n names) id(name string) manifest.TableID { return manifest.TableID(n.prefix + name) }

// owned returns the name of a table of this writer.
func (n names) owned(t manifest.TableID) (string, bool) {
	name, ok := strings.CutPrefix(string(t), n.prefix)
	return name, ok && n.check(name) == nil
}

// check says why a client may not use a table name.
func (n names) check(name string) error {
	if name == "" || len(name) > maxName {
		return invalid("table name %q: want 1 to %d characters", name, maxName)
	}
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return invalid("table name %q: character %q is not allowed, want letters, digits, '-' and '_'", name, c)
		}
	}
	if err := n.id(name).Validate(); err != nil {
		return invalid("table name %q: %v", name, err)
	}
	return nil
}

func checkKey(key string) error {
	switch {
	case key == "" || len(key) > maxKey:
		return invalid("key %q: want 1 to %d bytes", clip(key), maxKey)
	case !utf8.ValidString(key), strings.ContainsFunc(key, unicode.IsControl):
		return invalid("key %q: want UTF-8 without control characters", clip(key))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// invalid is what the client has to correct.
func invalid(format string, args ...any) error {
	return &Refusal{Reason: ReasonInvalid, Message: fmt.Sprintf(format, args...)}
}
