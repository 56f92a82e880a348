// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// live runs one life on a pod.
func (x *Pods) live(on pod, name string, at Point, work func(context.Context, *life, *store.Store), more ...Actor) (*life, result) {
	l := &life{name: name, point: at, work: work, pod: on, lives: on.disk.Killed()}
	st := *on.State
	l.State = &st
	how := chooser(&script{})
	if x.patient {
		how = &calm{}
	}
	res := run(x.t, x.clock, on.State, Leg{Name: name, Point: at}, append([]Actor{l.actor()}, more...), how, false, func(w *World) {
		l.ledger, w.patient = w.ledger, x.patient
		x.lightning(w)
	})
	l.fired = l.fired || res.fired
	l.State = res.end
	return l, res
}

// Pods explores the reference store with its own log.
type Pods struct {
	Totals
	Failed string
	// Waited: transactions of the undisturbed life that waited for the end of a lock.
	Waited int

	t     *testing.T
	clock *clock
	seen  map[Digest]bool
	// patient: time passes as the processes ask for it.
	patient bool
	// behind the creation of so many objects these die in one moment; 0: nobody does.
	behind int
	die    []string
	// made is how many objects the newest run made.
	made int
}

// lightning lets processes die behind somebody's write, whoever made it.
func (x *Pods) lightning(w *World) {
	x.made = 0
	behind, die := x.behind, x.die
	x.behind, x.die = 0, nil
	w.Watch("", func(objstore.Object) {
		if x.made++; x.made == behind {
			for _, name := range die {
				w.Process(name).die()
			}
		}
	})
}

// found reports whether a run broke a law, and keeps its story.
func (x *Pods) found(what string, res result) bool {
	if len(res.end.ledger.Breaches) > 0 && x.Failed == "" {
		x.Failed = fmt.Sprintf("%s: %v\n%s", what, res.end.ledger.Breaches, res.trace)
	}
	return x.Failed != ""
}

// ExplorePods kills a pod at every durable write of its disk and its bucket, cuts
// the power or not, and the recovery, and the next life, which is killed too (one of
// share of them); the last life has everything.
func ExplorePods(t *testing.T, share int) *Pods {
	t.Helper()
	x := &Pods{t: t, clock: &clock{t: epoch}, seen: map[Digest]bool{}, Totals: Totals{Seen: map[Digest]bool{}}}
	first := pod{State: origin(t, x.clock, Scenario{History: 1}), disk: logtest.New()}
	dry, res := x.live(first, "POD1", Point{}, busy)
	if dry.err != nil || dry.acked != 5 {
		t.Fatalf("a calm life: %v, %d acknowledged\n%s", dry.err, dry.acked, res.trace)
	}
	x.deaths(first, "POD1", busy, dry, res, func(l *life, what string, img image) {
		next := l.pod
		next.disk = img.of(l.lives)
		x.after(next, what, share)
	})
	return x
}

// deaths lets a life end at each of its durable writes, in each way.
func (x *Pods) deaths(on pod, name string, work func(context.Context, *life, *store.Store), dry *life, dryRes result, then func(*life, string, image)) {
	for _, of := range []struct {
		process string
		writes  int
	}{{"disk", dry.wrote}, {name, dryRes.writes[name]}} {
		for n := 1; n <= of.writes && x.Failed == ""; n++ {
			for _, m := range []Moment{Before, Unacknowledged, Torn} {
				at := Point{of.process, n, m}
				l, res := x.live(on, name, at, work)
				if m == Torn && !l.fired {
					continue
				}
				x.Windows++
				if l.fired {
					x.Crossed++
				}
				what := fmt.Sprintf("%s dies at write %d of %s, %s", name, n, of.process, m)
				if x.found(what, res) {
					return
				}
				for _, img := range images {
					then(l, what+", "+img.name, img)
				}
			}
		}
	}
}

// after is the recovery and the next lives.
func (x *Pods) after(p pod, what string, share int) {
	d := exact(p.State.disk, p.text())
	if x.seen[d] || x.Failed != "" {
		return
	}
	x.seen[d] = true
	x.count(p)
	p.now = epoch.Add(200 * time.Hour)
	op := run(x.t, x.clock, p.State, Leg{Name: "recovery"}, []Actor{Recovers("R8", dead)}, &script{}, true)
	for i, end := range append(op.snaps, op.end) {
		next := p
		next.State = end
		x.count(next)
		story := fmt.Sprintf("%s; recovery up to write %d of %d", what, i+1, len(op.snaps))
		if i < len(op.snaps) { // it was killed: another one
			again := run(x.t, x.clock, end, Leg{Name: "recovery"}, []Actor{Recovers("R9", dead)}, &script{}, false)
			next.State = again.end
		}
		last, res := x.live(next, "POD9", Point{}, check)
		if !last.served {
			last.State.ledger.breach("TheStoreGoesOn", "the next life does not serve: %v", last.err)
		}
		if x.found(story, res) {
			return
		}
		end := run(x.t, x.clock, last.State, Leg{Name: "end"}, []Actor{{"E1", func(ctx context.Context, p *Process) {
			l := *last
			l.State = &State{ledger: p.w.ledger}
			l.inRoot(ctx, p)
			(&judge{p, p.w.ledger}).finish(ctx, func() {})
		}}}, &script{}, false)
		if x.found(story+"; the next life; the end", end) {
			return
		}
	}
	if int(d[0])%share == 0 && what != "" { // the next life dies too, before anybody recovers
		dry, res := x.live(p, "POD2", Point{}, busy)
		x.deaths(p, "POD2", busy, dry, res, func(l *life, then string, img image) {
			next := l.pod
			next.disk = img.of(l.lives)
			if int(exact(next.State.disk, next.text())[1])%share == 0 {
				x.after(next, what+"; "+then, 1<<30)
			}
		})
	}
}

func (x *Pods) count(p pod) {
	x.States++
	x.Seen[distinct(p.State.disk, p.text())] = true
}

// text is what the digests of the bucket do not cover.
func (p pod) text() string {
	s := fmt.Sprintf("%d/%d %s", p.acked, p.sent, p.ledger.promises())
	for _, path := range p.disk.Files() {
		s += fmt.Sprintf("%s %x\n", path, p.disk.Bytes(path))
	}
	return s
}
