// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
)

const (
	// priorMost bounds what one prior may print, priorsMost what all of a store keep, and
	// outputsMost the outputs: an object of the API server takes 1.5 MiB.
	priorMost   = 4096
	priorsMost  = 384 << 10
	outputMost  = 2048
	outputsMost = 256 << 10
	// hookedMost bounds the pods of one HookRun.
	hookedMost = 50
)

// hookTerms are the terms of a HookRun in the words of package maintenance.
func hookTerms(run *v1alpha1.HookRun, held bool, opt Options) maintenance.HookTerms {
	t := maintenance.HookTerms{Held: held, Undo: run.Status.UndoSince != nil, Tries: opt.HookTries, Backoff: opt.Backoff, BackoffMost: hookBackoffMost}
	if u := run.Status.UndoUntil; u != nil {
		t.Until = u.Time
	}
	for _, h := range run.Spec.Hooks {
		t.Hooks = append(t.Hooks, maintenance.Hook{Name: h.Name, Prior: partOf(h.Prior), Pre: partOf(&h.Pre), Post: partOf(h.Post)})
	}
	return t
}

func partOf(a *v1alpha1.HookAction) maintenance.HookAction {
	return maintenance.HookAction{There: a != nil, Continue: a != nil && a.OnError == v1alpha1.HookContinue}
}

// hookRan is what is written down, by pod and hook.
func hookRan(run *v1alpha1.HookRun) map[string]map[string]maintenance.HookRan {
	out := map[string]map[string]maintenance.HookRan{}
	for i := range run.Status.Pods {
		p := &run.Status.Pods[i]
		out[p.Name] = map[string]maintenance.HookRan{}
		for j := range p.Hooks {
			h := &p.Hooks[j]
			out[p.Name][h.Name] = maintenance.HookRan{
				Kept:  h.Prior != nil,
				Prior: tryOf(run, h.Name, maintenance.Prior, h.ReadPrior),
				Pre:   tryOf(run, h.Name, maintenance.Pre, h.Pre),
				Post:  tryOf(run, h.Name, maintenance.Post, h.Post),
			}
		}
	}
	return out
}

func tryOf(run *v1alpha1.HookRun, hook string, part maintenance.HookPart, a *v1alpha1.HookAttempt) maintenance.HookTry {
	if a == nil {
		return maintenance.HookTry{}
	}
	t := maintenance.HookTry{Begun: a.BegunAt.Time, On: a.On, OK: a.Result == v1alpha1.HookSucceeded, Tries: int(a.Tries)}
	t.By = t.Begun.Add(timeoutOf(actionOf(run, hook, part)))
	if a.EndedAt != nil {
		t.Ended = a.EndedAt.Time
	}
	return t
}

// actionOf finds what a hook's part does; nil when it has none.
func actionOf(run *v1alpha1.HookRun, hook string, part maintenance.HookPart) *v1alpha1.HookAction {
	for i := range run.Spec.Hooks {
		h := &run.Spec.Hooks[i]
		switch {
		case h.Name != hook:
		case part == maintenance.Prior:
			return h.Prior
		case part == maintenance.Pre:
			return &h.Pre
		default:
			return h.Post
		}
	}
	return nil
}

func timeoutOf(a *v1alpha1.HookAction) time.Duration {
	if a == nil || a.Timeout == nil {
		return v1alpha1.DefaultHookTimeout
	}
	return a.Timeout.Duration
}

// written is where a step's attempts are written down; it is made when it is not there.
func written(run *v1alpha1.HookRun, s maintenance.HookStep) (*v1alpha1.HookedBy, **v1alpha1.HookAttempt) {
	i := slices.IndexFunc(run.Status.Pods, func(p v1alpha1.HookedPod) bool { return p.Name == s.Pod })
	if i < 0 {
		run.Status.Pods = append(run.Status.Pods, v1alpha1.HookedPod{Name: s.Pod})
		slices.SortFunc(run.Status.Pods, func(a, b v1alpha1.HookedPod) int { return cmp.Compare(a.Name, b.Name) })
		i = slices.IndexFunc(run.Status.Pods, func(p v1alpha1.HookedPod) bool { return p.Name == s.Pod })
	}
	p := &run.Status.Pods[i]
	j := slices.IndexFunc(p.Hooks, func(h v1alpha1.HookedBy) bool { return h.Name == s.Hook })
	if j < 0 {
		p.Hooks, j = append(p.Hooks, v1alpha1.HookedBy{Name: s.Hook}), len(p.Hooks)
	}
	h := &p.Hooks[j]
	switch s.Part {
	case maintenance.Prior:
		return h, &h.ReadPrior
	case maintenance.Pre:
		return h, &h.Pre
	default:
		return h, &h.Post
	}
}

// begin writes down that steps may have happened from now on.
func begin(run *v1alpha1.HookRun, do []maintenance.HookStep, now time.Time) {
	for _, s := range do {
		_, at := written(run, s)
		next := &v1alpha1.HookAttempt{Result: v1alpha1.HookBegun, On: s.On, BegunAt: metav1.NewMicroTime(now), Attempts: 1, Tries: 1}
		if was := *at; was != nil {
			next.Attempts = was.Attempts + 1
			if was.On == s.On && was.Result != v1alpha1.HookSucceeded {
				next.Tries = was.Tries + 1
			}
		}
		*at = next
	}
}

