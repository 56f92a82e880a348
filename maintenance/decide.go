// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package maintenance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// OnTimeout says what becomes of a store that does not drain in time.
type OnTimeout string

// The choices at the end of the drain's time.
const (
	// Release lets go of every store of the freeze.
	Release OnTimeout = "Release"
	// Hold freezes the store although some pods have not acknowledged.
	Hold OnTimeout = "Hold"
)

// Terms are what somebody asked for.
type Terms struct {
	// Owner is unique to the freeze: the uid of its resource.
	Owner  string
	Reason string
	// Until is when every lock of it ends at the latest.
	Until time.Time
	// DrainFor bounds the time from the lock to the last acknowledgement; 0: until.
	DrainFor  time.Duration
	OnTimeout OnTimeout
	// Leave: it is over, every lock is given back.
	Leave bool
	// Hooked: it has hooks.
	Hooked bool
}

// View is what is known of one store.
type View struct {
	// Problem says why the root cannot be asked now; the rest is what was known last.
	Problem string
	// Was is the state that was told last; Asked: the lock was asked for, so it may have
	// been taken though nobody lived to say so.
	Was   State
	Asked bool
	// Date is the newest that object storage has said.
	Date time.Time
	Lock *manifest.Lock
	// Took: an entry of this freeze has taken the lock, now or before. It is looked for
	// in the manifest where memory and status do not know.
	Took bool
	// Ended is how the freeze's lock ended; nil while it has not, or nobody knows.
	Ended *manifest.EndedLock
	Pods  []Pod
	// Hooks of the freeze in this store; nil when it has none.
	Hooks *Hooked
}

// Step is what to do next with one store.
type Step string

// The steps.
const (
	None        Step = ""
	StepTake    Step = "Take"    // publish the lock, Draining
	StepHook    Step = "Hook"    // make the place where what hooks do is written down, and let them begin
	StepFence   Step = "Fence"   // end the epochs of Next.Fence
	StepHold    Step = "Hold"    // publish the lock, Frozen
	StepExtend  Step = "Extend"  // publish a later end
	StepRelease Step = "Release" // publish the release
	StepExpire  Step = "Expire"  // publish that its time is over
)

// State is where a freeze is in one store.
type State string

// The states, in the order in which they come.
const (
	Requested State = "Requested" // no lock yet; Why says what it waits for
	Draining  State = "Draining"
	Held      State = "Held"
	Released  State = "Released" // for good
)

// Next is what a freeze does in one store.
type Next struct {
	State State
	Step  Step
	// Why is for people; empty when there is nothing to say.
	Why string
	// Pods are where each pod is, while there is a lock.
	Pods []Standing
	// Fence are the writers of StepFence, with the epochs that end.
	Fence map[manifest.WriterID]manifest.Epoch
	// TimedOut: the drain's time was over before all had acknowledged.
	TimedOut bool
	// HookFailed says which hook failed so that the freeze is given up; Undoing: hooks are
	// being undone; NotUndone says what could not be.
	HookFailed string
	Undoing    bool
	NotUndone  string
	// Look is when to look again though nothing happens; zero: nothing is due.
	Look time.Time
}

// Decide says what comes next in one store. turn says that no store in front of
// it is without its lock. It is total: every view has an answer.
func Decide(t Terms, v View, turn bool) Next {
	n := decide(t, v, turn)
	if h := v.Hooks; h != nil && h.Made {
		n.Undoing = (t.Leave || n.State == Released) && h.owes()
		n.NotUndone = h.GaveUp
	}
	return n
}

func decide(t Terms, v View, turn bool) Next {
	switch {
	case t.holds(v):
		return hold(t, v)
	case v.Ended != nil:
		return Next{State: Released, Why: ending(v.Ended)}
	case v.Problem != "" && (v.Took || v.Asked): // nobody knows whether it is held
		return Next{State: v.was(), Why: v.Problem}
	case v.Took:
		return Next{State: Released, Why: ending(nil)}
	case t.Leave:
		return Next{State: Released, Why: "it was never taken"}
	case v.Problem != "":
		return Next{State: Requested, Why: v.Problem}
	case !v.Date.Before(t.Until):
		return Next{State: Released, Why: "its time was over before it could be taken"}
	case !turn:
		return Next{State: Requested, Why: "it waits for the locks of the stores in front of it"}
	case v.Hooks.waits():
		return Next{State: Requested, Why: "the hooks of " + v.Hooks.Another + " are not undone yet: see its HookRun"}
	case v.Lock != nil && v.Date.Before(v.Lock.Until):
		return Next{State: Requested, Look: v.Lock.Until, Why: fmt.Sprintf(
			"%s holds it until %s (%s)", v.Lock.Owner, v.Lock.Until.UTC().Format(time.RFC3339), v.Lock.Reason)}
	}
	return Next{State: Requested, Step: StepTake} // a foreign one whose time is over ends by the same publication
}

