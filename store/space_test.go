// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// A log that has failed says which call, of what kind the failure is, and what its disk
// had then and has now; the words for people stay what they are.
func TestAStatusSaysWhatHasFailed(t *testing.T) {
	contract.Row(t, 134)
	for _, c := range []struct {
		name  string
		fault logtest.Op
		err   error
		op    string
		class control.FailureClass
	}{
		{"an fsync", logtest.Sync, syscall.EIO, "fsync", control.IO},
		{"a write", logtest.Write, syscall.ENOSPC, "write", control.DiskFull},
		{"a quota", logtest.Write, syscall.EDQUOT, "write", control.DiskFull},
		{"a short write", logtest.Write, logtest.ErrShort, "write", control.IO},
		{"a file system that was remounted", logtest.Write, syscall.EROFS, "write", control.ReadOnlyFilesystem},
		{"anything else", logtest.Sync, syscall.EPERM, "fsync", control.OtherFailure},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ahead atomic.Int64
			w := newWorld(t)
			p := w.start(func(o *store.Options) {
				o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			p.must(put("t", "a", "1"))
			if st := p.Status(); st.Poison != nil || st.Disk != nil || st.Oldest != 1 || st.LogBytes < 4096 {
				t.Errorf("a disk without an end, and a log of one record: %+v", st)
			}
			const size = 1 << 20
			w.disk.Resize(size)
			ahead.Store(int64(10 * time.Second))
			before := p.Status().Disk
			if before == nil || before.Total != size || before.Free != int64(size-w.disk.Used()) || before.Needs != 32<<10 || before.Dir != "data" {
				t.Fatalf("%+v", before)
			}
			w.disk.Fail(c.fault, w.disk.Count(c.fault)+1, c.err)
			if err := <-p.try(put("t", "b", "2")); err == nil {
				t.Fatal("the log did not fail")
			}
			st := p.Status()
			if st.State != control.Poisoned || st.Poison == nil || st.Poison.Op != c.op || st.Poison.Class != c.class || st.Poison.Free != st.Disk.Free ||
				!strings.HasPrefix(st.PoisonReason, "the log is poisoned: "+c.op+" failed: ") {
				t.Fatalf("%+v", st)
			}
			w.disk.Resize(2 * size)
			ahead.Store(int64(time.Minute))
			if now := p.Status(); now.Disk.Free < st.Disk.Free+size || now.Poison.Free != st.Poison.Free {
				t.Errorf("what there was then moves with what there is now: %+v %+v", now.Disk, now.Poison)
			}
			p.kill()
		})
	}
}
