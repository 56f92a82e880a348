// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// scenario is one operation of writer "w", on a root where "a" and "b" hold "old".
type scenario struct {
	name   string
	tables []string // what a reader has to see all of or nothing of
	op     func(b objstore.Bucket) recovery.Operation
	// want of each table when the operation is published.
	want map[string]string
}

var scenarios = []scenario{
	{"one table", []string{"a"}, func(b objstore.Bucket) recovery.Operation {
		return checkpoint(put(b, "a", "new"))
	}, map[string]string{"a": "new"}},
	{"three tables, one of them created", []string{"a", "b", "c"}, func(b objstore.Bucket) recovery.Operation {
		return checkpoint(put(b, "a", "new"), put(b, "b", "new"), put(b, "c", "new"))
	}, map[string]string{"a": "new", "b": "new", "c": "new"}},
	{"one table written, one dropped", []string{"a", "b"}, func(b objstore.Bucket) recovery.Operation {
		return checkpoint(put(b, "a", "new"), drop("b"))
	}, map[string]string{"a": "new", "b": ""}},
	{"a load, whose effects are their own proof", []string{"a", "b"}, func(b objstore.Bucket) recovery.Operation {
		return recovery.Operation{Kind: recovery.KindLoad, Changes: []recovery.Change{put(b, "a", "new"), put(b, "b", "new")}}
	}, map[string]string{"a": "new", "b": "new"}},
}

var before = map[string]string{"a": "old", "b": "old"}

// prepared is a root with the old content and a registered writer's past.
func prepared(w *world) *world {
	wr, err := w.writer(w.disk, "w")
	must(w.t, err)
	_, err = wr.Commit(ctx(w.t), checkpoint(put(w.disk, "a", "old"), put(w.disk, "b", "old")))
	must(w.t, err)
	return w
}

// TestCrashTable kills the writer at every durable write of every scenario, and
// the recovery that follows at every durable write of its own. Whatever happened,
// the third process finds a world to finish: all or nothing is visible, what was
// acknowledged is there, the outcome has one entry and at most one audit row, and
// nothing is left over.
func TestCrashTable(t *testing.T) {
	contract.Row(t, 81, 99)
	for _, sc := range scenarios {
		t.Run("memory/"+sc.name, func(t *testing.T) { crashTable(t, sc, onMemory) })
	}
	// The same on real files, where every write costs a sync: once.
	t.Run("files/"+scenarios[1].name, func(t *testing.T) { crashTable(t, scenarios[1], onFiles) })
}

func crashTable(t *testing.T, sc scenario, make func(*testing.T) *world) {
	origin := prepared(make(t))
	w := origin.fork()
	dry := fault.Wrap(w.disk)
	must(t, commit(w, dry, sc).err)
	states := 0
	for _, p := range fault.CrashPoints(dry.DurableWrites()) {
		crashed := origin.fork()
		b := fault.Wrap(crashed.disk)
		b.CrashAt(p)
		states += recoverEverywhere(t, crashed, sc, commit(crashed, b, sc), p.String())
	}
	t.Logf("%d durable writes, %d crashed worlds", dry.DurableWrites(), states)
}

type committed struct {
	op  manifest.OperationID
	err error
}

func commit(w *world, b objstore.Bucket, sc scenario) committed {
	wr, err := w.writer(b, "w")
	if err != nil {
		return committed{err: err}
	}
	r, err := wr.Commit(ctx(w.t), sc.op(b))
	return committed{r.Operation, err}
}

// recoverEverywhere recovers a crashed world without a fault, and once more for
// each crash of that recovery, followed by a last one. It returns how many worlds
// it finished.
func recoverEverywhere(t *testing.T, crashed *world, sc scenario, c committed, story string) int {
	calm := crashed.fork()
	dry := fault.Wrap(calm.disk)
	_, err := calm.recoverAll(dry, ended)
	must(t, err)
	finished(t, calm, sc, c, story)
	points := fault.CrashPoints(dry.DurableWrites())
	for _, p := range points {
		f, story := crashed.fork(), fmt.Sprintf("%s; recovery: %s", story, p)
		b := fault.Wrap(f.disk)
		b.CrashAt(p)
		if _, err := f.recoverAll(b, ended); err == nil {
			t.Fatalf("%s: the recoverer did not notice its own death", story)
		}
		b.VerifyFired(t)
		_, err := f.recoverAll(f.disk, ended)
		must(t, err)
		finished(t, f, sc, c, story)
	}
	return 1 + len(points)
}

// finished asserts the whole outcome of one crashed operation.
func finished(t *testing.T, w *world, sc scenario, c committed, story string) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: %s", story, fmt.Sprintf(format, args...))
	}
	st := w.state()
	// All or nothing.
	isNew, isOld := true, true
	for _, table := range sc.tables {
		got := w.content(st, table)
		isNew = isNew && got == sc.want[table]
		isOld = isOld && got == before[table]
	}
	if isNew == isOld {
		fail("half of the operation is visible: %v", st.Tables)
	}
	out, decided := st.Outcome(c.op)
	if isNew != (decided && out.Kind == manifest.KindPublish) {
		fail("visible %v, but the outcome is %+v", isNew, out)
	}
	// The client was told the truth.
	if c.err == nil && !isNew {
		fail("an acknowledged operation is not there")
	}
	if errors.Is(c.err, recovery.ErrFailed) && isNew {
		fail("the client was told failed (%v), and it is there", c.err)
	}
	// One row at most, exactly one for what recovery decided, and it copies the entry.
	rows := w.rows(c.op)
	byRecovery := decided && out.By.Role == manifest.RoleRecovery
	if len(rows) > 1 || byRecovery && len(rows) != 1 {
		fail("%d audit rows for an outcome of %s", len(rows), out.By.Role)
	}
	for _, r := range rows {
		if (r.Kind == audit.RolledForward) != isNew || r.ManifestVersion != uint64(out.Version) {
			fail("row %+v does not copy entry %+v", r, out)
		}
		if !isNew && len(r.Tables) != 0 {
			fail("an abandoned operation restored %v", r.Tables)
		}
	}
	// Nothing left over, and nothing left to do.
	if left := w.keys(recovery.Prefix); len(left) != 0 {
		fail("left over: %v", left)
	}
	again := fault.Wrap(w.disk)
	if _, err := w.recoverAll(again, ended); err != nil || again.DurableWrites() != 0 {
		fail("a second pass wrote %d times (%v)", again.DurableWrites(), err)
	}
	// The store goes on.
	wr, err := w.writer(w.disk, "w")
	must(t, err)
	if _, err := wr.Commit(ctx(t), checkpoint(put(w.disk, "a", "later"), put(w.disk, "b", "later"))); err != nil {
		fail("a follow-up write: %v", err)
	}
	if got := w.content(w.state(), "a"); got != "later" {
		fail("after the follow-up write a reader sees %q", got)
	}
}
