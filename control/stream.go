// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
)

// Stream is a pod's status as it changes. One goroutine calls Next; Close may be
// called by another.
type Stream struct {
	ctx  context.Context
	addr string
	opt  DialOptions
	conn net.Conn
	body io.Reader
	stop func() bool

	// buf[:n] was read and not returned yet. It is small and grows only for a
	// status that needs it.
	buf []byte
	n   int
}

// Dial opens the status stream of the process at addr (host:port). The stream
// ends with ctx. Errors are *Error.
func Dial(ctx context.Context, addr string, opt DialOptions) (*Stream, error) {
	opt = opt.withDefaults()
	target := StreamPath + "?heartbeat=" + url.QueryEscape(opt.Heartbeat.String())
	conn, body, err := exchange(ctx, addr, "GET", target, opt)
	if err != nil {
		return nil, err
	}
	s := &Stream{ctx: ctx, addr: addr, opt: opt, conn: conn, body: body, buf: make([]byte, rawBuffer)}
	s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return s, nil
}

// Addr returns where the stream was dialled.
func (s *Stream) Addr() string { return s.addr }

// Next returns the next status. After an error the stream is over and closed;
// the error is an *Error whose Reason says how it ended: a killed process shows
// as EOF or Reset at once, a dead node as Silent after Patience.
func (s *Stream) Next() (Status, error) {
	st, err := s.next()
	if err == nil {
		return st, nil
	}
	e := ended(s.ctx, s.addr, err)
	_ = s.Close()
	return Status{}, e
}

func (s *Stream) next() (Status, error) {
	var st Status
	line, err := s.line()
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(line, &st); err != nil {
		return st, fmt.Errorf("%w: status %q: %w", errProtocol, clip(string(line)), err)
	}
	s.consume(len(line) + 1)
	return st, nil
}

// line returns the next line without its end; it stays in buf.
func (s *Stream) line() ([]byte, error) {
	// One deadline for the whole line: a peer that dribbles is a silent one.
	if err := s.conn.SetReadDeadline(s.opt.Now().Add(s.opt.Patience)); err != nil {
		return nil, err
	}
	for looked := 0; ; {
		if i := bytes.IndexByte(s.buf[looked:s.n], '\n'); i >= 0 {
			return s.buf[:looked+i], nil
		}
		looked = s.n
		if s.n == len(s.buf) {
			if s.n >= s.opt.MaxLine {
				return nil, fmt.Errorf("%w: a status of more than %d bytes", errProtocol, s.opt.MaxLine)
			}
			grown := make([]byte, min(2*len(s.buf), s.opt.MaxLine))
			copy(grown, s.buf[:s.n])
			s.buf = grown
		}
		m, err := s.body.Read(s.buf[s.n:])
		s.n += m
		if m == 0 && err != nil {
			return nil, err
		}
	}
}

// consume forgets the first n bytes, and the large buffer that one long status needed.
func (s *Stream) consume(n int) {
	rest := s.buf[n:s.n]
	if len(s.buf) > rawBuffer && len(rest) <= rawBuffer {
		s.buf = make([]byte, rawBuffer)
	}
	s.n = copy(s.buf, rest)
}

// Close ends the stream. A Next that waits returns with the reason Closed.
func (s *Stream) Close() error {
	s.stop()
	return s.conn.Close()
}

// GetStatus asks the process at addr once. Errors are *Error.
func GetStatus(ctx context.Context, addr string, opt DialOptions) (Status, error) {
	var st Status
	raw, err := call(ctx, addr, "GET", StatusPath, opt.withDefaults())
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return st, &Error{Addr: addr, Reason: Protocol, Err: fmt.Errorf("%w: status: %w", errProtocol, err)}
	}
	return st, nil
}

// Refresh asks the process at addr to read the manifest soon. Errors are *Error.
func Refresh(ctx context.Context, addr string, opt DialOptions) error {
	_, err := call(ctx, addr, "POST", RefreshPath, opt.withDefaults())
	return err
}

// RefreshOrder is Refresh, and names an order in the root that the process is to read.
func RefreshOrder(ctx context.Context, addr, order string, opt DialOptions) error {
	_, err := call(ctx, addr, "POST", RefreshPath+"?order="+url.QueryEscape(order), opt.withDefaults())
	return err
}

// call makes one request and reads its whole body, within the deadline of opt.Timeout
// that exchange has set.
func call(ctx context.Context, addr, method, target string, opt DialOptions) ([]byte, error) {
	conn, body, err := exchange(ctx, addr, method, target, opt)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	raw, err := io.ReadAll(io.LimitReader(body, int64(opt.MaxLine)))
	if err != nil {
		return nil, ended(ctx, addr, err)
	}
	return raw, nil
}
