// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// ledgerWorld is a world with a store of n pods that stream.
func ledgerWorld(t *testing.T, n int, change ...func(*world)) (*world, []*storePod) {
	t.Helper()
	w := newWorld(t)
	for _, f := range change {
		f(w)
	}
	w.store("ledger", int32(n))
	w.start()
	var pods []*storePod
	for i := range n {
		pods = append(pods, w.pod("ledger", i))
	}
	w.streaming("ledger")
	return w, pods
}

// oneRow checks that an operation has exactly one audit row, of this kind.
func (w *world) oneRow(op manifest.OperationID, kind audit.Kind) {
	w.t.Helper()
	n := 0
	for _, r := range w.rows() {
		if r.Operation == string(op) {
			n++
			if r.Kind != kind {
				w.t.Errorf("the row of %s says %s, want %s", op, r.Kind, kind)
			}
		}
	}
	if n != 1 {
		w.t.Errorf("operation %s has %d audit rows, want 1", op, n)
	}
}

// resolved checks the outcome in the manifest, and that nothing is left behind.
func (w *world) resolved(op manifest.OperationID, kind manifest.Kind, by manifest.Role) {
	w.t.Helper()
	o, ok := w.manifest().Outcome(op)
	if !ok || o.Kind != kind || o.By.Role != by {
		w.t.Errorf("operation %s: %+v, want %s by %s", op, o, kind, by)
	}
	if left := w.keys(recovery.Prefix); len(left) != 0 {
		w.t.Errorf("left behind: %v", left)
	}
}

func TestAKilledWritersConfirmedOperationIsPublished(t *testing.T) {
	contract.Row(t, 128, 130)
	w, pods := ledgerWorld(t, 3)
	before := w.api.count()
	w.root.OnCall(nil)
	calls := len(w.root.Calls())
	op, _, _ := pods[1].confirmedCommit("accounts", "transfers")
	killed := time.Now()
	pods[1].kill()
	rsc := w.healed(op)

	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
	w.oneRow(op, audit.RolledForward)
	st := rsc.Status
	if st.Phase != "Confirmed" || st.Decision != "RollForward" || st.Writer.ID != "ledger-1" || st.TableCount != 2 || st.Audit.ID != 1 || st.Outcome.PublishedBy != "recovery" {
		t.Errorf("status: %+v", st)
	}
	if d := st.Timing.DetectedAt; d.Before(&metav1.MicroTime{Time: killed.Add(-time.Millisecond)}) || st.Timing.HealedAt.Before(d) {
		t.Errorf("killed %s, detected %s, healed %s", killed, d, st.Timing.HealedAt)
	}
	t.Logf("healed %s after the kill", st.Timing.HealedAt.Sub(killed))

	// What it cost: two writes on the resource, and as many requests to the root.
	if got := w.api.writes(before, "recoverysidecars"); len(got) != 2 {
		t.Errorf("API writes on the RecoverySidecar: %v", got)
	}
	made := w.root.Calls()[calls:]
	lists, pass := 0, 0
	for i, c := range made {
		if pass == 0 && c.Verb == fault.Delete && c.Key == recovery.SidecarKey(op) {
			pass = i + 1 // the sidecar goes last
		}
		if c.Verb == fault.List && strings.HasPrefix(c.Key, recovery.Prefix) {
			lists++
		}
	}
	contract.Count(t, "object requests of one recovery", pass)
	// Goal 2: 9, and one for each further table, also of the first recovery since the root was opened.
	if lists != 0 || pass != 10 || len(made) > 21 {
		t.Errorf("%d object requests, %d listings of recovery/: %v", len(made), lists, made)
	}
	w.becomes("ledger", v1alpha1.ConditionReady, "False WritersNotStreaming")
	eventually(t, "the WALStore to tell of it", func() bool {
		last := w.get("ledger").Status.LastRecovery
		return last != nil && last.Operation == string(op) && last.Outcome == "Published"
	})
	pods[1].restart()
	w.streaming("ledger")
}

func TestAKilledWritersArmedOperationIsAbandoned(t *testing.T) {
	contract.Row(t, 130)
	w, pods := ledgerWorld(t, 1)
	op, _, _ := pods[0].armedCommit("accounts")
	pods[0].kill()
	rsc := w.healed(op)
	w.resolved(op, manifest.KindAbandon, manifest.RoleRecovery)
	w.oneRow(op, audit.RolledBack)
	if got := words(rsc.Status.Conditions, cResolved); got != "True Abandoned" {
		t.Errorf("Resolved is %s", got)
	}
}

func TestACutStreamCostsALiveWriterARegistrationAndNothingElse(t *testing.T) {
	contract.Row(t, 91, 130)
	w, pods := ledgerWorld(t, 1)
	p := pods[0]
	op, gate, done := p.confirmedCommit("accounts")
	p.hangUp() // the stream only: the process lives
	w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
	gate.Release()
	got := <-done
	if got.err != nil || !got.result.ByRecovery || got.result.Operation != op {
		t.Errorf("the client was told %+v, %v: the operation was published for it", got.result, got.err)
	}
	must(t, p.writer.Register(w.ctx))
	p.listen()
	w.streaming("ledger")
	if got := <-p.commitNow("accounts"); got.err != nil || got.result.ByRecovery {
		t.Errorf("after it registered again: %+v", got)
	}
	w.oneRow(op, audit.RolledForward)
}

