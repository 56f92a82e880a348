// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package file

import (
	"context"
	"os"
)

const hasTmpfile = false

func (b *Bucket) linkUnnamed(context.Context, string, []byte) error { return errNoTmpfile }

func linkFD(*os.File, string) error { return errNoTmpfile }
