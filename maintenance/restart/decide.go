// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Cause is why a log has failed, in a word. Others than these are not known here, and
// are left to a person.
type Cause string

// The causes.
const (
	DiskFull           Cause = "DiskFull"
	ReadOnlyFilesystem Cause = "ReadOnlyFilesystem"
	IO                 Cause = "IO"
	Misuse             Cause = "Misuse"
	Other              Cause = "Other"
)

// known: what a restart may cure, if there is room.
func (c Cause) known() bool {
	switch c {
	case DiskFull, ReadOnlyFilesystem, IO, Misuse, Other:
		return true
	}
	return false
}

// Step is what is done about a pod.
type Step string

// The steps.
const (
	Leave   Step = "Leave"   // nothing: that is for a person, or for later
	Wait    Step = "Wait"    // for what Verdict.Why says; it goes on by itself
	Publish Step = "Publish" // it is asked to publish what only its volume has
	Record  Step = "Record"  // its restart is written down
	Evict   Step = "Evict"   // it is evicted
)

// Why is what a step is for, or what it waits for.
type Why string

// The words.
const (
	WhyUnknown     Why = "UnknownCause"
	WhyFull        Why = "DiskFull"
	WhySuspended   Why = "Suspended"
	WhyOff         Why = "Off"
	WhyPlan        Why = "PlanOnly"
	WhySpent       Why = "Spent"
	WhyEnding      Why = "Ending"
	WhyUnlisted    Why = "Unlisted"
	WhySettling    Why = "Settling"
	WhyUnpublished Why = "Unpublished"
	WhyRefused     Why = "Refused"
	WhyOther       Why = "OtherPod"
	WhyRestart     Why = "Restart"
)

const (
	// PerPod is how often one pod is restarted within an Hour, PerStore how often all pods
	// of a store are: so many are written down.
	PerPod, PerStore = 3, 50
	// Hour is the time that the budget is for.
	Hour = time.Hour
	// comesUp is how long a pod may take to be back before the next one is restarted, and
	// how long a restart that was written down may take to begin.
	comesUp = 5 * time.Minute
	// Again is the pause after an eviction that was refused.
	Again = 15 * time.Second
)

// Pod is one pod whose log has failed.
type Pod struct {
	// Name of the pod, and the Process in it that has failed.
	Name, Process string
	Cause         Cause
	// Ending: it was told to end.
	Ending bool
	// Pending is how many of its operations are not settled.
	Pending int
	// Volatile: its volume goes with the pod. Unpublished: its log has what the root has
	// not. Locked: nothing can be published.
	Volatile, Unpublished, Locked bool
	// Known: the next are. Free is what its volume has, Then what it had when the log
	// failed, and Needs what a log needs more than that to go on, in bytes.
	Known             bool
	Free, Then, Needs int64
	// Refused is when its eviction was refused last, and By why; zero: it was not.
	Refused time.Time
	By      string
}

// room: there is more of it than when the log failed. A quota that is spent shows as
// little of itself here as a volume that was never full, so what counts is the growth.
func (p Pod) room() bool { return p.Known && p.Free-p.Then >= p.Needs }

// Restart is one that was written down.
type Restart struct {
	Pod, Process string
	Cause        Cause
	At           time.Time
}

// World is everything that is decided over.
type World struct {
	Now time.Time
	// Suspended: nothing is changed. Off: restarts are not wanted. Plan: what would be done
	// is said, and not done.
	Suspended, Off, Plan bool
	// Listed: what pends in the store is known.
	Listed bool
	// Pods whose logs have failed.
	Pods []Pod
	// Serving are the pods that report and whose logs are well.
	Serving map[string]bool
	// Done are the restarts that were written down.
	Done []Restart
}

// Verdict is what is done about a pod, and what people are told.
type Verdict struct {
	Pod, Process string
	Cause        Cause
	Step         Step
	Why          Why
	Says         string
}

// Decide returns a verdict for each pod, by name; one at most is to be written down or
// evicted. It is total.
func Decide(w World) []Verdict {
	pods := slices.Clone(w.Pods)
	slices.SortStableFunc(pods, func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) })
	var out []Verdict
	for _, p := range pods {
		v := w.judge(p)
		v.Pod, v.Process, v.Cause = p.Name, p.Process, p.Cause
		out = append(out, v)
	}
	w.oneAtATime(out)
	return out
}

func verdict(step Step, why Why, format string, args ...any) Verdict {
	return Verdict{Step: step, Why: why, Says: fmt.Sprintf(format, args...)}
}

