// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// Step is what is done next.
type Step string

// The steps.
const (
	None    Step = "None"    // everything is as it should be
	Wait    Step = "Wait"    // for what Next.Why says
	Grow    Step = "Grow"    // the workload gets Next.Replicas pods
	Drain   Step = "Drain"   // pod Next.Pod is asked to drain
	Shrink  Step = "Shrink"  // the workload gets Next.Replicas pods
	Replace Step = "Replace" // pods from Next.Pod on get the wanted template
	Fence   Step = "Fence"   // the epochs Next.Fence end
)

// Why is what a step is for, or what it waits for.
type Why string

// The words.
const (
	WhySettled     Why = "Settled"
	WhySuspended   Why = "Suspended"
	WhyLocked      Why = "Locked"       // nothing can be published
	WhyWindow      Why = "WindowClosed" // this may wait
	WhyGrowing     Why = "Growing"
	WhyDraining    Why = "Draining"
	WhyCannotDrain Why = "CannotDrain" // it does not report
	WhyRemoving    Why = "Removing"
	WhyFencing     Why = "Fencing"
	WhyReplacing   Why = "Replacing"
	WhyNotReady    Why = "NotReady"
	WhyStopped     Why = "Stopped" // a new pod has not come up for too long
	WhyUnobserved  Why = "Unobserved"
)

// comesUp is how long a replaced pod may take to be ready before a person is asked.
const comesUp = 5 * time.Minute

// Pod is one pod of the store, by its number.
type Pod struct {
	// Exists: the cluster has it. Started: its container has run, so it may have taken writes.
	Exists, Started bool
	// Ending: it was told to end. Ready: it serves. Updated: it is of the wanted template.
	Ending, Ready, Updated bool
	// Age since it was made.
	Age time.Duration
	// Epoch that the manifest has registered for its writer; zero: it never had one;
	// without a process: it was ended.
	Epoch manifest.Epoch
	// Reports: its status comes under the registered process and epoch.
	Reports bool
	// Drained: it takes no more writes, and the root has everything that it has ever
	// acknowledged. Only one that Reports can be.
	Drained bool
	// Pending is how many of its operations are not finished.
	Pending int
	// Says is what it waits for, for people.
	Says string
}

// quiet: it could not be better.
func (p Pod) quiet() bool {
	return p.Exists && !p.Ending && p.Ready && p.Reports && p.Pending == 0
}

// World is everything that is decided over.
type World struct {
	// Want is the number of pods that the spec asks for.
	Want int
	// Have is the number that the workload is to have now, and Partition the number
	// from which on its pods get the wanted template.
	Have, Partition int
	// Observed: the workload's controller has seen its newest spec.
	Observed bool
	// Pods by number: those of the workload, and those beyond of which anything is known.
	Pods map[int]Pod
	// Suspended: nothing is changed. Locked: a write lock holds the store. Open: work that
	// may wait is done now.
	Suspended, Locked, Open bool
}

// Next is the step, and what people are told.
type Next struct {
	Step Step
	// Pod that it is about; -1: none.
	Pod int
	// Replicas for Grow and Shrink.
	Replicas int
	// Fence are the numbers of the writers whose epochs end.
	Fence []int
	Why   Why
	Says  string
}

// Decide returns the next step. It is total.
func Decide(w World) Next {
	if w.Suspended {
		return Next{Step: None, Pod: -1, Why: WhySuspended}
	}
	if gone := w.gone(); len(gone) > 0 {
		return Next{Step: Fence, Pod: gone[0], Fence: gone, Why: WhyFencing, Says: "its pod was removed"}
	}
	if w.Want > w.Have {
		return Next{Step: Grow, Pod: -1, Replicas: w.Want, Why: WhyGrowing}
	}
	if next, ok := w.leaving(); ok {
		return next
	}
	if w.Want < w.Have {
		return w.shrink(w.Have - 1)
	}
	return w.update()
}

