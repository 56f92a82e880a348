// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

var live = manifest.Epoch{Number: 3, Process: "P"}

// good is a pod of the wanted template that serves; old one of another.
func good(change ...func(*Pod)) Pod {
	p := Pod{Exists: true, Started: true, Ready: true, Updated: true, Reports: true, Epoch: live, Age: time.Hour}
	for _, f := range change {
		f(&p)
	}
	return p
}

func old(change ...func(*Pod)) Pod {
	return good(append([]func(*Pod){func(p *Pod) { p.Updated = false }}, change...)...)
}

func drained(p *Pod) { p.Drained = true }
func ending(p *Pod)  { p.Ending = true }
func silent(p *Pod)  { p.Reports = false }
func broken(p *Pod)  { p.Ready, p.Reports = false, false }
func pending(p *Pod) { p.Pending = 2 }
func young(p *Pod)   { p.Age = time.Minute }
func waits(p *Pod)   { p.Says = "503" }

func world(want, have, partition int, pods ...Pod) World {
	w := World{Want: want, Have: have, Partition: partition, Observed: true, Open: true, Pods: map[int]Pod{}}
	for n, p := range pods {
		if p != (Pod{}) {
			w.Pods[n] = p
		}
	}
	return w
}

func (w World) but(f func(*World)) World {
	f(&w)
	return w
}

