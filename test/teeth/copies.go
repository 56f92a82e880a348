// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// copies makes n copies of the tree, all of the same moment, and locks them
// against other runs.
func (r *runner) copies(n int) (dirs []string, release func(), err error) {
	var locks []*os.File
	release = func() {
		for _, l := range locks {
			_ = l.Close() // which unlocks it
		}
	}
	if err := os.MkdirAll(r.opt.Work, 0o755); err != nil {
		return nil, nil, err
	}
	for i := 0; len(dirs) < n; i++ {
		dir := filepath.Join(r.opt.Work, "copy-"+strconv.Itoa(i))
		lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			release()
			return nil, nil, err
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			_ = lock.Close() // another run has this copy
			continue
		}
		locks = append(locks, lock)
		from := r.opt.Root
		if len(dirs) > 0 {
			from = dirs[0]
		}
		if err := snapshot(from, dir); err != nil {
			release()
			return nil, nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, release, nil
}
