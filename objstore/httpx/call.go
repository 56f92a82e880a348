// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Call is one call of a bucket on its way. Its context goes to the SDK; what the
// Observer sees of the call's requests, of the last one if several, is kept here.
type Call struct {
	verb, key, where string
	limits           Limits
	outer            context.Context // the caller's
	cancel           context.CancelFunc

	mu     sync.Mutex
	sent   bool
	status int
	date   time.Time
}

type callKey struct{}

// Begin returns the context for the SDK. where names the bucket in messages. End
// must be called.
func Begin(ctx context.Context, l Limits, where, verb, key string) (context.Context, *Call) {
	c := &Call{verb: verb, key: key, where: where, limits: l, outer: ctx}
	ctx, c.cancel = context.WithTimeout(context.WithValue(ctx, callKey{}, c), l.CallTimeout)
	return ctx, c
}

// End releases the context.
func (c *Call) End() { c.cancel() }

// Date is the server's clock when it answered; zero when it did not.
func (c *Call) Date() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.date
}

// Answer is what the wire saw of the last request, with the provider's word for
// its error.
func (c *Call) Answer(code string) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Answer{Sent: c.sent, Status: c.status, Code: code}
}

// Wrap returns err with the verb, the key, the bucket and what to do next. It is
// never nil.
func (c *Call) Wrap(v Verdict, err error) error {
	prefix := c.verb + " " + c.key
	if ended := c.outer.Err(); ended != nil {
		return fmt.Errorf("%s: %w: %w", prefix, ended, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		// Ours, not the caller's: his context has not ended, and he must not see it so.
		return fmt.Errorf("%s in %s: no answer in time (limits: %s for an answer, %s for a call): %s", prefix, c.where, c.limits.AnswerTimeout, c.limits.CallTimeout, err.Error())
	}
	if v.Hint != "" {
		err = fmt.Errorf("%s: %w", v.Hint, err)
	}
	if v.Err != nil {
		err = fmt.Errorf("%w: %w", v.Err, err)
	}
	return fmt.Errorf("%s in %s: %w", prefix, c.where, err)
}

// Observer tells the Call of a request what became of it: whether there was a
// connection, the status, the server's clock.
type Observer struct {
	// Client sends.
	Client *http.Client
	// Authorize, when set, gives a request its credentials. What it asks of others
	// is not part of the call, and when it fails nothing was sent.
	Authorize func(*http.Request) error
}

// Do sends the request once.
//
// An error names the URL without its query, which may be a shared access signature:
// errors end in conditions and logs.
func (o Observer) Do(req *http.Request) (*http.Response, error) {
	resp, err := o.send(req, o.Client.Do)
	var failed *url.Error
	if errors.As(err, &failed) {
		failed.URL, _, _ = strings.Cut(failed.URL, "?")
	}
	return resp, err
}

// RoundTrip implements http.RoundTripper, for SDKs that take a client of their own.
func (o Observer) RoundTrip(req *http.Request) (*http.Response, error) {
	return o.send(req.Clone(req.Context()), o.Client.Transport.RoundTrip)
}

// send may change the headers of req.
func (o Observer) send(req *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	c, _ := req.Context().Value(callKey{}).(*Call)
	if c == nil {
		c = &Call{} // nobody asks it
	}
	c.saw(false, 0, time.Time{})
	if o.Authorize != nil {
		if err := o.Authorize(req); err != nil {
			return nil, err
		}
	}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { c.saw(true, 0, time.Time{}) }}
	resp, err := next(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if resp != nil {
		date, _ := http.ParseTime(resp.Header.Get("Date"))
		c.saw(true, resp.StatusCode, date)
	}
	return resp, err
}

func (c *Call) saw(sent bool, status int, date time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent, c.status, c.date = sent, status, date
}
