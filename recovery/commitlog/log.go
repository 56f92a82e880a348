// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package commitlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
)

// Prefix is where the tables of this format live in a root.
const Prefix = "commits/"

const (
	kind   = "commit"
	format = 1
)

// Commit is one version of a table.
type Commit struct {
	Table  manifest.TableID `json:"table"`
	Number uint64           `json:"number"`
	// Operation that made it: whose it is.
	Operation manifest.OperationID `json:"operation"`
	// Gone: readers see no table.
	Gone    bool            `json:"gone,omitempty"`
	Content json.RawMessage `json:"content,omitempty"`

	// Digest of the object, from its first line. It does not stand in the body.
	Digest string `json:"-"`
}

// Ref names the version.
func (c *Commit) Ref() manifest.Ref { return manifest.Ref{Number: c.Number, Operation: c.Operation} }

// Key returns the name of version n of table t.
func Key(t manifest.TableID, n uint64) string {
	return fmt.Sprintf("%s%020d", dir(t), n)
}

func dir(t manifest.TableID) string { return Prefix + string(t) + "/" }

// ErrTaken: another commit has the number that the writer planned.
var ErrTaken = errors.New("another commit has the number")

// Log reads and writes the tables of one root. It is safe for concurrent use.
type Log struct {
	b objstore.Bucket
	p objstore.Patience
}

// New returns the tables in b. patience bounds how long a lost answer is looked into.
func New(b objstore.Bucket, patience objstore.Patience) *Log { return &Log{b: b, p: patience} }

// Read returns the newest commit of a table, which is what its readers see;
// objstore.ErrNotFound when there never was one.
func (l *Log) Read(ctx context.Context, t manifest.TableID) (*Commit, error) {
	newest := ""
	for e, err := range l.b.List(ctx, dir(t), "") {
		if err != nil {
			return nil, fmt.Errorf("list table %s: %w", t, err)
		}
		newest = e.Key
	}
	if newest == "" {
		return nil, fmt.Errorf("table %s: %w", t, objstore.ErrNotFound)
	}
	return l.get(ctx, newest)
}

// Write returns what makes content an operation's version of the table, for
// recovery.Change.
func (l *Log) Write(content any) func(ctx context.Context, v recovery.TableVersion) (digest string, err error) {
	return func(ctx context.Context, v recovery.TableVersion) (string, error) {
		raw, err := json.Marshal(content)
		if err != nil {
			return "", err
		}
		c := &Commit{Table: v.Table, Number: v.Number, Operation: v.Operation, Content: raw}
		other, err := l.put(ctx, c)
		if err == nil && other != nil {
			err = fmt.Errorf("table %s: %w: version %s", v.Table, ErrTaken, other.Ref())
		}
		return c.Digest, err
	}
}

// put makes c durable and sets its digest, or returns the commit that has its number.
func (l *Log) put(ctx context.Context, c *Commit) (other *Commit, err error) {
	raw, err := envelope.Encode(kind, format, c)
	if err != nil {
		return nil, err
	}
	h, _, err := envelope.ParseHeader(raw)
	if err != nil {
		return nil, err
	}
	c.Digest = h.Digest
	key := Key(c.Table, c.Number)
	own, o, err := objstore.Settle(ctx, l.b, key, raw, string(c.Operation), l.p)
	switch {
	case err != nil || own:
		return nil, err
	case o.Key == "":
		return l.get(ctx, key)
	}
	return decode(key, o.Body)
}

func (l *Log) get(ctx context.Context, key string) (*Commit, error) {
	o, err := l.b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return decode(key, o.Body)
}

func decode(key string, raw []byte) (*Commit, error) {
	var c Commit
	if _, err := envelope.Decode(kind, format, raw, &c); err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	if Key(c.Table, c.Number) != key || c.Operation == "" {
		return nil, fmt.Errorf("object %s: %w: it says that it is version %d of table %s by %q", key, envelope.ErrMalformed, c.Number, c.Table, c.Operation)
	}
	h, _, err := envelope.ParseHeader(raw)
	c.Digest = h.Digest
	return &c, err
}