func (v View) was() State {
	if v.Was == "" {
		return Requested
	}
	return v.Was
}

// holds reports whether the freeze has the store's lock.
func (t Terms) holds(v View) bool { return v.Lock != nil && v.Lock.Owner == t.Owner }

// hold decides while the freeze has its lock.
func hold(t Terms, v View) Next {
	n := Next{State: Draining, Look: v.Lock.Until}
	if v.Lock.Mode == manifest.Frozen {
		n.State = Held
	}
	missing := 0
	for _, p := range v.Pods {
		s := stand(p, v.Lock, v.Hooks)
		if s.fence && n.State == Held { // it writes nothing, and what starts in its place finds the lock
			s = Standing{Name: s.Name, Acknowledged: true, Gone: true, Durable: s.Durable, Published: s.Published}
		}
		n.Pods = append(n.Pods, s)
		if s.fence && v.Problem == "" {
			if n.Fence == nil {
				n.Fence = map[manifest.WriterID]manifest.Epoch{}
			}
			n.Fence[manifest.WriterID(p.Name)] = p.Epoch
		} else if !s.Acknowledged && !n.passes(s) {
			missing++
		}
	}
	slices.SortFunc(n.Pods, func(a, b Standing) int { return strings.Compare(a.Name, b.Name) })
	drained := missing == 0 && len(n.Fence) == 0
	timeout := v.Lock.Since.Add(t.DrainFor)
	if v.Hooks != nil && n.State == Draining {
		n.HookFailed = v.Hooks.Failed
	}
	over := !v.Date.Before(v.Lock.Until)
	n.TimedOut = t.DrainFor > 0 && n.State == Draining && !drained && !v.Date.Before(timeout)
	switch {
	case v.Problem != "":
		n.Why = v.Problem
	case t.Leave && !v.Hooks.keeps():
		n.Step = StepRelease
	case over && (t.Leave || !t.Until.After(v.Lock.Until)):
		n.Step = StepExpire
	case t.Leave:
		n.Why = "its hooks are undone first: " + v.Hooks.Why
	case t.Until.After(v.Lock.Until):
		n.Step = StepExtend
	case v.Hooks.make():
		n.Step = StepHook
	case n.State == Held:
		n.Why = "no pod writes"
		if missing > 0 {
			n.Why = "frozen without " + stuck(n.Pods)
		}
	case n.HookFailed != "": // Terms.Decide gives all of them up
		n.Why = n.HookFailed
	case drained:
		n.Step = StepHold
	case n.TimedOut && t.OnTimeout == Hold:
		n.Step, n.Why = StepHold, "the drain's time is over: "+stuck(n.Pods)
	case n.TimedOut: // Terms.Decide gives all of them up
		n.Why = "the drain's time is over: " + stuck(n.Pods)
	case len(n.Fence) > 0:
		n.Step, n.Why = StepFence, stuck(n.Pods)
	default:
		n.Why = stuck(n.Pods)
	}
	if t.DrainFor > 0 && n.State == Draining && timeout.Before(n.Look) {
		n.Look = timeout
	}
	return n
}

// passes reports whether what a pod lacks needs nobody: one that starts under a freeze that
// is held finds the lock before it takes a write.
func (n Next) passes(s Standing) bool { return n.State == Held && s.Starts }

// Incomplete reports whether a pod has not acknowledged, and may have to be looked after.
func (n Next) Incomplete() bool {
	return slices.ContainsFunc(n.Pods, func(s Standing) bool { return !s.Acknowledged && !n.passes(s) })
}

// stuck names the pods that have not acknowledged, and why.
func stuck(pods []Standing) string {
	const most = 5
	var names []string
	for _, p := range pods {
		if !p.Acknowledged {
			names = append(names, fmt.Sprintf("%s (%s)", p.Name, p.WaitsFor))
		}
	}
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

// ending says how the lock ended.
func ending(e *manifest.EndedLock) string {
	if e == nil {
		return "its lock has ended; how is not in the manifest any more"
	}
	how := map[manifest.Kind]string{manifest.KindRelease: "released", manifest.KindExpire: "its time was over", manifest.KindAdopt: "ended when the root was adopted"}[e.How]
	if how == "" {
		how = string(e.How)
	}
	return fmt.Sprintf("%s at version %d", how, e.Version)
}
