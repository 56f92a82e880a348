// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"os"

	"golang.org/x/sys/unix"
)

// settlePiece sends what was just written to the disk and waits for it, without the
// journal and without a flush: others who wait for the same disk, as the log of a store
// may, get their turn between two pieces. It promises nothing: syncFile does.
func settlePiece(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}
