// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// Reason is how a connection to a pod ended, or why there was none.
type Reason string

// The reasons. What they are worth as evidence is for detect to say.
const (
	// Unreachable: there was no connection (refused, no route, no such name).
	Unreachable Reason = "Unreachable"
	// EOF: the other side closed it, in an orderly way or by its death.
	EOF Reason = "EOF"
	// Reset: the other side's kernel knows nothing of it (any more).
	Reset Reason = "Reset"
	// Silent: nothing came for as long as the caller was willing to wait.
	Silent Reason = "Silent"
	// Protocol: what answers is no store process, or none of a version that we speak.
	Protocol Reason = "Protocol"
	// Closed: our own side closed it.
	Closed Reason = "Closed"
)

// Error says why a call or a stream ended.
type Error struct {
	Addr   string
	Reason Reason
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("control %s: %s: %v", e.Addr, e.Reason, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason inside err; "" when it holds none.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// errProtocol marks an answer that is not understood.
var errProtocol = errors.New("not understood")

// ended turns the error of a read or a write into an *Error.
func ended(ctx context.Context, addr string, err error) *Error {
	e := &Error{Addr: addr, Err: err}
	switch {
	case ctx.Err() != nil:
		e.Reason, e.Err = Closed, context.Cause(ctx)
	case errors.Is(err, net.ErrClosed):
		e.Reason = Closed
	case errors.Is(err, errProtocol):
		e.Reason = Protocol
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Reason = Silent
	default: // ECONNRESET, EPIPE, EHOSTUNREACH, ...: the connection is lost
		e.Reason = Reset
	}
	return e
}
