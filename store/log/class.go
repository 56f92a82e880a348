// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"io"
	"syscall"
)

// Class is a CamelCase word for the kind of failure that has poisoned a log: what
// somebody who may restart the process has to know. Zero is not a class.
type Class string

// The classes.
const (
	// DiskFull: there is no room, or a quota has none. A restart makes none.
	DiskFull Class = "DiskFull"
	// ReadOnlyFilesystem: nothing can be written until the volume is mounted again.
	ReadOnlyFilesystem Class = "ReadOnlyFilesystem"
	// IO: the device did not do what it was told, or did half of it.
	IO Class = "IO"
	// Misuse: whoever embeds the log has called it out of order; the disk is well.
	Misuse Class = "Misuse"
	// OtherFailure is everything else.
	OtherFailure Class = "Other"
)

// classes by what is found in an error, the first that fits.
var classes = []struct {
	class Class
	of    []error
}{
	{DiskFull, []error{syscall.ENOSPC, syscall.EDQUOT}},
	{ReadOnlyFilesystem, []error{syscall.EROFS}},
	{IO, []error{syscall.EIO, syscall.ENXIO, syscall.ENODEV, syscall.ESTALE, syscall.ETIMEDOUT, io.ErrShortWrite}},
}

// Classify returns the class of an error of a file system.
func Classify(err error) Class {
	for _, c := range classes {
		for _, is := range c.of {
			if errors.Is(err, is) {
				return c.class
			}
		}
	}
	return OtherFailure
}

// Class is the kind of failure.
func (e *PoisonedError) Class() Class { return Classify(e.Cause) }
