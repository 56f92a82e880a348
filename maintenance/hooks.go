// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package maintenance

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// HookTerms are what the hooks of a freeze are asked for in one store.
type HookTerms struct {
	// Hooks in their order; they are undone the other way round.
	Hooks []Hook
	// Held: the store has been held. From then on a pre hook that fails is tried on, and
	// gives nothing up.
	Held bool
	// Undo: it is over, or has been given up. It never goes back.
	Undo bool
	// Until is how long what cannot be undone is tried.
	Until time.Time
	// Tries is how often a pre hook is tried in one container; Backoff the first pause
	// between two, which doubles up to BackoffMost.
	Tries                int
	Backoff, BackoffMost time.Duration
}

// Hook is what is done in each pod.
type Hook struct {
	Name string
	// Prior reads what Pre will change, Pre quiesces, Post undoes.
	Prior, Pre, Post HookAction
}

// HookAction is one part of a hook.
type HookAction struct {
	// There: the hook has this part.
	There bool
	// Continue: its failure stops nobody.
	Continue bool
}

// HookPart says which part of a hook.
type HookPart string

// The parts, in the order in which they come.
const (
	Prior HookPart = "prior" // changes nothing, so that it may be read again until it is kept
	Pre   HookPart = "pre"
	Post  HookPart = "post"
)

// HookRan is what is known of one hook in the pods of one name.
type HookRan struct {
	// Kept: what prior read is written down.
	Kept             bool
	Prior, Pre, Post HookTry
}

// HookTry is the last attempt of a part. Its beginning is written down before it is
// begun: one of which nobody knows the end may have happened.
type HookTry struct {
	// Begun is zero when there was none.
	Begun time.Time
	// On are the containers in which.
	On string
	// By when it is over though nobody says so.
	By time.Time
	// Ended is zero while nobody has said how it ended.
	Ended time.Time
	OK    bool
	// Tries without success on these containers.
	Tries int
}

// open: it may be under way, by this operator or by one that is asleep or gone.
func (t HookTry) open(now time.Time) bool {
	return !t.Begun.IsZero() && t.Ended.IsZero() && now.Before(t.By)
}

// HookPod is a pod that is there.
type HookPod struct {
	Name string
	// On tells its containers from those before and after; empty: nothing runs there.
	On string
}

// HookStep is one thing to do now. Its beginning has to be written down first.
type HookStep struct {
	Pod, On, Hook string
	Part          HookPart
}

// HookStanding is where one pod is.
type HookStanding struct {
	// Quiet: every pre hook has run in the containers that run now, or has failed and may.
	Quiet bool
	// WaitsFor says what is missing, for people.
	WaitsFor string
}

// HookPlan is what comes next.
type HookPlan struct {
	// Do has one step at most for each pod.
	Do []HookStep
	// Pods that are there, by name.
	Pods map[string]HookStanding
	// Failed says which pre hook failed for good: the freeze is given up.
	Failed string
	// Undone: nothing is owed any more. Tried: what is still owed keeps no lock.
	Undone, Tried bool
	// GaveUp says what was not undone in time.
	GaveUp string
	// Why says what it waits for.
	Why string
	// Ran, Wrong, Over and Owed count hooks in pods: pre has succeeded; what is wanted
	// now has failed; it was undone; it is to be undone.
	Ran, Wrong, Over, Owed int
	// Look is when to look again though nothing happens; zero: nothing is due.
	Look time.Time
}

// Decide says what comes next. ran is what is written down, by pod and hook. It is
// total: whatever is written down has an answer.
func (t HookTerms) Decide(ran map[string]map[string]HookRan, pods []HookPod, now time.Time) HookPlan {
	p := HookPlan{Pods: map[string]HookStanding{}}
	up := map[string]HookPod{}
	for _, pod := range pods {
		up[pod.Name] = pod
	}
	if t.Undo {
		t.undo(&p, ran, up, now)
	} else {
		t.quiesce(&p, ran, pods, now)
	}
	p.count(t, ran, up)
	return p
}

func (p *HookPlan) look(at time.Time) {
	if p.Look.IsZero() || at.Before(p.Look) {
		p.Look = at
	}
}

// pause is how long to wait after so many failures.
func (t HookTerms) pause(tries int) time.Duration {
	d := t.Backoff
	for i := 1; i < tries && d < t.BackoffMost; i++ {
		d *= 2
	}
	return min(d, t.BackoffMost)
}

// due reports whether a part may be tried now; else it says what it waits for.
func (t HookTerms) due(p *HookPlan, try HookTry, now time.Time, what string) (bool, string) {
	switch {
	case try.open(now):
		p.look(try.By)
		return false, what + " runs"
	case try.Ended.IsZero() || try.OK:
		return true, ""
	}
	if at := try.Ended.Add(t.pause(try.Tries)); now.Before(at) {
		p.look(at)
		return false, what + " has failed, and is tried again"
	}
	return true, ""
}

// quiesce lets the pre hooks run in each pod, each after the one before.
func (t HookTerms) quiesce(p *HookPlan, ran map[string]map[string]HookRan, pods []HookPod, now time.Time) {
	var waits []string
	for _, pod := range pods {
		if pod.On == "" {
			continue // nothing runs that could write
		}
		s := t.quiet(p, ran[pod.Name], pod, now)
		p.Pods[pod.Name] = s
		if !s.Quiet {
			waits = append(waits, fmt.Sprintf("%s (%s)", pod.Name, s.WaitsFor))
		}
	}
	p.Why = few(waits)
}

func (t HookTerms) quiet(p *HookPlan, ran map[string]HookRan, pod HookPod, now time.Time) HookStanding {
	for _, h := range t.Hooks {
		r := ran[h.Name]
		part, try := Pre, r.Pre
		if h.Prior.There && !r.Kept {
			part, try = Prior, r.Prior // before anything is changed, and never again
		}
		what := fmt.Sprintf("hook %s: %s", h.Name, part)
		here := try.On == pod.On
		if part == Pre && here && try.OK {
			continue
		}
		if here && !try.Ended.IsZero() && !try.OK && try.Tries >= t.Tries {
			switch {
			case part == Pre && h.Pre.Continue:
				continue
			case !t.Held:
				p.Failed = fmt.Sprintf("pod %s: %s has failed %d times", pod.Name, what, try.Tries)
				return HookStanding{WaitsFor: what + " has failed"}
			}
		}
		if here {
			if ok, why := t.due(p, try, now, what); !ok {
				return HookStanding{WaitsFor: why}
			}
		}
		p.Do = append(p.Do, HookStep{Pod: pod.Name, On: pod.On, Hook: h.Name, Part: part})
		return HookStanding{WaitsFor: what + " has not run"}
	}
	return HookStanding{Quiet: true}
}

// few joins up to five.
func few(what []string) string {
	const most = 5
	if len(what) > most {
		what = append(slices.Clone(what[:most]), fmt.Sprintf("%d more", len(what)-most))
	}
	return strings.Join(what, ", ")
}
