// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// mirrored lets a process mirror at once, in small pieces.
func mirrored(o *store.Options) {
	o.Mirror = &store.MirrorOptions{
		Interval: time.Millisecond, KeepLocal: 1, RangeSize: 200, PartSize: 600, SnapshotAfter: 4000, CollectAfter: 1,
	}
}

// lazy lets it mirror only when it is told to: at its end.
func lazy(o *store.Options) {
	mirrored(o)
	o.Mirror.Interval = time.Hour
}

// settled waits until the root has everything that is acknowledged.
func (p *process) settled() control.Status {
	p.w.Helper()
	return p.await("everything is mirrored", func(st control.Status) bool {
		return st.Mirror != nil && st.Mirror.Position >= st.Durable && st.Mirror.Waiting == ""
	})
}

// stuck is a process whose checkpoints are held back for good.
func (w *world) stuck(change ...func(*store.Options)) *process {
	w.Helper()
	p := w.start(append([]func(*store.Options){mirrored}, change...)...)
	p.bucket.On(fault.PutIfAbsent, recovery.Prefix).From(1).Fail(errHeld)
	return p
}

var errHeld = errors.New("a person has to approve something first")

// write does transactions, and notes them.
func (p *process) write(n int, prefix string, want content) {
	p.w.Helper()
	for i := range n {
		tx := []store.Statement{put("t", fmt.Sprint("k", i%7), fmt.Sprint(prefix, i)), put("u", fmt.Sprint(prefix, i%3), fmt.Sprint(i))}
		if i%5 == 4 {
			tx = append(tx, del("t", fmt.Sprint("k", (i-1)%7)))
		}
		p.must(tx...)
		want.apply(tx...)
	}
}

// fromTheRoot starts a process on an empty disk, and leaves the old one as it is.
func (w *world) fromTheRoot(change ...func(*store.Options)) (*process, *world) {
	w.Helper()
	elsewhere := &world{tb: w.tb, root: w.root.Clone(), disk: logtest.New(), keys: w.keys}
	return elsewhere.start(append([]func(*store.Options){mirrored}, change...)...), elsewhere
}

// The log is cut although no checkpoint goes out; the root alone has the state, and the
// mirror does not grow with history.
func TestAMirroredLogCanBeCut(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	p := w.stuck()
	want := content{}
	var most, files int
	var bytes int64
	cycles := 100
	for i := range cycles {
		p.write(10, fmt.Sprint("c", i%4, "-"), want)
		st := p.settled()
		p.await("the log is cut", func(st control.Status) bool { return st.LogBytes <= 6*16<<10 })
		bytes, files = max(bytes, st.Mirror.Bytes), max(files, len(w.disk.Files()))
		most = max(most, len(w.keysBelow("wal/"))+len(w.keysBelow("snapshot/")))
		if i%20 == 19 {
			r, elsewhere := w.fromTheRoot()
			elsewhere.same("from the root alone", r.rows(), want)
			if got := r.Status().Mirror; got == nil || got.Restored != st.Durable {
				t.Fatalf("restored up to %+v, want %d", got, st.Durable)
			}
			r.kill()
		}
	}
	t.Logf("%d cycles: %d objects and %d bytes of mirror at the most, %d local files", cycles, most, bytes, files)
	if most > 150 || bytes > 40000 || files > 12 {
		t.Fatalf("%d objects and %d bytes of mirror at the most, %d local files", most, bytes, files)
	}
	if pins := w.dumpOrNothing(); len(pins) > 0 {
		t.Fatalf("published: %v", pins)
	}
	p.kill()
	p = w.start(mirrored)
	w.same("after a restart on the cut log", p.rows(), want)
	p.checkpoint()
	w.same("published", w.dump(), want)
	p.kill()
}

// dumpOrNothing is dump of a root that may name no table.
func (w *world) dumpOrNothing() content {
	c, err := w.tryDump()
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// The local directory has more than the mirror: it wins, and the mirror catches up.
func TestTheDiskIsTrustedOverTheMirror(t *testing.T) {
	contract.Row(t, 60)
	w := newWorld(t)
	p := w.start(mirrored)
	want := content{}
	p.write(10, "a", want)
	p.settled()
	p.kill()
	p = w.start(lazy) // it lags, for ever
	p.write(10, "b", want)
	if st := p.Status(); st.Mirror.Position != 10 || st.Durable != 20 {
		t.Fatalf("%+v", st)
	}
	p.kill()
	r, _ := w.fromTheRoot()
	got := r.rows()
	if fmt.Sprint(got) == fmt.Sprint(want) || r.Status().Mirror.Restored != 10 {
		t.Fatalf("the stale mirror alone gave %v", got)
	}
	r.kill()
	p = w.start(mirrored)
	w.same("the disk is newer", p.rows(), want)
	p.settled()
	p.kill()
	r, elsewhere := w.fromTheRoot()
	elsewhere.same("the mirror has caught up", r.rows(), want)
	r.kill()
}

// The mirror that is found is older than the note in the log: a person is told, everything
// is replayed, and mirrored again.
func TestAMirrorThatIsOlderThanTheNote(t *testing.T) {
	contract.Row(t, 60, 57)
	w := newWorld(t)
	p := w.stuck()
	want := content{}
	p.write(3, "a", want)
	p.settled()
	older := w.root.Clone()
	p.disk.Fail(logtest.Remove, p.disk.Count(logtest.Remove)+1, syscall.EIO)
	for i := 2; i < 40; i++ {
		p.disk.Fail(logtest.Remove, p.disk.Count(logtest.Remove)+i, syscall.EIO)
	}
	p.write(60, "b", want)
	p.settled()
	noted := func() uint64 {
		n, first := w.noted()
		if first != 1 {
			t.Fatalf("the log was cut up to %d", first)
		}
		return uint64(n)
	}
	eventually(t, "the log has a note of the mirror", func() bool { w.disk = p.disk; return noted() > 3 })
	p.kill()
	w.root = older
	p = w.start(mirrored)
	w.same("served", p.rows(), want)
	if said := strings.Join(p.lines(), "\n"); !strings.Contains(said, "covers this writer's log up to position 3, and a checkpoint up to") {
		t.Fatalf("it said: %s", said)
	}
	p.settled()
	p.kill()
	r, elsewhere := w.fromTheRoot()
	elsewhere.same("mirrored again", r.rows(), want)
	r.kill()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waiting until %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// What the orderly end could not publish goes to the mirror, and is told.
func TestTheEndIsMirrored(t *testing.T) {
	w := newWorld(t)
	p := w.start(lazy)
	p.bucket.On(fault.PutIfAbsent, recovery.Prefix).From(1).Fail(errHeld)
	want := content{}
	p.write(20, "a", want)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_ = p.Shutdown(ctx)
	if err := <-p.ended; err != nil {
		t.Fatal(err)
	}
	var left *store.LeftError
	if err := p.Left(); !errors.As(err, &left) || left.Mirrored != 20 || !strings.Contains(err.Error(), "the mirror in the root has them, too") {
		t.Fatalf("left: %v", err)
	}
	r, elsewhere := w.fromTheRoot()
	elsewhere.same("from the root alone", r.rows(), want)
	r.kill()
}
