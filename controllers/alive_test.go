// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync/atomic"
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

// lookAt is a person's wish for a look at an operation.
func (w *world) lookAt(op manifest.OperationID) {
	w.t.Helper()
	w.create(&v1alpha1.RecoverySidecar{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "by-hand"},
		Spec:       v1alpha1.RecoverySidecarSpec{StoreRef: v1alpha1.LocalReference{Name: "ledger"}, Key: recovery.SidecarKey(op), OperationID: string(op)},
	})
}

// unheard returns the one of two pods for which no stream is left.
func unheard(pods []*storePod) *storePod {
	if pods[0].streams() > 0 {
		return pods[1]
	}
	return pods[0]
}

// Between a writer's publication and its delete its sidecar is still there.
func TestWhatALiveWriterHasPublishedIsLeftToIt(t *testing.T) {
	contract.Row(t, 91, 99)
	for name, pick := range map[string]func([]*storePod) *storePod{
		"it streams":      func(pods []*storePod) *storePod { return pods[0] },
		"it is not heard": unheard,
	} {
		t.Run(name, func(t *testing.T) {
			w, pods := ledgerWorld(t, 2, func(w *world) {
				if name == "it is not heard" {
					w.opt.MaxStreams = 1
				}
			})
			op, gate, done := pick(pods).commit(fault.Delete, recovery.Prefix, 1, "accounts")
			w.lookAt(op)
			eventually(t, "the operation to be deferred", func() bool {
				rsc := w.sidecar(op)
				return rsc != nil && words(rsc.Status.Conditions, cResolved) == "False WriterLive"
			})
			gate.Release()
			if got := <-done; got.err != nil || got.result.ByRecovery {
				t.Fatalf("the live writer was disturbed: %+v", got)
			}
			if rows := w.rows(); len(rows) != 0 {
				t.Errorf("a writer's own publication has audit rows: %v", rows)
			}
		})
	}
}

// A writer that lives and never cleans up does not keep its sidecar for ever.
func TestWhatALiveWriterLeavesForTooLongIsCleanedUp(t *testing.T) {
	contract.Row(t, 91)
	w, pods := ledgerWorld(t, 1, func(w *world) { w.opt.SweepEvery = time.Second })
	op, gate, done := pods[0].commit(fault.Delete, recovery.Prefix, 1, "accounts")
	w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleWriter)
	w.oneRow(op, audit.RolledForward)
	gate.Release()
	if got := <-done; got.err != nil {
		t.Fatalf("the live writer was disturbed: %+v", got)
	}
}

// A stream may be behind what a listing shows.
func TestWhatALiveWriterHasJustArmedGetsNoResource(t *testing.T) {
	contract.Row(t, 91)
	var stopped atomic.Pointer[time.Time] // the operator's clock, while the stream is behind
	w, pods := ledgerWorld(t, 2, func(w *world) {
		w.opt.Now = func() time.Time {
			if at := stopped.Load(); at != nil {
				return *at
			}
			return time.Now()
		}
	})
	live := pods[1]
	live.say(func() { live.mute = true })
	op, gate, done := live.confirmedCommit("transfers")
	now := time.Now()
	stopped.Store(&now)
	pods[0].crash("accounts") // and the root is listed
	eventually(t, "a look at what the live writer has armed", func() bool {
		for _, c := range w.root.Calls() {
			if c.Key == recovery.SidecarKey(op) {
				return true
			}
		}
		return false
	})
	live.say(func() { live.mute = false })
	live.tellOf(op)
	stopped.Store(nil)
	throughout(t, wordsBehind+never, "no resource for it", func() bool { return w.sidecar(op) == nil })
	gate.Release()
	if got := <-done; got.err != nil || got.result.ByRecovery {
		t.Fatalf("the live writer was disturbed: %+v", got)
	}
}

// What a live process never speaks of is shown to people.
func TestWhatALiveWriterDoesNotSpeakOfIsShown(t *testing.T) {
	contract.Row(t, 91)
	was := lateLooks
	lateLooks = was[:1]
	t.Cleanup(func() { lateLooks = was })
	w, pods := ledgerWorld(t, 2)
	live := pods[1]
	live.say(func() { live.mute = true })
	op, gate, done := live.confirmedCommit("transfers")
	pods[0].crash("accounts")
	eventually(t, "it to be deferred", func() bool {
		rsc := w.sidecar(op)
		return rsc != nil && words(rsc.Status.Conditions, cResolved) == "False WriterLive"
	})
	gate.Release()
	if got := <-done; got.err != nil || got.result.ByRecovery {
		t.Fatalf("the live writer was disturbed: %+v", got)
	}
}

// The last words of a process that was killed name an operation that it had
// finished, and not the one that it had just armed.
func TestLastWordsThatWereBehindHideNothing(t *testing.T) {
	contract.Row(t, 130)
	w, pods := ledgerWorld(t, 1)
	p := pods[0]
	p.say(func() { p.mute, p.phantom = true, "01FINISHED" })
	p.tellOf("01FINISHED")
	op, _, _ := p.confirmedCommit("accounts")
	p.kill()
	w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
}

// A process that serves before its kubelet has said that it runs.
func TestAPodThatRunsAfterItsStreamIsCounted(t *testing.T) {
	contract.Row(t, 145)
	w, pods := ledgerWorld(t, 1)
	p := pods[0]
	p.kill()
	p.status(terminated)
	w.becomes("ledger", v1alpha1.ConditionReady, "False WritersNotStreaming")
	p.restarts++
	p.begin()
	eventually(t, "the stream to be counted, and no pod that runs", func() bool {
		ws := w.get("ledger")
		return ws.Status.Writers.Streaming == 1 && words(ws.Status.Conditions, v1alpha1.ConditionReady) == "False WritersNotStreaming"
	})
	before := w.get("ledger").ResourceVersion
	throughout(t, never, "nothing else to be said", func() bool { return w.get("ledger").ResourceVersion == before })
	p.status(running)
	w.streaming("ledger")
}
