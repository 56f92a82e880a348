// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"strings"
	"sync"

	"github.com/salvor-io/salvor/objstore/s3serve"
)

// fault is what happens to one of the writes that a writer makes from Arm of the
// fault on.
type fault struct {
	mu    sync.Mutex
	armed bool
	n     int // writes seen since it was armed
	// At is the write that it happens to, from 1. Zero: none; writes are only counted.
	At int
	// Before and After run around the write. What they return is the answer, in
	// place of what came of it; the write is not done if Before returns one.
	Before, After func(*s3serve.Request) *s3serve.Response
	// On says which write it happens to, in place of At. May be nil.
	On func(*s3serve.Request) bool

	seen  []string
	hit   string
	fired bool
}

// arm makes it happen to what comes from now on.
func (f *fault) arm() { f.mu.Lock(); defer f.mu.Unlock(); f.armed, f.n, f.seen = true, 0, nil }

// writes returns what was written since it was armed.
func (f *fault) writes() []string { f.mu.Lock(); defer f.mu.Unlock(); return f.seen }

// Happened tells which write it happened to; "" when it was never reached.
func (f *fault) happened() string { f.mu.Lock(); defer f.mu.Unlock(); return f.hit }

func (f *fault) before(r *s3serve.Request) *s3serve.Response {
	f.mu.Lock()
	if !f.armed || strings.HasPrefix(r.Key, "probe/") {
		f.mu.Unlock()
		return nil
	}
	f.n++
	f.seen = append(f.seen, describe(r))
	f.fired = f.hit == "" && (f.On == nil && f.n == f.At || f.On != nil && f.On(r))
	do := f.Before
	if f.fired {
		f.hit = describe(r)
	}
	fired := f.fired
	f.mu.Unlock()
	if !fired || do == nil {
		return nil
	}
	return do(r)
}

func (f *fault) after(r *s3serve.Request) *s3serve.Response {
	f.mu.Lock()
	fired := f.fired && f.hit == describe(r)
	f.fired = f.fired && !fired
	do := f.After
	f.mu.Unlock()
	if !fired || do == nil {
		return nil
	}
	return do(r)
}

// describe is a write without what differs from run to run.
func describe(r *s3serve.Request) string {
	dir, rest, _ := strings.Cut(r.Key, "/")
	switch {
	case dir == "tables":
		table, _, _ := strings.Cut(rest, "/")
		rest = table + "/<version>"
	case strings.HasSuffix(rest, ".confirmed"):
		rest = "<op>.confirmed"
	case dir == "recovery":
		rest = "<op>"
	case dir == "manifest":
		rest = "<n>"
	}
	if rest != "" {
		dir += "/" + rest
	}
	return string(r.Verb) + " " + dir
}
