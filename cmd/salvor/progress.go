// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"
)

// progress says on stderr how far something is, once it has taken two seconds,
// and every two seconds from then on. A pipe of stdout stays clean.
type progress struct {
	w    io.Writer
	next time.Time
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, next: time.Now().Add(2 * time.Second)}
}

func (p *progress) say(format string, args ...any) {
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(2 * time.Second)
		fmt.Fprintf(p.w, "… "+format+"\n", args...)
	}
}
