// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/objstore/fault"
)

// Step is one request, and what its process heard.
type Step struct {
	Client string
	Verb   fault.Verb
	Key    string
	Heard  string
	Fate   Fate
	End    Moment // the process died of it

	body []byte
}

// String reads like "W1  PutIfAbsent manifest/3 -> Created".
func (s Step) String() string {
	line := fmt.Sprintf("%-8s %-11s %s", s.Client, s.Verb, short(s.Key))
	switch {
	case s.End != 0:
		return line + "   ** dies: " + s.End.String()
	case s.Fate == LosesAnswer:
		return line + " -> " + s.Heard + "   ** the answer is lost"
	case s.Fate == LosesRequest:
		return line + "   ** the request is lost"
	case s.Fate == LandsLate:
		return line + "   ** it will land late"
	}
	return line + " -> " + short(s.Heard)
}

// short takes most of the zeros out of numbers of 20 digits.
func short(s string) string { return strings.ReplaceAll(s, "00000000000000000", "") }

// Story is what happened in one run, request by request.
type Story []Step

// String is the story, one request a line.
func (s Story) String() string {
	var b strings.Builder
	for i, step := range s {
		fmt.Fprintf(&b, "  %3d  %s\n", i+1, step)
	}
	return b.String()
}

// bytes is all of the story, for a hash: text is made for people, and takes longer.
func (s Story) bytes() string {
	var b strings.Builder
	for _, step := range s {
		b.WriteByte(byte(step.Verb))
		b.WriteByte(byte(step.Fate))
		b.WriteByte(byte(step.End))
		for _, word := range []string{step.Client, step.Key, step.Heard} {
			b.WriteString(word)
			b.WriteByte(0)
		}
	}
	return b.String()
}
