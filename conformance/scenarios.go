// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/s3serve"
)

// scenario is what a case does with a fresh writer and an empty root.
type scenario struct {
	name string
	do   func(*run, context.Context) error
}

// plain is the case without a fault. It notes which writes the others are about.
func (r *run) plain(ctx context.Context) error {
	f := r.watch.fault
	f.arm()
	if err := r.mustStart(ctx); err != nil {
		return err
	}
	r.startWrites = f.writes()
	if err := r.reads(ctx); err != nil {
		return err
	}
	for _, tables := range [][]string{{"a"}, {"b"}} {
		if err := r.mustCommit(ctx, tables...); err != nil {
			return err
		}
	}
	f.arm()
	if err := r.mustCommit(ctx, "a", "b"); err != nil {
		return err
	}
	r.commitWrites = f.writes()
	return nil
}

// harm is what can happen to one write.
type harm struct {
	name   string
	kills  bool
	before func(*run) *s3serve.Response
	after  func(*run) *s3serve.Response
}

var harms = []harm{
	{name: "killed before", kills: true, before: func(r *run) *s3serve.Response { r.kill(); return s3serve.Lost }},
	{name: "killed after", kills: true, after: func(r *run) *s3serve.Response { r.kill(); return s3serve.Lost }},
	{name: "answer lost to", after: func(*run) *s3serve.Response { return s3serve.Lost }},
	{name: "request lost of", before: func(*run) *s3serve.Response { return s3serve.Lost }},
	{name: "slowed down at", before: func(*run) *s3serve.Response { return s3serve.SlowDown("try again") }},
}

// scenarios are the cases for a writer that makes these writes.
func scenarios(start, commit []string) (out []scenario) {
	for i, write := range start {
		for _, h := range harms {
			name := fmt.Sprintf("start: %s write %d of %d, %s", h.name, i+1, len(start), write)
			out = append(out, scenario{name, func(r *run, ctx context.Context) error { return r.harmedStart(ctx, h, i+1) }})
		}
	}
	for i, write := range commit {
		for _, h := range harms {
			name := fmt.Sprintf("commit: %s write %d of %d, %s", h.name, i+1, len(commit), write)
			out = append(out, scenario{name, func(r *run, ctx context.Context) error { return r.harmedCommit(ctx, h, i+1) }})
		}
		if strings.HasPrefix(write, "PUT") {
			name := fmt.Sprintf("commit: fenced before write %d of %d, %s", i+1, len(commit), write)
			out = append(out, scenario{name, func(r *run, ctx context.Context) error { return r.fencedCommit(ctx, i+1) }})
		}
	}
	return append(out,
		scenario{"commit: another publication takes the number", (*run).rebased},
		scenario{"commit: another writer moves a table", (*run).movedPin},
		scenario{"commit: another operation pends on a table", (*run).pending},
		scenario{"idle: fenced between two commits", (*run).fencedIdle},
		scenario{"idle: a newer format appears", (*run).newerFormat},
	)
}

// set makes h happen to the n-th write from now on.
func (r *run) set(h harm, n int) {
	f := r.watch.fault
	f.At = n
	if h.before != nil {
		f.Before = func(*s3serve.Request) *s3serve.Response { return h.before(r) }
	}
	if h.after != nil {
		f.After = func(*s3serve.Request) *s3serve.Response { return h.after(r) }
	}
	f.arm()
}

func (r *run) harmedStart(ctx context.Context, h harm, n int) error {
	r.set(h, n)
	err := r.start(ctx)
	r.missed = r.watch.fault.happened() == ""
	if err != nil && !errors.Is(err, errEnded) { // nothing is promised yet: it may end, and be started again
		return wrong(Speaks, "start: %v", err)
	}
	return nil
}

// begin is a writer with a version of each table.
func (r *run) begin(ctx context.Context) error {
	if err := r.mustStart(ctx); err != nil {
		return err
	}
	if err := r.mustCommit(ctx, "a"); err != nil {
		return err
	}
	return r.mustCommit(ctx, "b")
}

func (r *run) harmedCommit(ctx context.Context, h harm, n int) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	r.set(h, n)
	c, err := r.commit(ctx, "a", "b")
	r.missed = r.watch.fault.happened() == ""
	switch {
	case err != nil, h.kills:
		return err
	case c.ended:
		return wrong(LostAnswer, "the writer ended: one request without an answer is no reason to")
	case c.answer.word == "unknown":
		return wrong(LostAnswer, "the writer says unknown %s: the next request would have told", c.answer.why)
	}
	return nil
}

// fencedCommit ends the writer's epoch before a write, while somebody recovers.
func (r *run) fencedCommit(ctx context.Context, n int) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	r.set(harm{before: func(r *run) *s3serve.Response {
		if err := r.fence(ctx); err != nil {
			return s3serve.SlowDown(err.Error())
		}
		_ = r.recover(ctx, false) // again below, and at the end, where an error counts
		return nil
	}}, n)
	stop := r.recovering(ctx)
	_, err := r.commit(ctx, "a", "b")
	stop()
	r.missed = r.watch.fault.happened() == ""
	if err != nil {
		return err
	}
	return r.goesOn(ctx, "b")
}

// recovering recovers what ended epochs left, until stop is called.
func (r *run) recovering(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for objstore.Sleep(ctx, 100*time.Millisecond) == nil {
			_ = r.recover(ctx, false) // and at the end, where an error counts
		}
	})
	return func() { cancel(); wg.Wait() }
}

// goesOn wants a commit to succeed in the end: a fenced writer registers again, or
// exits and its successor does.
func (r *run) goesOn(ctx context.Context, table string) error {
	stop := r.recovering(ctx)
	defer stop()
	why := ""
	for range 3 {
		c, err := r.commit(ctx, table)
		if err != nil {
			return err
		}
		if c.answer.word == "ok" {
			return nil
		}
		why = c.answer.word + " " + c.answer.why
		if c.ended {
			if err := r.mustStart(ctx); err != nil {
				return err
			}
		}
	}
	return wrong(Fenced, "after a fence it does not get on: %s", why)
}

func (r *run) fencedIdle(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := r.fence(ctx); err != nil {
		return err
	}
	return r.goesOn(ctx, "b")
}
