// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// OrderPrefix is where an operator asks single processes for something. Whoever can
// write the root may ask; a call to a process's control port only makes it look.
const OrderPrefix = "orders/"

// OrderMode is what is asked of a process. The words are on disk.
type OrderMode string

const (
	// Hasten: publish what is acknowledged as often as you can; go on taking writes.
	Hasten OrderMode = "Hasten"
	// Drain: take no more writes, finish what is under way and publish all of it.
	Drain OrderMode = "Drain"
)

// Order asks one process of a writer for something that it could do by itself. It
// decides nothing: whatever becomes of it, nothing is lost and nobody is fenced.
//
//	put ──▶ heeded by the process that it names, which reads it when it is told
//	           └── deleted, or Lasts is over since it was read ──▶ none
//
// Its end needs nobody: who gave it may be gone.
type Order struct {
	Store   string    `json:"store"`
	Writer  WriterID  `json:"writer"`
	Process ProcessID `json:"process"`
	Mode    OrderMode `json:"mode"`
	// Reason and By are for people: why, and who asks.
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
	// Lasts is how long it is heeded at most, from when it was first read.
	Lasts Seconds `json:"lastsSeconds"`
}

// Seconds is a length of time as objects have it.
type Seconds int64

// Duration of it.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// OrderMost is the longest that an order may last.
const OrderMost = time.Hour

const orderKind = "order"

var (
	orderFormats = envelope.Formats{1}
	orderID      = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

// OrderKey returns the name of an order.
func OrderKey(w WriterID, id string) string { return OrderPrefix + string(w) + "/" + id }

// ErrInvalidOrder is wrapped when an order cannot be given.
var ErrInvalidOrder = errors.New("invalid order")

// Validate names what is wrong with an order.
func (o *Order) Validate() error {
	switch {
	case o.Store == "" || o.Process == "":
		return fmt.Errorf("%w: it names no store or no process", ErrInvalidOrder)
	case o.Writer.Validate() != nil:
		return fmt.Errorf("%w: %w", ErrInvalidOrder, o.Writer.Validate())
	case o.Mode != Hasten && o.Mode != Drain:
		return fmt.Errorf("%w: mode %q: want Hasten or Drain", ErrInvalidOrder, o.Mode)
	case o.Lasts <= 0 || o.Lasts.Duration() > OrderMost:
		return fmt.Errorf("%w: it lasts %s: want up to %s", ErrInvalidOrder, o.Lasts.Duration(), OrderMost)
	}
	return nil
}

// PutOrder gives an order under a fresh id.
func PutOrder(ctx context.Context, b objstore.Bucket, id string, o Order) error {
	if !orderID.MatchString(id) {
		return fmt.Errorf("%w: id %q: want up to 64 of A-Z, a-z, 0-9 and -", ErrInvalidOrder, id)
	}
	if err := o.Validate(); err != nil {
		return err
	}
	raw, err := envelope.Encode(orderKind, orderFormats.At(1), o)
	if err != nil {
		return err
	}
	res, err := b.PutIfAbsent(ctx, OrderKey(o.Writer, id), raw, id)
	if res.Outcome == objstore.Created {
		return nil
	}
	// Exists, Retry or Unknown: the next try takes another id, and what may have
	// landed names the same process and ends by itself.
	return fmt.Errorf("give order %s to %s: %s: %w", id, o.Writer, res.Outcome, errors.Join(ErrUnknown, err))
}

// ReadOrder returns an order; objstore.ErrNotFound when there is none (any more).
func ReadOrder(ctx context.Context, b objstore.Bucket, w WriterID, id string) (Order, error) {
	var o Order
	if !orderID.MatchString(id) {
		return o, fmt.Errorf("%w: id %q", ErrInvalidOrder, id)
	}
	key := OrderKey(w, id)
	got, err := b.Get(ctx, key)
	if err != nil {
		return o, fmt.Errorf("read order %s: %w", id, err)
	}
	if _, err := envelope.Decode(orderKind, orderFormats.Newest(), got.Body, &o); err != nil {
		return o, objectError(key, err)
	}
	if o.Writer != w {
		return o, fmt.Errorf("%w: %s is for writer %s", ErrInvalidOrder, key, o.Writer)
	}
	return o, o.Validate()
}

// DropOrders takes back every order of a writer but the one kept, and returns how
// many there were.
func DropOrders(ctx context.Context, b objstore.Bucket, w WriterID, keep string) (int, error) {
	var keys []string
	for e, err := range b.List(ctx, OrderPrefix+string(w)+"/", "") {
		if err != nil {
			return 0, fmt.Errorf("list the orders of %s: %w", w, err)
		}
		if keep == "" || e.Key != OrderKey(w, keep) {
			keys = append(keys, e.Key)
		}
	}
	for i, key := range keys {
		if err := b.Delete(ctx, key); err != nil {
			return i, fmt.Errorf("take back %s: %w", key, err)
		}
	}
	return len(keys), nil
}
