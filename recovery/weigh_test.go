// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// unconfirmed is a root whose writer w died with every version of "a" and "b" there
// and nobody to confirm them.
func unconfirmed(t *testing.T) (*world, committed) {
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	b.On(fault.PutIfAbsent, recovery.Prefix).Nth(2).Crash(fault.Before) // the confirmation
	return w, commit(w, b, scenario{op: func(b objstore.Bucket) recovery.Operation {
		return checkpoint(put(b, "a", "new"), put(b, "b", "new"))
	}})
}

var both = scenario{tables: []string{"a", "b"}, want: map[string]string{"a": "new", "b": "new"}}

// spoken lets a person look and agree, on a root seen through b.
func (w *world) spoken(b objstore.Bucket, word recovery.Word, what string, may recovery.RollForwardOnly) (*recovery.Weighed, []recovery.Report, error) {
	r, err := w.recoverer(b)
	if err != nil {
		return nil, nil, err
	}
	weigh := func() (*recovery.Weighed, error) { return r.WeighDemotion(ctx(w.t), manifest.WriterID(what), may) }
	if word == recovery.Promote {
		weigh = func() (*recovery.Weighed, error) { return r.WeighPromotion(ctx(w.t), manifest.OperationID(what), may) }
	}
	we, err := weigh()
	if err != nil {
		return nil, nil, err
	}
	reps, err := r.Carry(ctx(w.t), we, we.Hash, "ada")
	return we, reps, err
}

// decidedOnWord asserts the whole outcome of one word: the entry, the row, the name.
func decidedOnWord(t *testing.T, w *world, c committed, word recovery.Word, story string) {
	t.Helper()
	finished(t, w, both, c, story)
	rows := w.rows(c.op)
	kind, reason := audit.RolledBack, "Demoted"
	if word == recovery.Promote {
		kind, reason = audit.RolledForward, "Promoted"
	}
	if len(rows) != 1 || rows[0].Kind != kind || rows[0].Reason != reason || rows[0].Actor != "ada" || rows[0].PublishedBy != audit.ByRecovery {
		t.Fatalf("%s: rows %+v", story, rows)
	}
}

// A word is carried out whatever crashes: who comes next, with no word of their own,
// finds the entry, and records it once, under the name of the one who gave it.
func TestAWordIsCarriedOutOnceWhateverCrashes(t *testing.T) {
	contract.Row(t, 114, 116)
	for _, word := range []recovery.Word{recovery.Demote, recovery.Promote} {
		t.Run(word.String(), func(t *testing.T) {
			origin, c := unconfirmed(t)
			what := "w"
			if word == recovery.Promote {
				what = string(c.op)
			}
			calm := origin.fork()
			dry := fault.Wrap(calm.disk)
			_, _, err := calm.spoken(dry, word, what, ended)
			must(t, err)
			decidedOnWord(t, calm, c, word, "calm")
			for _, p := range fault.CrashPoints(dry.DurableWrites()) {
				f := origin.fork()
				b := fault.Wrap(f.disk)
				b.CrashAt(p)
				if _, _, err := f.spoken(b, word, what, ended); err == nil {
					t.Fatalf("%s: it did not notice its own death", p)
				}
				b.VerifyFired(t)
				_, said := f.state().Outcome(c.op)
				if said { // an operator, say
					_, err = f.recoverAll(f.disk, ended)
				} else if _, _, err = f.spoken(f.disk, word, what, ended); err == nil {
					_, err = f.recoverAll(f.disk, ended)
				}
				if err != nil && len(f.keys(recovery.Prefix)) > 0 {
					t.Fatalf("%s: %v", p, err)
				}
				decidedOnWord(t, f, c, word, p.String())
			}
		})
	}
}