// The table is the specification.
func TestDecide(t *testing.T) {
	contract.Row(t, 141, 165)
	locked, closed := func(w *World) { w.Locked = true }, func(w *World) { w.Open = false }
	unseen, suspended := func(w *World) { w.Observed = false }, func(w *World) { w.Suspended = true }
	gone := Pod{Epoch: live}
	for _, c := range []struct {
		name string
		w    World
		want string
	}{
		{"all is as it should be", world(2, 2, 0, good(), good()), "None -1 Settled"},
		{"larger", world(3, 2, 0, good(), good()), "Grow 3 Growing"},
		{"larger, under a lock and outside windows", world(3, 2, 0, good(), good()).but(locked).but(closed), "Grow 3 Growing"},

		{"smaller", world(1, 3, 0, good(), good(), good()), "Drain 2 Draining"},
		{"smaller, with words", world(1, 2, 0, good(), good(waits)), "Drain 1 Draining: it publishes what it has acknowledged, and is removed then: 503"},
		{"smaller, drained", world(1, 3, 0, good(), good(), good(drained)), "Shrink 2 Removing"},
		{"smaller, drained, operations pend", world(1, 2, 0, good(), good(drained, pending)), "Wait 1 Draining: 2 of its operations pend"},
		{"smaller, it does not report", world(1, 2, 0, good(), good(silent)), "Wait 1 CannotDrain"},
		{"smaller, it is broken", world(1, 2, 0, good(), good(broken)), "Wait 1 CannotDrain"},
		{"smaller, it is broken and was drained before", world(1, 2, 0, good(), good(drained, silent)), "Wait 1 CannotDrain"},
		{"smaller, its pod is missing", world(1, 2, 0, good(), gone), "Wait 1 CannotDrain"},
		{"smaller, it never ran", world(1, 2, 0, good(), Pod{Exists: true}), "Shrink 1 Removing"},
		{"smaller, it never ran, nor is it there", world(1, 2, 0, good()), "Shrink 1 Removing"},
		{"smaller, it runs and has no epoch yet", world(1, 2, 0, good(), Pod{Exists: true, Started: true}), "Wait 1 CannotDrain"},
		{"smaller, it is fenced and runs", world(1, 2, 0, good(), Pod{Exists: true, Started: true, Epoch: manifest.Epoch{Number: 3}}), "Wait 1 CannotDrain"},
		{"smaller, under a lock", world(1, 2, 0, good(), good(drained)).but(locked), "Wait 1 Locked"},
		{"smaller, outside windows", world(1, 2, 0, good(), good(drained)).but(closed), "Wait 1 WindowClosed"},
		{"smaller, unobserved", world(1, 2, 0, good(), good(drained)).but(unseen), "Wait 1 Unobserved"},
		{"smaller, suspended", world(1, 2, 0, good(), good(drained)).but(suspended), "None -1 Suspended"},
		{"smaller, another pod is down", world(1, 3, 0, good(broken), good(), good()), "Drain 2 Draining"},
		{"one was removed and ends", world(1, 1, 0, good(), good(drained, ending)), "Wait 1 Removing"},
		{"one was removed and ends, another follows", world(1, 2, 0, good(), good(), good(drained, ending)), "Wait 2 Removing"},
		{"one was removed and has ended", world(1, 1, 0, good(), gone), "Fence [1] Fencing"},
		{"two were removed and have ended", world(1, 1, 0, good(), gone, gone), "Fence [1 2] Fencing"},
		{"one was removed, under a lock", world(1, 1, 0, good(), gone).but(locked), "Fence [1] Fencing"},
		{"one was removed, unobserved", world(1, 1, 0, good(), gone).but(unseen), "None -1 Settled"},
		{"one was removed and is fenced", world(1, 1, 0, good(), Pod{Epoch: manifest.Epoch{Number: 3}}), "None -1 Settled"},
		{"one was removed, and is wanted again", world(2, 1, 0, good(), gone), "Grow 2 Growing"},
		{"one is missing and is wanted", world(2, 2, 0, good(), gone), "None -1 Settled"},

		{"another template", world(3, 3, 3, old(), old(), old()), "Drain 2 Draining"},
		{"another template, drained", world(3, 3, 3, old(), old(), old(drained)), "Replace 2 Replacing"},
		{"another template, operations pend", world(2, 2, 2, old(), old(pending)), "Wait 1 Draining"},
		{"it is being replaced", world(3, 3, 2, old(), old(), old(drained, ending)), "Wait 2 Replacing"},
		{"it is about to be replaced", world(3, 3, 2, old(), old(), old(drained)), "Wait 2 Replacing"},
		{"it was evicted meanwhile", world(2, 2, 2, old(), old(ending)), "Wait 1 Replacing"},
		{"the new one is not there yet", world(3, 3, 2, old(), old(), gone), "Wait 2 NotReady"},
		{"the new one comes up", world(3, 3, 2, old(), old(), good(broken, young)), "Wait 2 NotReady"},
		{"the new one does not come up", world(3, 3, 2, old(), old(), good(broken, waits)), "Wait 2 Stopped: it is of the new template and has not come up for 1h0m0s: 503"},
		{"the new one does not report yet", world(3, 3, 2, old(), old(), good(silent)), "Wait 2 NotReady"},
		{"the new one has operations that pend", world(3, 3, 2, old(), old(), good(pending)), "Wait 2 NotReady"},
		{"the new one is fine", world(3, 3, 2, old(), old(), good()), "Drain 1 Draining"},
		{"the last one", world(3, 3, 1, old(drained), good(), good()), "Replace 0 Replacing"},
		{"all are new", world(3, 3, 0, good(), good(), good()), "None -1 Settled"},
		{"another one is down", world(3, 3, 3, old(broken), old(), old()), "Wait 0 NotReady"},
		{"one of one", world(1, 1, 1, old()), "Drain 0 Draining"},
		{"it does not report", world(2, 2, 2, old(), old(silent)), "Wait 1 NotReady"},
		{"taken back: the broken one goes at once", world(3, 3, 3, good(), good(), old(broken)), "Replace 2 Replacing"},
		{"taken back, after it was asked", world(3, 3, 2, good(), good(), old(broken)), "Wait 2 Replacing"},
		{"another template, under a lock", world(2, 2, 2, old(), old(drained)).but(locked), "Wait 1 Locked"},
		{"another template, outside windows", world(2, 2, 2, old(), old(drained)).but(closed), "Wait 1 WindowClosed"},
		{"another template, unobserved", world(2, 2, 2, old(), old(drained)).but(unseen), "Wait 1 Unobserved"},
		{"another template, suspended", world(2, 2, 2, old(), old(drained)).but(suspended), "None -1 Suspended"},
		{"smaller and another template: smaller first", world(1, 2, 2, old(), old()), "Drain 1 Draining"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := line(Decide(c.w)); got != c.want && !strings.HasPrefix(got, c.want+": ") {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func line(n Next) string {
	at := fmt.Sprint(n.Pod)
	switch n.Step {
	case Grow:
		at = fmt.Sprint(n.Replicas)
	case Fence:
		at = fmt.Sprint(n.Fence)
	}
	s := fmt.Sprintf("%s %s %s", n.Step, at, n.Why)
	if n.Says != "" {
		s += ": " + n.Says
	}
	return s
}

// Random lives of a workload: whatever happens to its pods in between, no pod is
// removed that has anything the root has not, no two are down because of us, and the
// end is what was asked for.
func TestEveryLifeEndsWell(t *testing.T) {
	contract.Row(t, 165)
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := world(1+r.IntN(4), 1+r.IntN(4), 0)
		w.Partition = w.Have
		for n := range w.Have {
			w.Pods[n] = old()
		}
		asked := map[int]bool{}
		for turn := 0; ; turn++ {
			if turn == 300 {
				t.Fatalf("seed %d: no end: %+v", seed, w)
			}
			n := Decide(w)
			if n.Step == None {
				break
			}
			w.obey(t, seed, n, asked)
			if turn < 100 {
				w.happen(r, asked)
			} else {
				w.mend(asked)
			}
		}
		if w.Have != w.Want {
			t.Errorf("seed %d: %d pods, want %d", seed, w.Have, w.Want)
		}
		for n, p := range w.Pods {
			if n < w.Have && !p.Updated || n >= w.Have && (p.Exists || p.Epoch.Process != "") {
				t.Errorf("seed %d: pod %d in the end: %+v", seed, n, p)
			}
		}
	}
}

// obey does what a step says, as the cluster would.
func (w *World) obey(t *testing.T, seed uint64, n Next, asked map[int]bool) {
	t.Helper()
	switch n.Step {
	case Grow:
		for i := w.Have; i < n.Replicas; i++ {
			w.Pods[i] = good(young)
		}
		w.Have = n.Replicas
	case Drain:
		asked[n.Pod] = true
	case Shrink:
		p := w.Pods[n.Pod]
		if p.Started && (!p.Drained || !p.Reports || p.Pending > 0) || n.Pod != w.Have-1 {
			t.Fatalf("seed %d: pod %d is removed as %+v", seed, n.Pod, p)
		}
		w.Have = n.Replicas
		p.Ending = true
		w.Pods[n.Pod] = p
	case Replace:
		down := []int{}
		for i := range w.Have {
			if p := w.Pods[i]; i != n.Pod && !p.quiet() {
				down = append(down, i)
			}
		}
		if p := w.Pods[n.Pod]; p.Ready && !p.Drained || len(down) > 0 {
			t.Fatalf("seed %d: pod %d is replaced as %+v while %v are down", seed, n.Pod, p, down)
		}
		w.Partition = n.Pod
	case Fence:
		for _, i := range n.Fence {
			w.Pods[i] = Pod{Epoch: manifest.Epoch{Number: 3}}
		}
	}
}

// mend brings everything that is under way to its end.
func (w *World) mend(asked map[int]bool) {
	for n, p := range w.Pods {
		switch {
		case n >= w.Have && p.Exists:
			w.Pods[n] = Pod{Epoch: p.Epoch}
		case n >= w.Have:
		case !p.Exists || p.Ending || !p.Updated && n >= w.Partition:
			w.Pods[n] = good(young, func(g *Pod) { g.Updated = p.Updated || n >= w.Partition })
			delete(asked, n)
		default:
			p.Ready, p.Reports, p.Pending, p.Drained = true, true, 0, asked[n]
			w.Pods[n] = p
		}
	}
}

// happen: one pod, or its writer, has a bad or a good moment.
func (w *World) happen(r *rand.Rand, asked map[int]bool) {
	all := []int{}
	for n := range w.Pods {
		all = append(all, n)
	}
	slices.Sort(all)
	n := all[r.IntN(len(all))]
	p := w.Pods[n]
	if n < w.Have && p.Exists {
		switch r.IntN(6) {
		case 0:
			broken(&p)
			delete(asked, n)
			p.Drained = false
		case 1:
			p.Reports = false
		case 2:
			p.Pending = 1
		case 3:
			p.Ending = true
		}
		w.Pods[n] = p
	}
	if r.IntN(2) == 0 {
		w.mend(asked)
	}
}
