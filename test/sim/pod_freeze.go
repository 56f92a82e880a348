// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// calm is a chooser for patient worlds in which nothing goes wrong: whoever stands
// before the bucket goes on, one after the other; while all sleep, time passes until
// the first of them wakes.
type calm struct{ last string }

func (c *calm) next(w *World, parked []*request) (int, Fate) {
	pick := -1
	for i, r := range parked {
		if r.verb != 0 && (pick < 0 || r.who() == c.last) {
			pick = i
		}
	}
	for i, r := range parked {
		if pick < 0 || parked[pick].verb == 0 && r.until.Before(parked[pick].until) {
			pick = i
		}
	}
	r := parked[pick]
	c.last = r.who()
	if at := r.until; at.After(w.Now()) {
		w.clock.set(at)
	}
	return pick, Arrives
}

const (
	gap      = 300 * time.Millisecond // between two transactions
	duringIt = 24                     // transactions of a life beside a maintenance
)

// throughIt is what a pod does while somebody freezes its store and thaws it: it takes
// transactions, one after the other; those that come while it is held wait.
func throughIt(ctx context.Context, l *life, s *store.Store) {
	for range duringIt {
		if l.transact(ctx, s); ctx.Err() != nil || l.pause(ctx, gap) != nil {
			return
		}
	}
	_, _ = s.Checkpoint(ctx)
}

// says is the word of a pod, as the operator hears it.
func says(st control.Status) maintenance.Word {
	return maintenance.Word{
		Process: manifest.ProcessID(st.Process), Epoch: st.Epoch, Manifest: manifest.Version(st.Manifest), Lock: st.Lock,
		InFlight: st.InFlight, Open: st.Open, Durable: st.Durable, Published: st.Published,
	}
}

// ExploreFrozenPods freezes a store whose pod takes transactions, and thaws it; and
// kills the pod at every durable write of its disk and its bucket, the operator and the
// admin at each of theirs, before it and behind it. Another pod and another operator go
// on; one of share of the states is followed to its end. In all of them nothing is
// acknowledged while all is held, every lock ends, and whatever was acknowledged is there.
func ExploreFrozenPods(t *testing.T, share int) *Pods {
	t.Helper()
	x := &Pods{t: t, clock: &clock{t: epoch}, seen: map[Digest]bool{}, Totals: Totals{Seen: map[Digest]bool{}}, patient: true}
	first := pod{State: origin(t, x.clock, Scenario{History: 1}), disk: logtest.New()}
	others := []Actor{inTurn("A1", sleeps(5*gap), Admin("A1", "M1", 20)), Maintains("O1", "M1", 60)}
	dry, res := x.live(first, "POD1", Point{}, throughIt, others...)
	if x.found("a calm maintenance", res) {
		return x
	}
	if dry.err != nil || dry.acked != duringIt || dry.waited == 0 || !heldOnce(res.trace) {
		t.Fatalf("a calm maintenance: %v, %d acknowledged, %d of them waited\n%s", dry.err, dry.acked, dry.waited, res.trace)
	}
	if w := res.end.ledger.writers["pod-0"]; w.Process != "POD1-0000" {
		t.Fatalf("the pod's epoch was ended under it: %s\n%s", w, res.trace)
	}
	x.Waited = dry.waited
	made, n := x.made, 0
	follow := func(what string, of string, l *life, res result) {
		if x.found(what, res) {
			return
		}
		for _, img := range images {
			if n++; n%share != 0 || of != "disk" && img.name != images[0].name {
				continue
			}
			next := l.pod
			next.disk = img.of(l.lives)
			x.goesOn(next, what+", "+img.name)
		}
	}
	for _, of := range []struct {
		process string
		writes  int
		moments []Moment
	}{
		{"disk", dry.wrote, []Moment{Before, Unacknowledged, Torn}},
		{"POD1", res.writes["POD1"], []Moment{Before, Unacknowledged, RequestLost, AnswerLost}},
		{"O1", res.writes["O1"], []Moment{Before, Unacknowledged, RequestLost, AnswerLost, Late}},
		{"A1", res.writes["A1"], []Moment{Before, Unacknowledged}},
	} {
		for w := 1; w <= of.writes; w++ {
			for _, m := range of.moments {
				l, res := x.live(first, "POD1", Point{of.process, w, m}, throughIt, others...)
				if m == Torn && !l.fired {
					continue
				}
				x.Windows++
				if l.fired {
					x.Crossed++
				}
				if follow(fmt.Sprintf("%s:%d:%s", of.process, w, m), of.process, l, res); x.Failed != "" {
					return x
				}
			}
		}
	}
	// While all is held no pod writes: there it dies behind what others do.
	for behind := 1; behind <= made; behind++ {
		for _, die := range [][]string{{"POD1"}, {"POD1", "O1"}, {"O1", "A1"}, {"POD1", "O1", "A1"}} {
			x.behind, x.die = behind, die
			l, res := x.live(first, "POD1", Point{}, throughIt, others...)
			x.Windows, x.Crossed = x.Windows+1, x.Crossed+1
			if follow(fmt.Sprintf("%v die behind write %d", die, behind), "POD1", l, res); x.Failed != "" {
				return x
			}
		}
	}
	return x
}

// goesOn is the next pod and the next operator, and what is left behind them.
func (x *Pods) goesOn(p pod, what string) {
	p.now = p.now.Add(time.Minute)
	x.count(p)
	l, res := x.live(p, "POD2", Point{}, throughIt, Admin("A2", "M1", 1), Maintains("O2", "M1", 60))
	if x.found(what+"; the next pod and operator", res) {
		return
	}
	if !l.served {
		l.State.ledger.breach("TheStoreGoesOn", "the next life does not serve: %v", l.err)
	}
	l.State.ledger.aThawLetsGo(l.State.disk, "M1")
	if k := l.State.ledger.lock; k != nil && strings.HasPrefix(k.Owner, freezes) {
		l.State.ledger.breach("AThawLetsGo", "the lock of %s, until %s, is still there", k.Owner, k.Until)
	}
	res.end.ledger = l.State.ledger
	if x.found(what+"; the next pod and operator", res) {
		return
	}
	next := l.pod
	next.disk = l.lives.Killed()
	x.after(next, "", 1<<30)
}

func heldOnce(trace Story) bool {
	for _, step := range trace {
		if step.toldHeld() {
			return true
		}
	}
	return false
}
