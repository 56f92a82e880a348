// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Command salvor is the operator, the reference store and the tools around them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of the commands that look at something: 0 it is good, 1 it is bad,
// 2 it could not be looked at.
const (
	exitBad       = 1
	exitCannotRun = 2
)

// exitError carries the exit code that an error means.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// bad is for "looked, and it is not good"; everything else could not look.
func bad(format string, args ...any) error {
	return &exitError{exitBad, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRootCommand().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	code := exitCannotRun
	var e *exitError
	if errors.As(err, &e) {
		code = e.code
	}
	fmt.Fprintln(os.Stderr, "salvor:", err)
	os.Exit(code)
}
