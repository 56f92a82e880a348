// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// leave puts a confirmed operation of a dead writer into the root: it moves table from
// the given version by one.
func (w *world) leave(op manifest.OperationID, table string, from manifest.Ref, base manifest.Version) manifest.Ref {
	w.t.Helper()
	m, err := w.manifest(w.disk)
	must(w.t, err)
	writer := manifest.WriterID("w-" + string(op))
	epoch, err := m.Register(ctx(w.t), writer, manifest.ProcessID(w.newID()), manifest.Epoch{})
	must(w.t, err)
	s := &recovery.Sidecar{
		Store: "store-uid", Operation: op, Attempt: w.newID(), Writer: writer, Epoch: epoch, Kind: recovery.KindCheckpoint, Base: base, Started: w.clock(),
		Tables:   []recovery.TablePlan{{Table: manifest.TableID(table), Expected: from, Number: from.Number + 1}},
		Outcomes: recovery.OutcomeIDs{Publish: w.newID(), Abandon: w.newID(), RollBack: w.newID()},
	}
	version := mustEncode(w.t, "table", string(op))
	h, _, err := envelope.ParseHeader(version)
	must(w.t, err)
	w.place(s.Tables[0].Object(op), version)
	raw, err := recovery.EncodeSidecar(s)
	must(w.t, err)
	w.place(recovery.SidecarKey(op), raw)
	raw, err = recovery.EncodeConfirmed(&recovery.Confirmed{
		Store: s.Store, Operation: op, Attempt: s.Attempt, Tables: []recovery.Reached{{Table: manifest.TableID(table), Number: from.Number + 1, Digest: h.Digest}},
	}, 1)
	must(w.t, err)
	w.place(recovery.ConfirmedKey(op), raw)
	return manifest.Ref{Number: from.Number + 1, Operation: op}
}

// leftBehind is a root with three operations on one table, each begun on what the one
// before would make, whose ids say the opposite order; and two on others.
func leftBehind(t *testing.T) (*world, []manifest.OperationID) {
	w := prepared(onMemory(t))
	base := w.state().Version
	a := w.state().Ref("a")
	one := w.leave("OP-9", "a", a, base)
	two := w.leave("OP-5", "a", one, base+1)
	w.leave("OP-1", "a", two, base+2)
	w.leave("OP-3", "c", manifest.Ref{}, base)
	w.leave("OP-2", "d", manifest.Ref{}, base+2)
	return w, []manifest.OperationID{"OP-3", "OP-9", "OP-5", "OP-1", "OP-2"}
}

func goThrough(t *testing.T, w *world, p recovery.Pass) (ops []manifest.OperationID, reps []recovery.Report, left int) {
	t.Helper()
	r, err := w.recoverer(w.disk)
	must(t, err)
	listed, err := recovery.List(ctx(t), w.disk)
	must(t, err)
	reports, left := p.Go(ctx(t), r, listed)
	for rep, err := range reports {
		must(t, err)
		ops, reps = append(ops, rep.Operation), append(reps, rep)
	}
	return ops, reps, left
}

// Of operations that build on each other the second sees the first, however many go at
// the same time: the order is that of base version and id, each time.
func TestAPassIsInOrder(t *testing.T) {
	contract.Row(t, 89)
	origin, want := leftBehind(t)
	for n := range 100 {
		w := origin.fork()
		ops, reps, left := goThrough(t, w, recovery.Pass{Authority: ended, AtOnce: 1 + n%8})
		if !slices.Equal(ops, want) || left != 0 {
			t.Fatalf("run %d: in the order %v, %d left", n, ops, left)
		}
		st := w.state()
		for _, rep := range reps {
			if o, _ := st.Outcome(rep.Operation); !rep.Complete || o.Kind != manifest.KindPublish {
				t.Fatalf("run %d: operation %s: %+v", n, rep.Operation, o)
			}
		}
		if got := w.content(st, "a"); got != "OP-1" || len(w.keys(recovery.Prefix)) != 0 || len(w.rows("")) != 5 {
			t.Fatalf("run %d: a is %q, left over %v", n, got, w.keys(recovery.Prefix))
		}
	}
}

// What is confirmed between the listing and the pass is acted on as confirmed; what is
// gone by then is nobody's.
func TestAPassActsOnWhatIsThereNow(t *testing.T) {
	contract.Row(t, 89, 96)
	w, op := armed(t)
	gone := w.leave("GONE", "c", manifest.Ref{}, w.state().Version)
	r, err := w.recoverer(w.disk)
	must(t, err)
	listed, err := recovery.List(ctx(t), w.disk)
	must(t, err)
	s, err := recovery.Get(ctx(t), w.disk, recovery.SidecarKey(op))
	must(t, err)
	c := &recovery.Confirmed{Store: s.Store, Operation: op, Attempt: s.Attempt}
	for _, p := range s.Tables {
		raw := mustEncode(t, "table", "new")
		h, _, err := envelope.ParseHeader(raw)
		must(t, err)
		w.place(p.Object(op), raw)
		c.Tables = append(c.Tables, recovery.Reached{Table: p.Table, Number: p.Number, Digest: h.Digest})
	}
	raw, err := recovery.EncodeConfirmed(c, 1)
	must(t, err)
	w.place(recovery.ConfirmedKey(op), raw)
	must(t, w.disk.Delete(ctx(t), recovery.SidecarKey("GONE")))
	reports, _ := recovery.Pass{Authority: ended}.Go(ctx(t), r, listed)
	for rep, err := range reports {
		must(t, err)
		if !rep.Complete || rep.Gone != (rep.Operation == "GONE") {
			t.Errorf("%+v", rep)
		}
	}
	st := w.state()
	if o, _ := st.Outcome(op); o.Kind != manifest.KindPublish || w.content(st, "a") != "new" {
		t.Errorf("%+v, a is %q", o, w.content(st, "a"))
	}
	if st.Ref("c") == gone || len(w.keys(recovery.Prefix)) != 0 {
		t.Errorf("c is %v, left over %v", st.Ref("c"), w.keys(recovery.Prefix))
	}
}

// A pass with a limit recovers so many operations, each of them whole, and says how
// many it left.
func TestAPassStopsAtItsLimit(t *testing.T) {
	contract.Row(t, 103)
	origin, order := leftBehind(t)
	for limit := 1; limit <= len(order); limit++ {
		w := origin.fork()
		ops, reps, left := goThrough(t, w, recovery.Pass{Authority: ended, Limit: limit})
		if !slices.Equal(ops, order[:limit]) || left != len(order)-limit {
			t.Errorf("limit %d: %v, %d left", limit, ops, left)
		}
		for _, rep := range reps {
			if !rep.Complete || len(w.rows(rep.Operation)) != 1 {
				t.Errorf("limit %d: operation %s was left half done", limit, rep.Operation)
			}
		}
		for _, op := range order[limit:] { // not touched at all
			if _, decided := w.state().Outcome(op); decided || len(w.keys(recovery.SidecarKey(op))) != 2 || len(w.rows(op)) != 0 {
				t.Errorf("limit %d: operation %s was touched", limit, op)
			}
		}
		if ops, _, left := goThrough(t, w, recovery.Pass{Authority: ended}); len(ops) != len(order)-limit || left != 0 {
			t.Errorf("after limit %d: %v", limit, ops)
		}
		if got := fmt.Sprintf("%s %d %d", w.content(w.state(), "a"), len(w.rows("")), len(w.keys(recovery.Prefix))); got != "OP-1 5 0" {
			t.Errorf("after limit %d: %s", limit, got)
		}
	}
}
