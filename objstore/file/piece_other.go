// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package file

import "os"

// settlePiece is only known on Linux; syncFile does all of it.
func settlePiece(*os.File, int64, int64) {}