// hookResult is what came of one attempt.
type hookResult struct {
	// failed says why, for people; empty: it succeeded.
	failed string
	code   *int32
	status int32
	// stdout is the whole of it as far as a prior may be long, and one byte more; tail is
	// the end of all that was printed.
	stdout, tail string
}

// end writes down what came of a step. What prior has printed is kept once and for
// all: read again, it would show what the hook itself has set.
func end(run *v1alpha1.HookRun, s maintenance.HookStep, res hookResult, now time.Time) {
	h, at := written(run, s)
	a := *at
	if s.Part == maintenance.Prior && res.failed == "" {
		switch {
		case len(res.stdout) > priorMost:
			res.failed = fmt.Sprintf("it printed more than %d bytes: print only what post needs", priorMost)
		case !isText(res.stdout):
			res.failed = "what it printed is no text in UTF-8"
		case kept(run)+len(res.stdout) > priorsMost:
			res.failed = fmt.Sprintf("the priors of all pods have more than %d bytes: print less", priorsMost)
		case h.Prior == nil:
			h.Prior = &res.stdout
		}
	}
	a.Result, a.Message = v1alpha1.HookSucceeded, ""
	if res.failed != "" {
		a.Result, a.Message = v1alpha1.HookFailed, clipTo(res.failed, 256)
	}
	a.EndedAt = new(metav1.NewMicroTime(now))
	a.ExitCode, a.HTTPStatus = res.code, res.status
	most := min(outputMost, max(128, outputsMost/max(1, 3*len(run.Status.Pods)*len(run.Spec.Hooks))))
	tail := strings.ToValidUTF8(strings.ReplaceAll(res.tail, "\x00", ""), "?")
	a.Output = strings.ToValidUTF8(tail[max(0, len(tail)-most):], "")
}

func isText(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.Contains(s, "\x00")
}

// kept is how much all priors have together, in bytes.
func kept(run *v1alpha1.HookRun) (n int) {
	for _, p := range run.Status.Pods {
		for _, h := range p.Hooks {
			if h.Prior != nil {
				n += len(*h.Prior)
			}
		}
	}
	return n
}

// priorOf is what was kept for a hook in a pod; nil when nothing was.
func priorOf(run *v1alpha1.HookRun, pod, hook string) *string {
	for _, p := range run.Status.Pods {
		for _, h := range p.Hooks {
			if p.Name == pod && h.Name == hook {
				return h.Prior
			}
		}
	}
	return nil
}

func countsOf(p maintenance.HookPlan) v1alpha1.HookCounts {
	return v1alpha1.HookCounts{
		Ran: int32(p.Ran), Failed: int32(p.Wrong), Undone: int32(p.Over), Owed: int32(p.Owed), Summary: fmt.Sprintf("%d/%d", p.Over, p.Over+p.Owed),
	}
}

// hookConditions say where the hooks of a store are. It is pure.
func hookConditions(run *v1alpha1.HookRun, p maintenance.HookPlan, w wanted) []condition {
	const (
		quiesced, undone = v1alpha1.ConditionQuiesced, v1alpha1.ConditionUndone
		working, stalled = v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled
	)
	calm := []condition{
		isFalse(quiesced, v1alpha1.ReasonUndone, run.Status.UndoWhy),
		isFalse(undone, v1alpha1.ReasonHeldQuiet, "post hooks run when the freeze is over"),
		isFalse(working, v1alpha1.ReasonSettled, "there is nothing to do"),
		isFalse(stalled, v1alpha1.ReasonSettled, "nothing waits for a person"),
	}
	switch {
	case run.Status.UndoSince != nil && p.Undone:
		return set(calm, isTrue(undone, v1alpha1.ReasonUndone, fmt.Sprintf("%s; nothing is left to undo", run.Status.UndoWhy)))
	case run.Status.UndoSince != nil && p.GaveUp != "":
		message := clip(fmt.Sprintf("not undone in time: %s: do by hand what these hooks do, with status.pods[].hooks[].prior, then delete HookRun %s", p.GaveUp, run.Name))
		return set(set(calm, isFalse(undone, v1alpha1.ReasonHooksNotUndone, message)), isTrue(stalled, v1alpha1.ReasonHooksNotUndone, message))
	case run.Status.UndoSince != nil:
		message := clip(fmt.Sprintf("%s: %s", run.Status.UndoWhy, p.Why))
		return set(set(calm, isFalse(undone, v1alpha1.ReasonHooksUndoing, message)), isTrue(working, v1alpha1.ReasonHooksUndoing, message))
	case p.Failed != "":
		return set(set(calm, isFalse(quiesced, v1alpha1.ReasonHookFailed, clip(p.Failed))), isTrue(working, v1alpha1.ReasonHookFailed, clip(p.Failed)))
	case w.unknown != "":
		return set(set(calm, unknown(quiesced, v1alpha1.ReasonStoreNotReady, clip(w.unknown))), isTrue(working, v1alpha1.ReasonStoreNotReady, clip(w.unknown)))
	case p.Why != "":
		return set(set(calm, isFalse(quiesced, v1alpha1.ReasonQuiescing, clip(p.Why))), isTrue(working, v1alpha1.ReasonQuiescing, clip(p.Why)))
	}
	return set(calm, isTrue(quiesced, v1alpha1.ReasonQuiesced, "the pre hooks have run in every pod that runs"))
}
