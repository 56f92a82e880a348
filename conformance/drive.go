// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/s3serve"
)

// Options says what is driven, and where. Bucket, Writer, Dir and NewID are required.
type Options struct {
	// Bucket gets a root for each case, below a name of its own.
	Bucket objstore.Bucket
	// Writer is the command that runs the store, for a shell.
	Writer string
	// Dir is a directory for what the writer keeps on its own disk.
	Dir string
	// NewID returns a fresh unique id (a ULID, usually).
	NewID func() string
	// Patience bounds the wait for each line. Default 60 s.
	Patience time.Duration
	// Only runs the cases whose names contain it, and the first one, which all need.
	Only string
	// Done is told of each case. May be nil.
	Done func(Case)
}

// Case is one run of the writer, from an empty root to a root at rest.
type Case struct {
	Name       string      `json:"name"`
	Violations []Violation `json:"violations"`
	Requests   int         `json:"requests"`
	// NotReached: the writer did not make the write that the fault was for.
	NotReached bool          `json:"notReached,omitempty"`
	Took       time.Duration `json:"tookNanoseconds"`
}

// Result is what driving a writer came to.
type Result struct {
	Writer string `json:"writer"`
	Cases  []Case `json:"cases"`
	Failed int    `json:"failed"`
}

// Drive runs the writer through every case. The error says that it could not: the
// command does not run, or does not get through the case without any fault.
func Drive(ctx context.Context, opt Options) (*Result, error) {
	if opt.Patience == 0 {
		opt.Patience = time.Minute
	}
	if opt.Done == nil {
		opt.Done = func(Case) {}
	}
	res := &Result{Writer: opt.Writer}
	clean := &run{opt: &opt, name: "no fault"}
	if err := res.add(ctx, clean, clean.plain); err != nil {
		return res, err
	}
	if res.Failed > 0 { // every other case would say the same again
		return res, nil
	}
	for _, s := range scenarios(clean.startWrites, clean.commitWrites) {
		if !strings.Contains(s.name, opt.Only) {
			continue
		}
		r := &run{opt: &opt, name: s.name}
		if err := res.add(ctx, r, func(ctx context.Context) error { return s.do(r, ctx) }); err != nil {
			return res, err
		}
	}
	return res, nil
}

// add runs a case. What the writer does wrong is in the case; an error is ours.
func (res *Result) add(ctx context.Context, r *run, do func(context.Context) error) error {
	began := time.Now()
	if err := r.open(ctx); err != nil {
		return err
	}
	err := do(ctx)
	if err == nil {
		err = r.rest(ctx)
	}
	r.close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrong *wrongError
	switch {
	case errors.As(err, &wrong):
		r.watch.violate(wrong.rule, "", "%v", wrong.err)
	case err != nil:
		return fmt.Errorf("case %q: %w", r.name, err)
	}
	c := Case{Name: r.name, Violations: r.watch.violations, Requests: r.watch.requests, NotReached: r.missed, Took: time.Since(began)}
	slices.SortStableFunc(c.Violations, func(a, b Violation) int { return strings.Compare(a.Rule.Section, b.Rule.Section) })
	res.Cases = append(res.Cases, c)
	if len(c.Violations) > 0 {
		res.Failed++
	}
	r.opt.Done(c)
	return nil
}

// wrongError ends a case: the writer broke a rule so that there is nothing to go on with.
type wrongError struct {
	rule Rule
	err  error
}

func (e *wrongError) Error() string { return e.err.Error() }

func wrong(r Rule, format string, args ...any) error {
	return &wrongError{r, fmt.Errorf(format, args...)}
}

// open makes the case's root and the door to it.
func (r *run) open(ctx context.Context) error {
	id := r.opt.NewID()
	r.bucket = objstore.Prefix(r.opt.Bucket, "conformance-"+id)
	r.dir = filepath.Join(r.opt.Dir, id)
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.watch = newWatch(r.bucket)
	r.server = &http.Server{Handler: s3serve.Handler("root", r.watch.serve), ReadHeaderTimeout: 10 * time.Second}
	r.endpoint = "http://" + l.Addr().String()
	go func() { _ = r.server.Serve(l) }() // ends with Close
	return nil
}

// close ends the case's processes and removes its root, unless it shows a breach.
func (r *run) close() {
	r.kill()
	_ = r.server.Close()
	_ = os.RemoveAll(r.dir)
	if len(r.watch.violations) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for e, err := range r.bucket.List(ctx, "", "") {
		if err != nil || r.bucket.Delete(ctx, e.Key) != nil {
			return // litter under a name of its own
		}
	}
}

// environment is what the writer's process gets.
func (r *run) environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(name, "AWS_") && !strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			env = append(env, kv)
		}
	}
	return append(env,
		"SALVOR_ROOT=s3://root?endpoint="+r.endpoint+"&region=us-east-1", "SALVOR_WRITER=conformance-0", "SALVOR_DATA_DIR="+r.dir,
		"AWS_ENDPOINT_URL="+r.endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=conformance", "AWS_SECRET_ACCESS_KEY=conformance")
}

// NotReached counts the cases whose fault the writer did not meet.
func (res *Result) NotReached() (n int) {
	for _, c := range res.Cases {
		if c.NotReached {
			n++
		}
	}
	return n
}