func TestALiveWritersOperationIsLeftAlone(t *testing.T) {
	contract.Row(t, 91)
	w, pods := ledgerWorld(t, 1)
	op, gate, done := pods[0].confirmedCommit("accounts")
	w.lookAt(op)
	eventually(t, "the operation to be deferred", func() bool {
		rsc := w.sidecar(op)
		return words(rsc.Status.Conditions, cResolved) == "False WriterLive" && words(rsc.Status.Conditions, cWorking) == "True WriterLive"
	})
	w.becomes("ledger", v1alpha1.ConditionRecovering, "True OperationsPending")
	before, version := w.api.count(), w.manifest().Version
	throughout(t, never, "a live writer's operation left alone", func() bool { return w.manifest().Version == version })
	if got := w.api.writes(before, ""); len(got) != 0 {
		t.Errorf("a deferral goes on writing: %v", got)
	}
	gate.Release()
	if got := <-done; got.err != nil || got.result.ByRecovery {
		t.Fatalf("the live writer was disturbed: %+v", got)
	}
	rsc := w.healed(op) // woken by the stream: the writer is done with it
	if got := words(rsc.Status.Conditions, cComplete) + ", " + words(rsc.Status.Conditions, cResolved) + ", " + words(rsc.Status.Conditions, cAudited); got != "True AlreadyResolved, True Published, True NoRowNeeded" {
		t.Errorf("Complete, Resolved, Audited are %s", got)
	}
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("a writer's own publication has audit rows: %v", rows)
	}
}

func TestWithoutAStreamPodStatusTellsOfADeath(t *testing.T) {
	contract.Row(t, 130)
	for name, die := range map[string]func(*storePod){
		"its container ended": func(p *storePod) { p.status(terminated) },
		"its pod was deleted": func(p *storePod) { p.delete() },
	} {
		t.Run(name, func(t *testing.T) {
			w, pods := ledgerWorld(t, 2, func(w *world) { w.opt.MaxStreams = 1 })
			// One of the two has no stream.
			p := pods[0]
			streams := w.get("ledger").Status.Writers.Streaming
			if streams != 1 {
				t.Fatalf("%d streams, want 1", streams)
			}
			if p.streams() > 0 {
				p = pods[1]
			}
			op, _, _ := p.confirmedCommit("accounts")
			p.bucket.Kill()
			version := w.manifest().Version
			throughout(t, never, "nobody acting without evidence", func() bool { return w.manifest().Version == version })
			die(p)
			w.healed(op)
			w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
		})
	}
}

func TestAnOperatorThatStartsFindsWhatWasLeftBehind(t *testing.T) {
	w, pods := ledgerWorld(t, 2)
	w.stop()
	op1, _, _ := pods[0].confirmedCommit("accounts")
	op2, _, _ := pods[1].armedCommit("transfers")
	pods[0].kill()
	pods[0].status(terminated)
	pods[1].kill()
	pods[1].delete()
	w.opt.Detect.OrphanAfter = time.Second // nobody saw the second pod: it has been gone for ever
	w.opt.OrphanAfter = time.Second
	ws := w.get("ledger")
	ws.Spec.Recovery.OrphanAfter = &metav1.Duration{Duration: time.Second}
	must(t, w.client.Update(w.ctx, ws))
	w.start()
	w.healed(op1)
	w.healed(op2)
	w.resolved(op1, manifest.KindPublish, manifest.RoleRecovery)
	w.resolved(op2, manifest.KindAbandon, manifest.RoleRecovery)
}

func TestAnOperationThatALiveWriterGaveUpIsTaken(t *testing.T) {
	w, pods := ledgerWorld(t, 1)
	p := pods[0]
	op, gate, done := p.commit(fault.PutIfAbsent, recovery.Prefix, 2, "accounts") // before it confirms
	p.bucket.On(fault.Any, manifest.Prefix).Fail(errors.New("partition"))
	gate.Release()
	rsc := w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
	if rsc.Status.Writer.Process != string(p.process) {
		t.Errorf("%+v", rsc.Status.Writer)
	}
	eventually(t, "the writer to be told to read the manifest", func() bool { return p.refreshed() > 0 })
	if got := <-done; !errors.Is(got.err, manifest.ErrUnknown) {
		t.Errorf("the client was told %v, though its writer hears nothing", got.err)
	}
}

func TestASuccessorsOperationIsNotHurtByItsPredecessorsDeath(t *testing.T) {
	w, pods := ledgerWorld(t, 1)
	p := pods[0]
	op1, _, _ := p.confirmedCommit("accounts")
	p.kill()
	w.healed(op1)
	p.restart()
	w.streaming("ledger")
	op2, gate, done := p.confirmedCommit("transfers")
	throughout(t, never, "the successor's operation left alone", func() bool { return w.sidecar(op2) == nil })
	gate.Release()
	if got := <-done; got.err != nil || got.result.ByRecovery {
		t.Errorf("%+v", got)
	}
}