// gone are the writers beyond the workload whose pods have ended and whose epochs have not.
func (w World) gone() (out []int) {
	for n := range w.Pods {
		if p := w.Pods[n]; n >= max(w.Have, w.Want) && w.Observed && !p.Exists && p.Epoch.Process != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// leaving: a pod beyond the workload is still ending, and is waited for.
func (w World) leaving() (Next, bool) {
	last := -1
	for n := range w.Pods {
		if n >= w.Have && w.Pods[n].Exists {
			last = max(last, n)
		}
	}
	return wait(last, WhyRemoving, "it ends, and its volume stays"), last >= 0
}

func wait(n int, why Why, format string, args ...any) Next {
	return Next{Step: Wait, Pod: n, Why: why, Says: fmt.Sprintf(format, args...)}
}

// held says what keeps everything from being changed; ok is false when nothing does.
func (w World) held(n int) (Next, bool) {
	switch {
	case !w.Observed:
		return wait(n, WhyUnobserved, "the workload's controller has not seen its newest spec"), true
	case w.Locked:
		return wait(n, WhyLocked, "a write lock holds the store, so nothing of it can be published"), true
	case !w.Open:
		return wait(n, WhyWindow, "it waits for the next window"), true
	}
	return Next{}, false
}

// shrink removes pod n, the last one, when it has nothing left that only it has.
func (w World) shrink(n int) Next {
	p := w.Pods[n]
	if next, held := w.held(n); held {
		return next
	}
	switch {
	case !p.Started && p.Epoch == (manifest.Epoch{}):
		return Next{Step: Shrink, Pod: n, Replicas: n, Why: WhyRemoving, Says: "it has never run"}
	case !p.Reports:
		return wait(n, WhyCannotDrain, "it does not report, so nobody knows what its log has that the root has not%s", says(p))
	case p.Pending > 0:
		return wait(n, WhyDraining, "%d of its operations pend", p.Pending)
	case !p.Drained:
		return Next{Step: Drain, Pod: n, Why: WhyDraining, Says: "it publishes what it has acknowledged, and is removed then" + says(p)}
	default:
		return Next{Step: Shrink, Pod: n, Replicas: n, Why: WhyRemoving, Says: "it has drained"}
	}
}

func says(p Pod) string {
	if p.Says == "" {
		return ""
	}
	return ": " + p.Says
}

// update replaces the pods that are not of the wanted template, the highest number first.
func (w World) update() Next {
	n, old := w.outdated()
	if !old {
		return Next{Step: None, Pod: -1, Why: WhySettled}
	}
	p := w.Pods[n]
	for i := w.Have - 1; i >= 0; i-- {
		other := w.Pods[i]
		if i == n || other.quiet() {
			continue
		}
		if other.Updated && other.Exists && !other.Ready && other.Age > comesUp {
			return wait(i, WhyStopped, "it is of the new template and has not come up for %s%s", other.Age.Truncate(time.Minute), says(other))
		}
		return wait(i, WhyNotReady, "it is not ready, does not report or has operations that pend; pod %d waits to be replaced%s", n, says(other))
	}
	if next, held := w.held(n); held && !p.Ending {
		return next
	}
	switch {
	case p.Ending, w.Partition <= n && p.Exists:
		return wait(n, WhyReplacing, "it is replaced by one of the new template")
	case !p.Exists, !p.Ready: // it has nothing to say, and comes back to its volume
		return Next{Step: Replace, Pod: n, Why: WhyReplacing, Says: "it is not ready"}
	case !p.Reports:
		return wait(n, WhyNotReady, "it is ready and does not report%s", says(p))
	case p.Pending > 0:
		return wait(n, WhyDraining, "%d of its operations pend", p.Pending)
	case !p.Drained:
		return Next{Step: Drain, Pod: n, Why: WhyDraining, Says: "it publishes what it has acknowledged, and is replaced then" + says(p)}
	default:
		return Next{Step: Replace, Pod: n, Why: WhyReplacing, Says: "it has drained"}
	}
}

// outdated is the pod that is to be replaced next.
func (w World) outdated() (int, bool) {
	for n := w.Have - 1; n >= 0; n-- {
		if p := w.Pods[n]; !p.Updated && (p.Exists || w.Partition > n) {
			return n, true
		}
	}
	return 0, false
}
