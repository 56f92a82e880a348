// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/aws/smithy-go"

	"github.com/salvor-io/salvor/objstore"
)

// observed is what the wire saw of one call: of its last attempt, if several.
type observed struct {
	mu     sync.Mutex
	sent   bool
	status int
	date   time.Time
}

type observedKey struct{}

// observer is the SDK's HTTP client. It notes what an error of the SDK does not
// say reliably: whether there was a connection, the status, the server's clock.
type observer struct{ client *http.Client }

// Do implements s3.HTTPClient.
func (c observer) Do(req *http.Request) (*http.Response, error) {
	o, _ := req.Context().Value(observedKey{}).(*observed)
	if o == nil {
		return c.client.Do(req)
	}
	o.mu.Lock()
	o.sent, o.status, o.date = false, 0, time.Time{}
	o.mu.Unlock()
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sent = true
	}}
	resp, err := c.client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if resp != nil {
		date, _ := http.ParseTime(resp.Header.Get("Date"))
		o.mu.Lock()
		defer o.mu.Unlock()
		o.status, o.date = resp.StatusCode, date
	}
	return resp, err
}

// call is one call of the bucket on its way.
type call struct {
	b         *Bucket
	verb, key string
	outer     context.Context // the caller's
	observed  *observed
	cancel    context.CancelFunc
}

// begin returns the context for the SDK. end must be called.
func (b *Bucket) begin(ctx context.Context, verb, key string) (context.Context, *call) {
	c := &call{b: b, verb: verb, key: key, outer: ctx, observed: &observed{}}
	ctx, c.cancel = context.WithTimeout(context.WithValue(ctx, observedKey{}, c.observed), b.o.CallTimeout)
	return ctx, c
}

func (c *call) end() { c.cancel() }

// date is the server's clock when it answered.
func (c *call) date() time.Time {
	c.observed.mu.Lock()
	defer c.observed.mu.Unlock()
	return c.observed.date
}

// status is that of the last answer; 0 when there was none.
func (c *call) status() int {
	c.observed.mu.Lock()
	defer c.observed.mu.Unlock()
	return c.observed.status
}

// fail says what an error of the SDK means: a put's outcome, and the error with
// the verb, the key and what to do next.
func (c *call) fail(err error) (objstore.Outcome, error) {
	c.observed.mu.Lock()
	a := Answer{Sent: c.observed.sent, Status: c.observed.status}
	c.observed.mu.Unlock()
	var api smithy.APIError
	if errors.As(err, &api) {
		a.Code = api.ErrorCode()
	}
	v := Classify(a)
	return v.Outcome, c.wrap(v, err)
}

func (c *call) wrap(v Verdict, err error) error {
	prefix := c.verb + " " + c.key
	if ended := c.outer.Err(); ended != nil {
		return fmt.Errorf("%s: %w: %w", prefix, ended, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		// Ours, not the caller's: his context has not ended, and he must not see it so.
		return fmt.Errorf("%s in %s: no answer in time (limits: %s for an answer, %s for a call): %s", prefix, c.b.where, c.b.o.AnswerTimeout, c.b.o.CallTimeout, err.Error())
	}
	if v.Hint != "" {
		err = fmt.Errorf("%s: %w", v.Hint, err)
	}
	if v.Err != nil {
		err = fmt.Errorf("%w: %w", v.Err, err)
	}
	return fmt.Errorf("%s in %s: %w", prefix, c.b.where, err)
}