// judge is the verdict for one pod, as if there were no other.
func (w World) judge(p Pod) Verdict {
	switch {
	case p.Ending:
		return verdict(Wait, WhyEnding, "it ends, and its log is read when it starts again")
	case !p.Cause.known():
		return verdict(Leave, WhyUnknown, "it does not say of what kind the failure is, so a person has to look at its disk and restart it")
	case p.Cause == DiskFull && !p.room():
		return verdict(Leave, WhyFull, "a restart makes no room; it is restarted when there is")
	case w.Suspended:
		return verdict(Leave, WhySuspended, "the store is suspended, so it is not restarted")
	case w.Off:
		return verdict(Leave, WhyOff, "spec.recovery.restartPoisoned is Never: look at its disk, then delete the pod")
	case w.Plan:
		return verdict(Leave, WhyPlan, "spec.recovery.mode is Plan: it would be restarted")
	case !w.Listed:
		return verdict(Wait, WhyUnlisted, "what pends was not listed yet")
	case p.Pending > 0:
		return verdict(Wait, WhySettling, "%d of its operations pend; it is restarted when they are settled", p.Pending)
	case p.Volatile && p.Unpublished && p.Locked:
		return verdict(Wait, WhyUnpublished, "its volume goes with the pod, and a write lock keeps it from publishing what only that has")
	case p.Volatile && p.Unpublished:
		return verdict(Publish, WhyUnpublished, "its volume goes with the pod; it publishes first what only that has")
	case !p.Refused.IsZero() && w.Now.Sub(p.Refused) < Again:
		return verdict(Wait, WhyRefused, "its eviction was refused and is tried again: %s", p.By)
	case w.recorded(p):
		return verdict(Evict, WhyRestart, "it is restarted")
	}
	if next, spent := w.spent(p); spent {
		return verdict(Leave, WhySpent, "it was restarted too often within an hour; look at its volume and its node, then delete the pod; by itself it is tried again at %s",
			next.UTC().Format("15:04:05Z"))
	}
	return verdict(Record, WhyRestart, "it is restarted")
}

// recent are the restarts that count, of all pods, but for that of this very process.
func (w World) recent(p Pod) (all []Restart) {
	for _, r := range w.Done {
		if w.Now.Sub(r.At) < Hour && !(r.Pod == p.Name && r.Process == p.Process) {
			all = append(all, r)
		}
	}
	return all
}

// recorded: the restart of this process was written down not long ago.
func (w World) recorded(p Pod) bool {
	return slices.ContainsFunc(w.Done, func(r Restart) bool {
		return r.Pod == p.Name && r.Process == p.Process && w.Now.Sub(r.At) < comesUp
	})
}

// spent reports whether the budget has nothing left for a pod, and when it has again.
func (w World) spent(p Pod) (next time.Time, is bool) {
	all := w.recent(p)
	own := slices.DeleteFunc(slices.Clone(all), func(r Restart) bool { return r.Pod != p.Name })
	for _, b := range []struct {
		of   []Restart
		most int
	}{{own, PerPod}, {all, PerStore}} {
		if len(b.of) < b.most {
			continue
		}
		is = true
		slices.SortFunc(b.of, func(x, y Restart) int { return x.At.Compare(y.At) })
		if at := b.of[len(b.of)-b.most].At.Add(Hour); at.After(next) {
			next = at
		}
	}
	return next, is
}

// away is the pod that was restarted not long ago and is not back; empty: none.
func (w World) away(but string) string {
	for _, r := range w.Done {
		back := w.Serving[r.Pod] || slices.ContainsFunc(w.Pods, func(p Pod) bool { return p.Name == r.Pod && p.Process != r.Process })
		if r.Pod != but && w.Now.Sub(r.At) < comesUp && !back {
			return r.Pod
		}
	}
	return ""
}

// oneAtATime lets one pod be restarted while all others are there or have had their time.
func (w World) oneAtATime(all []Verdict) {
	chosen := ""
	for i := range all {
		v := &all[i]
		if v.Step != Record && v.Step != Evict {
			continue
		}
		other := w.away(v.Pod)
		if other == "" {
			other = chosen
		}
		if other == "" {
			chosen = v.Pod
			continue
		}
		*v = Verdict{Pod: v.Pod, Process: v.Process, Cause: v.Cause, Step: Wait, Why: WhyOther, Says: fmt.Sprintf("pod %s is restarted before it", other)}
	}
}

// Remember is what is written down when a restart is decided: the newest fifty at most,
// and none that counts goes. A process has one entry.
func Remember(done []Restart, v Verdict, now time.Time) []Restart {
	out := slices.DeleteFunc(slices.Clone(done), func(r Restart) bool {
		return now.Sub(r.At) >= Hour || r.Pod == v.Pod && r.Process == v.Process
	})
	out = append(out, Restart{Pod: v.Pod, Process: v.Process, Cause: v.Cause, At: now})
	return out[max(0, len(out)-PerStore):]
}
