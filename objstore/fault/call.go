// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"
	"fmt"
)

var (
	// ErrCrashed is what a dead process gets from every call.
	ErrCrashed = errors.New("the process has crashed")
	// ErrAnswerLost is what a caller gets whose answer, or request, was lost.
	ErrAnswerLost = errors.New("the answer was lost")
)

// Verb is a method of objstore.Bucket, or Any.
type Verb uint8

const (
	verbInvalid Verb = iota
	Get
	GetRange
	List
	PutIfAbsent
	Delete
	// Any matches every verb; no call has it.
	Any
)

// String returns the name of the method.
func (v Verb) String() string {
	switch v {
	case Get:
		return "Get"
	case GetRange:
		return "GetRange"
	case List:
		return "List"
	case PutIfAbsent:
		return "PutIfAbsent"
	case Delete:
		return "Delete"
	case Any:
		return "Any"
	default:
		return fmt.Sprintf("Verb(%d)", uint8(v))
	}
}

// Durable reports whether a call with this verb is a durable write.
func (v Verb) Durable() bool { return v == PutIfAbsent || v == Delete }

// Call is one call that reached the wrapper.
type Call struct {
	// N counts all calls from 1.
	N int
	// Write counts the durable writes from 1; 0 for a read.
	Write int
	Verb  Verb
	// Key is the key; for List the prefix.
	Key string
}

// String reads like "PutIfAbsent manifest/00000000000000000042 (durable write 3)".
func (c Call) String() string {
	if c.Write == 0 {
		return fmt.Sprintf("%s %s", c.Verb, c.Key)
	}
	return fmt.Sprintf("%s %s (durable write %d)", c.Verb, c.Key, c.Write)
}
