// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reason says in one word what a probe found. It fits a condition of a resource.
type Reason string

const (
	// ConditionalWritesNotEnforced: a taken key was created again.
	ConditionalWritesNotEnforced Reason = "ConditionalWritesNotEnforced"
	// ReadsNotConsistent: what was written was not read, or not listed.
	ReadsNotConsistent Reason = "ReadsNotConsistent"
	// DeletesNotEffective: a deleted key was still taken.
	DeletesNotEffective Reason = "DeletesNotEffective"
	// AccessDenied: the credentials do not allow what a store needs.
	AccessDenied Reason = "AccessDenied"
	// NoSuchBucket: the bucket, or the directory, is not there.
	NoSuchBucket Reason = "NoSuchBucket"
	// Unreachable: the probe got no clear answer, which says nothing about the
	// store's promises. Probe again.
	Unreachable Reason = "Unreachable"
)

// ProbeError says which promise of Bucket is not kept, or why that is not known.
type ProbeError struct {
	// Check is what was tried, as in "create a key that is taken".
	Check string
	Why   Reason
	// Hint says what a person can do.
	Hint string
	// Err is what the bucket answered; nil when it was no error but a wrong answer.
	Err error
}

// Error implements error.
func (e *ProbeError) Error() string {
	s := fmt.Sprintf("probe: %s: %s", e.Check, e.Why)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns what the bucket answered.
func (e *ProbeError) Unwrap() error { return e.Err }

const (
	hintConditional = "nothing may be published here: the store, or a proxy before it, ignores If-None-Match; use a store with conditional writes (versitygw: 1.8.0 or later)"
	hintConsistent  = "salvor needs a store whose reads and listings see every write before them"
	hintDeletes     = "salvor needs a store whose deletes take effect: look for object lock, retention or a cache on the way"
)

// Probe finds out whether b keeps the promises that everything else relies on. It
// writes below prefix, which nobody else may use ("probe/<uuid>/"), leaves nothing
// behind, and takes ten requests when all is well:
//
//	missing key       put a            Created
//	existing key      put a            Exists
//	                  get a            the first body
//	list after write  list             a
//	two at once       put b, put b     one Created, one Exists
//	after delete      delete a, put a  Created
//	                  delete a, delete b
//
// It returns a *ProbeError, or nil.
func Probe(ctx context.Context, b Bucket, prefix string) error {
	p := probe{b: b, a: prefix + "a", contest: prefix + "b", prefix: prefix}
	err := p.run(ctx)
	if cleanErr := p.clean(ctx); err == nil {
		err = cleanErr
	}
	return err
}

type probe struct {
	b                  Bucket
	prefix, a, contest string
}

func (p *probe) run(ctx context.Context) error {
	if err := p.put(ctx, "create a key that is absent", p.a, "first", Created); err != nil {
		return err
	}
	if err := p.put(ctx, "create a key that is taken", p.a, "second", Exists); err != nil {
		return err
	}
	if err := p.read(ctx); err != nil {
		return err
	}
	if err := p.list(ctx); err != nil {
		return err
	}
	if err := p.race(ctx); err != nil {
		return err
	}
	if err := p.b.Delete(ctx, p.a); err != nil {
		return unclear("delete a key", err)
	}
	return p.put(ctx, "create a key that was deleted", p.a, "third", Created)
}

// probeTries is how often what may be sent again is sent.
const probeTries = 5

// put expects an outcome. Retry is followed; Unknown is no verdict.
func (p *probe) put(ctx context.Context, check, key, body string, want Outcome) error {
	r, err := p.send(ctx, key, body)
	switch {
	case r.Outcome == want:
		return nil
	case r.Outcome == Created:
		return &ProbeError{Check: check, Why: ConditionalWritesNotEnforced, Hint: hintConditional}
	case r.Outcome == Exists && body == "first":
		return &ProbeError{Check: check, Why: Unreachable, Hint: "the key " + key + " is taken: somebody else probes here; use a name of its own", Err: err}
	case r.Outcome == Exists:
		return &ProbeError{Check: check, Why: DeletesNotEffective, Hint: hintDeletes}
	default:
		return unclear(check, err)
	}
}

func (p *probe) send(ctx context.Context, key, body string) (r PutResult, err error) {
	for range probeTries {
		r, err = p.b.PutIfAbsent(ctx, key, []byte(body), "probe")
		if r.Outcome != Retry || ctx.Err() != nil || errors.Is(err, ErrAccessDenied) || errors.Is(err, ErrNoSuchBucket) {
			break
		}
	}
	return r, err
}

func (p *probe) read(ctx context.Context) error {
	const check = "read what was created"
	o, err := p.b.Get(ctx, p.a)
	switch {
	case errors.Is(err, ErrNotFound):
		return &ProbeError{Check: check, Why: ReadsNotConsistent, Hint: hintConsistent, Err: err}
	case err != nil:
		return unclear(check, err)
	case string(o.Body) == "second":
		return &ProbeError{Check: check, Why: ConditionalWritesNotEnforced, Hint: hintConditional}
	case string(o.Body) != "first":
		return &ProbeError{Check: check, Why: ReadsNotConsistent, Hint: hintConsistent}
	}
	return nil
}

func (p *probe) list(ctx context.Context) error {
	const check = "list what was created"
	found := false
	for e, err := range p.b.List(ctx, p.prefix, "") {
		if err != nil {
			return unclear(check, err)
		}
		found = found || e.Key == p.a
	}
	if !found {
		return &ProbeError{Check: check, Why: ReadsNotConsistent, Hint: hintConsistent}
	}
	return nil
}

// race sends two puts of one absent key at once.
func (p *probe) race(ctx context.Context) error {
	const check = "create an absent key twice at once"
	type answer struct {
		PutResult
		err error
	}
	other := make(chan answer, 1)
	go func() {
		r, err := p.send(ctx, p.contest, "one")
		other <- answer{r, err}
	}()
	r, err := p.send(ctx, p.contest, "two")
	one, two := <-other, answer{r, err}
	switch {
	case one.Outcome == Created && two.Outcome == Created:
		return &ProbeError{Check: check, Why: ConditionalWritesNotEnforced, Hint: hintConditional}
	case one.Outcome == Created && two.Outcome == Exists, one.Outcome == Exists && two.Outcome == Created:
		return nil
	case one.Outcome == Exists && two.Outcome == Exists:
		return &ProbeError{Check: check, Why: ConditionalWritesNotEnforced, Hint: "both were told that the other was there first: " + hintConditional}
	}
	return unclear(check, errors.Join(one.err, two.err))
}

// cleanTimeout bounds tidying up after a context that has ended.
const cleanTimeout = 15 * time.Second

// clean removes both keys, whatever came before, also when ctx has ended.
func (p *probe) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var errs []error
	for _, key := range []string{p.a, p.contest} {
		var err error
		for range probeTries {
			if err = p.b.Delete(ctx, key); err == nil {
				break
			}
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return unclear("delete a key", err)
	}
	return nil
}

// unclear is an answer that says nothing about the store's promises.
func unclear(check string, err error) error {
	e := &ProbeError{Check: check, Why: Unreachable, Err: err}
	switch {
	case errors.Is(err, ErrAccessDenied):
		e.Why = AccessDenied
	case errors.Is(err, ErrNoSuchBucket):
		e.Why = NoSuchBucket
	case errors.Is(err, ErrInvalidKey):
		e.Hint = "the prefix of the root is no clean path"
	default:
		e.Hint = "check the endpoint, the network and the server's own health"
	}
	return e
}
