// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
	"github.com/salvor-io/salvor/test/contract"
)

// leads says yes to whoever asks whether it still is the leader.
func leads(context.Context) error { return nil }

var undoing = recovery.Exclusive{Forward: ended, Check: leads, Policy: recovery.Automatic}

func (w *world) log(b objstore.Bucket) *commitlog.Log {
	return commitlog.New(b, objstore.Patience{Bound: time.Second, Now: w.clock, Sleep: w.sleep})
}

// visible is a change whose readers follow the head.
func (w *world) visible(b objstore.Bucket, table, content string) recovery.Change {
	c := recovery.Change{Table: manifest.TableID(table), Write: w.log(b).Write(content)}
	if head, err := w.log(w.disk).Read(ctx(w.t), c.Table); err == nil {
		if st := w.state(); st.Ref(c.Table) != head.Ref() {
			c.Head = head.Ref()
		}
	}
	return c
}

func foreign(changes ...recovery.Change) recovery.Operation {
	return recovery.Operation{Kind: recovery.KindForeign, Changes: changes}
}

// head is what the readers of a table see; "" for none.
func (w *world) head(table string) string {
	w.t.Helper()
	c, err := w.log(w.disk).Read(ctx(w.t), manifest.TableID(table))
	if errors.Is(err, objstore.ErrNotFound) || err == nil && c.Gone {
		return ""
	}
	must(w.t, err)
	var s string
	must(w.t, json.Unmarshal(c.Content, &s))
	return s
}

// preparedVisible is a root where readers of "x" and "y" see "old".
func preparedVisible(t *testing.T) *world {
	w := onMemory(t)
	wr, err := w.writer(w.disk, "w")
	must(t, err)
	_, err = wr.Commit(ctx(t), foreign(w.visible(w.disk, "x", "old"), w.visible(w.disk, "y", "old")))
	must(t, err)
	return w
}

// crashVisible is a writer that dies at a point of an operation on three tables, one
// of which it creates.
func crashVisible(w *world, b objstore.Bucket) committed {
	wr, err := w.writer(b, "w")
	if err != nil {
		return committed{err: err}
	}
	r, err := wr.Commit(ctx(w.t), foreign(w.visible(b, "x", "new"), w.visible(b, "y", "new"), w.visible(b, "z", "new")))
	return committed{r.Operation, err}
}

// Every crash of an operation that readers see, and every crash of what undoes it:
// at the end its readers and the manifest see the same, all or nothing of it.
func TestCrashTableOfVisibleEffects(t *testing.T) {
	contract.Row(t, 72, 82, 83, 84, 99)
	origin := preparedVisible(t)
	w := origin.fork()
	dry := fault.Wrap(w.disk)
	must(t, crashVisible(w, dry).err)
	forward, back, worlds := 0, 0, 0
	for _, p := range fault.CrashPoints(dry.DurableWrites()) {
		crashed := origin.fork()
		b := fault.Wrap(crashed.disk)
		b.CrashAt(p)
		c := crashVisible(crashed, b)

		calm := crashed.fork()
		dry := fault.Wrap(calm.disk)
		_, err := calm.recoverAll(dry, undoing)
		must(t, err)
		if finishedVisible(t, calm, c, p.String()) {
			forward++
		} else {
			back++
		}
		for _, q := range fault.CrashPoints(dry.DurableWrites()) {
			f, story := crashed.fork(), fmt.Sprintf("%s; recovery: %s", p, q)
			b := fault.Wrap(f.disk)
			b.CrashAt(q)
			if _, err := f.recoverAll(b, undoing); err == nil {
				t.Fatalf("%s: the recoverer did not notice its own death", story)
			}
			b.VerifyFired(t)
			_, err := f.recoverAll(f.disk, undoing)
			must(t, err)
			finishedVisible(t, f, c, story)
			worlds++
		}
	}
	if forward == 0 || back == 0 {
		t.Errorf("%d went forward, %d back", forward, back)
	}
	t.Logf("%d durable writes, %d worlds with a second crash", dry.DurableWrites(), worlds)
}

// finishedVisible asserts the whole outcome and reports whether the operation is there.
func finishedVisible(t *testing.T, w *world, c committed, story string) (there bool) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: %s", story, fmt.Sprintf(format, args...))
	}
	st := w.state()
	there = w.head("x") == "new"
	want := map[string]string{"x": "old", "y": "old", "z": ""}
	if there {
		want = map[string]string{"x": "new", "y": "new", "z": "new"}
	}
	for table, content := range want {
		if got := w.head(table); got != content {
			fail("readers of %s see %q, want %q", table, got, content)
		}
		head, err := w.log(w.disk).Read(ctx(t), manifest.TableID(table))
		if pin := st.Tables[manifest.TableID(table)]; content != "" && (err != nil || pin.Ref != head.Ref() || pin.Digest != head.Digest) {
			fail("table %s: the manifest names %+v, readers see %+v, %v", table, pin, head, err)
		} else if content == "" && !pin.IsZero() {
			fail("table %s: the manifest names %+v", table, pin)
		}
	}
	for _, table := range []string{"x", "y", "z"} { // nobody wrote twice
		by := map[manifest.OperationID]bool{}
		for _, key := range w.keys(commitlog.Prefix + table + "/") {
			o, err := w.disk.Get(ctx(t), key)
			must(t, err)
			var commit commitlog.Commit
			_, err = envelope.Decode("commit", 1, o.Body, &commit)
			must(t, err)
			if by[commit.Operation] {
				fail("table %s has two versions of %s", table, commit.Operation)
			}
			by[commit.Operation] = true
		}
	}
	o, decided := st.Outcome(c.op)
	switch {
	case c.err == nil && !there, errors.Is(c.err, recovery.ErrFailed) && there:
		fail("the client was told %v", c.err)
	case there && o.Kind != manifest.KindPublish:
		fail("it is there, the outcome is %+v", o)
	case decided && !there && (o.Kind != manifest.KindRollBack || o.Restored == 0) && o.Kind != manifest.KindAbandon:
		fail("it is not there, the outcome is %+v", o)
	}
	rows := w.rows(c.op)
	if len(rows) > 1 || len(rows) == 0 && o.By.Role == manifest.RoleRecovery {
		fail("%d audit rows of %+v", len(rows), o)
	}
	if len(rows) == 1 {
		kind := audit.RolledBack
		if there {
			kind = audit.RolledForward
		}
		if rows[0].Kind != kind || len(rows[0].Tables) != 3 || rows[0].Writer != "w" {
			fail("audit row %+v", rows[0])
		}
	}
	if left := w.keys(recovery.Prefix); len(left) != 0 {
		fail("left over: %v", left)
	}
	if st.Lock != nil {
		fail("the lock is held: %+v", st.Lock)
	}
	// A second pass adds nothing, and the next operation goes through at once.
	version := st.Version
	_, err := w.recoverAll(w.disk, undoing)
	must(t, err)
	if st := w.state(); st.Version != version || len(w.rows("")) != len(rows) {
		fail("a second pass: version %d, was %d", st.Version, version)
	}
	wr, err := w.writer(w.disk, "next")
	must(t, err)
	if _, err := wr.Commit(ctx(t), foreign(w.visible(w.disk, "x", "next"), w.visible(w.disk, "z", "next"))); err != nil || w.head("x") != "next" || w.head("z") != "next" {
		fail("the next operation: %v", err)
	}
	return there
}
