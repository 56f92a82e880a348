// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

const (
	// rawBuffer is what a connection reads at a time; a status has 300 to 500 bytes.
	rawBuffer = 512
	// maxHead bounds the response's head, maxError the part of an error's body that is told.
	maxHead  = 8 << 10
	maxError = 512
)

// DialOptions tunes the client's side. Every zero value is good.
type DialOptions struct {
	// Heartbeat is asked of the server for a stream. Default 1 s.
	Heartbeat time.Duration
	// Patience is how long a stream may be silent. Default two heartbeats.
	Patience time.Duration
	// Timeout bounds connecting and the answer's head; for GetStatus and Refresh
	// the whole call. Default 5 s.
	Timeout time.Duration
	// MaxLine bounds one status, in bytes. Default 64 KiB.
	MaxLine int
	// DialContext connects. Default a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Now is the clock for deadlines. Default time.Now.
	Now func() time.Time
}

func (o DialOptions) withDefaults() DialOptions {
	if o.Heartbeat == 0 {
		o.Heartbeat = time.Second
	}
	if o.Patience == 0 {
		o.Patience = 2 * o.Heartbeat
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MaxLine == 0 {
		o.MaxLine = 64 << 10
	}
	if o.DialContext == nil {
		// The stream's own heartbeat tells a dead peer from a silent one.
		o.DialContext = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// exchange sends one request and reads the answer's head. The connection's
// deadline is still the one of the head when it returns.
func exchange(ctx context.Context, addr, method, target string, o DialOptions) (net.Conn, io.Reader, error) {
	deadline := o.Now().Add(o.Timeout)
	dctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := o.DialContext(dctx, "tcp", addr)
	if err != nil {
		return nil, nil, &Error{Addr: addr, Reason: Unreachable, Err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	body, err := ask(conn, addr, method, target, deadline)
	if err != nil {
		_ = conn.Close()
		return nil, nil, ended(ctx, addr, err)
	}
	return conn, body, nil
}

func ask(conn net.Conn, addr, method, target string, deadline time.Time) (io.Reader, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	length := ""
	if method != "GET" {
		length = "Content-Length: 0\r\n"
	}
	// Connection: close, so that the end of the body is the end of the stream.
	// HTTP/1.1 all the same: some proxies refuse 1.0.
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: salvor\r\nConnection: close\r\n%s\r\n", method, target, addr, length); err != nil {
		return nil, err
	}
	return readHead(bufio.NewReaderSize(conn, rawBuffer))
}

// readHead reads status line and headers and returns the body.
func readHead(r *bufio.Reader) (io.Reader, error) {
	left := maxHead
	status, err := headLine(r, &left)
	if err != nil {
		return nil, err
	}
	version, rest, _ := strings.Cut(status, " ")
	code, err := strconv.Atoi(rest[:min(3, len(rest))])
	if !strings.HasPrefix(version, "HTTP/1.") || err != nil {
		return nil, fmt.Errorf("%w: it began with %q, not with an HTTP/1.1 status", errProtocol, clip(status))
	}
	var body io.Reader = r
	for {
		line, err := headLine(r, &left)
		if err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case strings.EqualFold(name, "Transfer-Encoding") && strings.EqualFold(value, "chunked"):
			body = httputil.NewChunkedReader(r)
		case strings.EqualFold(name, "Content-Length"):
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%w: Content-Length %q", errProtocol, clip(value))
			}
			body = io.LimitReader(r, n)
		}
	}
	if code < 200 || code > 299 {
		why, _ := io.ReadAll(io.LimitReader(body, maxError))
		return nil, fmt.Errorf("%w: HTTP %d: %s", errProtocol, code, bytes.TrimSpace(why))
	}
	return body, nil
}

// headLine reads one line without its end, and takes it off the allowance.
func headLine(r *bufio.Reader, left *int) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if *left -= len(part); *left < 0 {
			return "", fmt.Errorf("%w: a head of more than %d bytes", errProtocol, maxHead)
		}
		line = append(line, part...)
		if err == nil {
			return string(bytes.TrimRight(line, "\r\n")), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

func clip(s string) string { return s[:min(len(s), 64)] }
