// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package file

import (
	"io/fs"
	"time"
)

// changed returns the time of the last write, the closest that is portable to
// the time when the file got its name.
func changed(info fs.FileInfo) time.Time { return info.ModTime() }
