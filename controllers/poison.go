// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance/restart"
	"github.com/salvor-io/salvor/manifest"
)

// mending is what is being done about pods whose logs have failed, for the status.
type mending struct {
	verdicts []restart.Verdict
	// restarts to be written down; nil: those that are.
	restarts []v1alpha1.PodRestart
	// volumes by pod, of those that matter: their logs have failed, or will.
	volumes map[string]volume
	// nearly are the pods whose volumes are nearly full, each in a sentence.
	nearly []string
}

// refusal is an eviction that was not granted.
type refusal struct {
	process, by string
	at          time.Time
}

// mend decides what is done about pods whose logs have failed, and does it. Without a
// root that is ours, and trusted, nothing is.
func (r *WALStoreReconciler) mend(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory) (out mending, err error) {
	if root == nil {
		return out, nil
	}
	words := r.streams.Words(root)
	if !anySick(words) {
		m.refused, m.mended, m.volumes = nil, nil, nil
		return out, nil
	}
	members, err := r.members(ctx, ws, root)
	if err != nil {
		return out, err
	}
	out.volumes = r.volumes(ctx, m, members)
	out.nearly = nearly(members, out.volumes)
	out.verdicts = restart.Decide(r.sick(ws, root, m, members, out.volumes))
	for i := range out.verdicts {
		r.treat(ctx, ws, root, m, &out, i)
	}
	return out, nil
}

// anySick: a log has failed, or its volume is nearly full.
func anySick(words map[manifest.WriterID]*control.Status) bool {
	for _, st := range words {
		if st.State == control.Poisoned || nearlyFull(st.Disk) {
			return true
		}
	}
	return false
}

// sick is what is decided over.
func (r *WALStoreReconciler) sick(ws *v1alpha1.WALStore, root *Root, m *memory, members map[string]member, volumes map[string]volume) restart.World {
	w := restart.World{
		Now: r.opt.Now(), Suspended: suspended(ws, r.opt.Now()) != nil, Off: ws.Spec.Recovery.RestartPoisoned == v1alpha1.RestartNever,
		Plan: ws.Spec.Recovery.Mode == v1alpha1.RecoveryPlan, Listed: m.listed.ok, Serving: map[string]bool{}, Done: restartsOf(ws),
	}
	for name, to := range members {
		st := to.status
		switch {
		case st == nil:
		case st.State != control.Poisoned:
			w.Serving[name] = true
		default:
			w.Pods = append(w.Pods, sickPod(to, r.ledger.of(root.UID, manifest.WriterID(name)), root.Manifest.View().Lock != nil, volumes[name], m.refused[name]))
		}
	}
	return w
}

// sickPod is one pod whose log has failed, as far as a decision needs it.
func sickPod(to member, known []pending, locked bool, v volume, no refusal) restart.Pod {
	st := to.status
	own := slices.DeleteFunc(known, func(p pending) bool { return p.writer == "" }) // a bad object is nobody's, and holds nobody up
	p := restart.Pod{
		Name: to.pod.Name, Process: st.Process, Ending: !to.pod.DeletionTimestamp.IsZero(),
		Pending: pendingOf(own, st) + len(st.Open), Volatile: !v.stays, Unpublished: st.Published < max(st.Durable, st.Written), Locked: locked,
	}
	if st.Poison != nil {
		p.Cause, p.Then = restart.Cause(st.Poison.Class), st.Poison.Free
	}
	if d := st.Disk; d != nil {
		p.Known, p.Free, p.Needs = true, d.Free, max(d.Needs, 1)
	}
	if no.process == st.Process {
		p.Refused, p.By = no.at, no.by
	}
	return p
}

// restartsOf are the restarts that a WALStore's status remembers.
func restartsOf(ws *v1alpha1.WALStore) (out []restart.Restart) {
	for _, r := range ws.Status.Restarts {
		out = append(out, restart.Restart{Pod: r.Pod, Process: r.Process, Cause: restart.Cause(r.Cause), At: r.Time.Time})
	}
	return out
}

func restartStatus(all []restart.Restart) []v1alpha1.PodRestart {
	out := []v1alpha1.PodRestart{}
	for _, r := range all {
		out = append(out, v1alpha1.PodRestart{Pod: r.Pod, Process: r.Process, Cause: string(r.Cause), Time: metav1.NewTime(r.At.UTC().Truncate(time.Second))})
	}
	return out
}

// look is when what is being done is looked at again; 0: nothing is.
func (d mending) look() (after time.Duration) {
	for _, v := range d.verdicts {
		again := changeLook
		switch {
		case v.Step == restart.Record:
			again = 10 * time.Millisecond // it is written down by then
		case v.Step == restart.Leave, v.Why == restart.WhyRefused:
			again = stuckLook
		}
		if after == 0 || again < after {
			after = again
		}
	}
	return after
}

// logs are the positions of the first writers that report.
func logs(words map[manifest.WriterID]*control.Status) (out []v1alpha1.WriterLog) {
	var names []string
	for id := range words {
		names = append(names, string(id))
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), v1alpha1.MaxWriterLogs)] {
		st := words[manifest.WriterID(name)]
		out = append(out, v1alpha1.WriterLog{
			Pod: name, Oldest: int64(st.Oldest), Published: int64(st.Published), Durable: int64(st.Durable), Next: int64(st.Next), SegmentBytes: st.LogBytes,
		})
	}
	return out
}