// Of an operator, one who demotes and one who promotes, all at once, one decides: kept
// or discarded, recorded once, and never both.
func TestKeptOrDiscardedNeverBoth(t *testing.T) {
	contract.Row(t, 114, 116)
	kinds := map[manifest.Kind]int{}
	for n := range 30 {
		w, c := unconfirmed(t)
		acts := []func(b objstore.Bucket) error{
			func(b objstore.Bucket) error {
				_, _, err := w.spoken(b, recovery.Promote, string(c.op), ended)
				return err
			},
			func(b objstore.Bucket) error { _, _, err := w.spoken(b, recovery.Demote, "w", ended); return err },
			func(b objstore.Bucket) error { _, err := w.recoverAll(b, ended); return err },
		}
		// One of them is about to publish when the others begin.
		var all sync.WaitGroup
		var once sync.Once
		begin := make(chan struct{})
		for i, act := range acts {
			b := fault.Wrap(w.disk)
			if first := n%len(acts) == i; first {
				b.OnCall(func(c fault.Call) {
					if c.Verb == fault.PutIfAbsent {
						once.Do(func() { close(begin) })
					}
				})
			}
			all.Go(func() {
				if n%len(acts) != i {
					<-begin
				}
				var gone *recovery.NotPendingError
				if err := act(b); err != nil && !errors.As(err, &gone) && !errors.Is(err, recovery.ErrNotAgreed) {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		all.Wait()
		out, _ := w.state().Outcome(c.op)
		kinds[out.Kind]++
		finished(t, w, both, c, fmt.Sprintf("race %d", n))
	}
	if kinds[manifest.KindPublish] == 0 || kinds[manifest.KindAbandon] == 0 {
		t.Errorf("not both were seen: %v", kinds)
	}
}

// Who stands in the way of a promotion is named, and nothing is written.
func TestAPromotionIsRefusedByName(t *testing.T) {
	contract.Row(t, 116, 118)
	lock := func(w *world) {
		m, err := w.manifest(w.disk)
		must(w.t, err)
		_, err = m.Lock(ctx(w.t), manifest.Publisher{Role: manifest.RoleOperator, Process: "O"},
			manifest.Lock{Owner: "maintenance/move/uid", Reason: "storage migration", Mode: manifest.Frozen, Since: w.clock(), Until: w.clock().Add(time.Hour)})
		must(w.t, err)
	}
	for name, c := range map[string]struct {
		may   recovery.RollForwardOnly
		spoil func(w *world, op manifest.OperationID)
		says  []string
	}{
		"the writer lives": {recovery.RollForwardOnly{}, func(*world, manifest.OperationID) {}, []string{"writer w lives", "process ID"}},
		"somebody holds the store": {ended, func(w *world, _ manifest.OperationID) { lock(w) },
			[]string{"maintenance/move/uid", "storage migration"}},
		"another operation leads": {ended, func(w *world, _ manifest.OperationID) {
			must(w.t, w.moveTable("a"))
		}, []string{"another operation leads: table a is 2-MOVED"}},
		"another one waits, too": {ended, func(w *world, op manifest.OperationID) {
			w.twinSidecar(op, "TWIN", "v")
		}, []string{"operation TWIN of writer v pends on table a, too"}},
		"a version is gone": {ended, func(w *world, op manifest.OperationID) {
			must(w.t, w.disk.Delete(ctx(w.t), manifest.TableKey("b", 2, op)))
		}, []string{"nothing to publish for table b"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, com := unconfirmed(t)
			c.spoil(w, com.op)
			before := w.keys("")
			we, _, err := w.spoken(w.disk, recovery.Promote, string(com.op), c.may)
			if !errors.Is(err, recovery.ErrNotAgreed) || we.Hash != "" || len(we.Refused) != 1 {
				t.Fatalf("%v %+v", err, we)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("no %q in: %v", s, err)
				}
			}
			if after := w.keys(""); len(after) != len(before) || len(w.rows("")) != 0 {
				t.Errorf("a refusal wrote something: %v", after)
			}
		})
	}
	w, com := unconfirmed(t)
	_, err := w.recoverAll(w.disk, ended)
	must(t, err)
	var gone *recovery.NotPendingError
	if _, _, err := w.spoken(w.disk, recovery.Promote, string(com.op), ended); !errors.As(err, &gone) || gone.Outcome == nil || gone.Outcome.Kind != manifest.KindAbandon {
		t.Errorf("of one that recovery has closed: %v", err)
	}
}

// Of two operations that make the same new table nobody can tell which is right, and
// none is promoted; when there is one, it becomes the table's first version.
func TestAmbiguousLeaderIsNotGuessed(t *testing.T) {
	contract.Row(t, 118)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	b.On(fault.PutIfAbsent, recovery.Prefix).Nth(2).Crash(fault.Before) // the confirmation
	c := commit(w, b, scenario{op: func(b objstore.Bucket) recovery.Operation { return checkpoint(put(b, "fresh", "one")) }})
	w.twinSidecar(c.op, "TWIN", "v")
	for _, op := range []string{string(c.op), "TWIN"} {
		if _, _, err := w.spoken(w.disk, recovery.Promote, op, ended); !errors.Is(err, recovery.ErrNotAgreed) || !strings.Contains(err.Error(), "which of them is right cannot be told") {
			t.Errorf("%s: %v", op, err)
		}
	}
	if got := w.content(w.state(), "fresh"); got != "" {
		t.Fatalf("somebody guessed %q", got)
	}
	_, _, err := w.spoken(w.disk, recovery.Demote, "v", ended)
	must(t, err)
	_, _, err = w.spoken(w.disk, recovery.Promote, string(c.op), ended)
	must(t, err)
	if st := w.state(); w.content(st, "fresh") != "one" || st.Ref("fresh").Number != 1 {
		t.Errorf("%+v", st.Tables["fresh"])
	}
	if rows := w.rows(""); len(rows) != 2 || rows[0].Reason != "Demoted" || rows[1].Reason != "Promoted" {
		t.Errorf("%+v", rows)
	}
}

// Only a person discards what somebody had confirmed: by itself it is kept, loud, for
// as long as it takes.
func TestNothingConfirmedIsDiscardedWithoutAWord(t *testing.T) {
	contract.Row(t, 115, 116)
	w, op := confirmed(t)
	must(t, w.disk.Delete(ctx(t), manifest.TableKey("a", 2, op)))
	for range 3 {
		reps, err := w.recoverAll(w.disk, ended)
		must(t, err)
		if v := reps[0].Verdict; v.Reason != recovery.ReasonContradiction || len(w.rows("")) != 0 {
			t.Fatalf("%+v", v)
		}
	}
	we, reps, err := w.spoken(w.disk, recovery.Demote, "w", ended)
	must(t, err)
	if len(we.Open) != 1 || we.Open[0].Operation != op || len(reps) != 1 || !reps[0].Complete || reps[0].Outcome.Kind != manifest.KindAbandon {
		t.Fatalf("%+v %+v", we, reps)
	}
	if rows := w.rows(op); len(rows) != 1 || rows[0].Actor != "ada" || rows[0].Reason != "Demoted" || len(w.keys(recovery.Prefix)) != 0 {
		t.Errorf("%+v, left %v", rows, w.keys(recovery.Prefix))
	}
	if we, reps, err := w.spoken(w.disk, recovery.Demote, "w", ended); err != nil || we.Hash != "" || len(reps) != 0 {
		t.Errorf("again: %v %+v %+v", err, we, reps)
	}
}

// All of what a writer left, or nothing: one operation that cannot be closed keeps the
// others; what is of other writers stays.
func TestADemotionIsAllOrNothing(t *testing.T) {
	contract.Row(t, 116)
	w, c := unconfirmed(t)
	w.twinSidecar(c.op, "MORE", "w")
	w.twinSidecar(c.op, "THEIRS", "v")
	before := w.state().Version
	r, err := w.recoverer(w.disk)
	must(t, err)
	we, err := r.WeighDemotion(ctx(t), "w", ended)
	must(t, err)
	if len(we.Open) != 2 || we.Hash == "" {
		t.Fatalf("%+v", we)
	}
	for _, agreed := range []recovery.PlanHash{"", we.Open[0].PlanHash, "sha256:other"} {
		if reps, err := r.Carry(ctx(t), we, agreed, "ada"); !errors.Is(err, recovery.ErrNotAgreed) || len(reps) != 0 {
			t.Errorf("agreed to %q: %v %+v", agreed, err, reps)
		}
	}
	if _, err := r.Carry(ctx(t), we, we.Hash, ""); !errors.Is(err, recovery.ErrNotAgreed) {
		t.Errorf("nobody's word: %v", err)
	}
	if _, _, err := w.spoken(w.disk, recovery.Demote, "w", recovery.RollForwardOnly{}); !errors.Is(err, recovery.ErrNotAgreed) || w.state().Version != before {
		t.Errorf("a living writer: %v", err)
	}
	reps, err := r.Carry(ctx(t), we, we.Hash, "ada")
	must(t, err)
	for _, rep := range reps {
		if !rep.Complete || rep.Outcome.Kind != manifest.KindAbandon {
			t.Errorf("%+v", rep)
		}
	}
	if left := w.keys(recovery.Prefix); len(left) != 1 || left[0] != recovery.SidecarKey("THEIRS") {
		t.Errorf("left %v", left)
	}
	if rows := w.rows(""); len(rows) != 2 {
		t.Errorf("%+v", rows)
	}
}

// What is not published moves no version. What a person publishes moves it once, and
// everybody who reads, and the writer's own successor, goes on from there.
func TestVersionsMoveOnlyWithWhatIsPublished(t *testing.T) {
	contract.Row(t, 117)
	for _, word := range []recovery.Word{recovery.Demote, recovery.Promote} {
		w, c := unconfirmed(t)
		reader, err := w.manifest(w.disk) // a replica that has been there all the time
		must(t, err)
		was := reader.View().Ref("a")
		what := map[recovery.Word]string{recovery.Demote: "w", recovery.Promote: string(c.op)}[word]
		_, _, err = w.spoken(w.disk, word, what, ended)
		must(t, err)
		st, err := reader.Latest(ctx(t))
		must(t, err)
		want, content := was, "old"
		if word == recovery.Promote {
			want, content = manifest.Ref{Number: was.Number + 1, Operation: c.op}, "new"
		}
		if st.Ref("a") != want || w.content(st, "a") != content || w.content(st, "b") != content {
			t.Errorf("%s: a replica sees %s %q", word, st.Ref("a"), w.content(st, "a"))
		}
		wr, err := w.writer(w.disk, "w")
		must(t, err)
		_, err = wr.Commit(ctx(t), checkpoint(put(w.disk, "a", "later")))
		must(t, err)
		st, err = reader.Latest(ctx(t))
		must(t, err)
		if st.Ref("a").Number != want.Number+1 || w.content(st, "a") != "later" {
			t.Errorf("%s: after the next write a replica sees %s", word, st.Ref("a"))
		}
	}
}

// moveTable publishes a version of a table as if by another writer that salvor does
// not hold back.
func (w *world) moveTable(table string) error {
	m, err := w.manifest(w.disk)
	if err != nil {
		return err
	}
	e, err := m.Register(ctx(w.t), "mover", manifest.ProcessID(w.newID()), manifest.Epoch{})
	if err != nil {
		return err
	}
	id, from := manifest.TableID(table), m.View().Ref(manifest.TableID(table))
	pin := manifest.Pin{Ref: manifest.Ref{Number: from.Number + 1, Operation: "MOVED"}, Digest: "sha256:x"}
	_, err = m.Publish(ctx(w.t), manifest.Publication{
		By: manifest.Publisher{Role: manifest.RoleWriter, Writer: "mover", Process: e.Process, Epoch: e},
		Entries: []manifest.Entry{{Kind: manifest.KindPublish, Operation: "MOVED", Writer: "mover", Epoch: e, Base: m.View().Version,
			Tables: []manifest.Change{{Table: id, Expected: from, To: &pin}}}},
	})
	return err
}

// twinSidecar is another operation that means to do just the same, and has done
// all of it but the confirmation.
func (w *world) twinSidecar(of, op manifest.OperationID, writer manifest.WriterID) {
	w.t.Helper()
	s, err := recovery.Get(ctx(w.t), w.disk, recovery.SidecarKey(of))
	must(w.t, err)
	s.Operation, s.Attempt, s.Writer = op, "attempt-"+string(op), writer
	raw, err := recovery.EncodeSidecar(s)
	must(w.t, err)
	w.place(recovery.SidecarKey(op), raw)
	for _, p := range s.Tables {
		raw := mustEncode(w.t, "table", "twin")
		w.place(p.Object(op), raw)
	}
}
