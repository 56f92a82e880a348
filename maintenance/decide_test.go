// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package maintenance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	terms = Terms{Owner: "M1", Reason: "database restart", Until: noon.Add(time.Hour), OnTimeout: Release}
)

func lock(owner string, mode manifest.LockMode) *manifest.Lock {
	return &manifest.Lock{Owner: owner, Mode: mode, Reason: "its reason", Since: noon, Until: noon.Add(time.Hour), Version: 7}
}

// pod is one that has drained under lock M1.
func pod(name string, change ...func(*Pod)) Pod {
	p := Pod{Name: name, Epoch: manifest.Epoch{Number: 3, Process: "P"}, Word: &Word{Process: "P", Epoch: 3, Manifest: 7, Lock: "M1", Durable: 812, Published: 800}}
	for _, f := range change {
		f(&p)
	}
	return p
}

func TestDecideIsATable(t *testing.T) {
	contract.Row(t, 107, 110, 112, 120, 137)
	drains := func(d time.Duration, to OnTimeout) func(*Terms) {
		return func(t *Terms) { t.DrainFor, t.OnTimeout = d, to }
	}
	leave := func(t *Terms) { t.Leave = true }
	later := func(t *Terms) { t.Until = noon.Add(2 * time.Hour) }
	busy := pod("b", func(p *Pod) { p.Word.InFlight = 2 })
	for _, c := range []struct {
		name  string
		terms func(*Terms)
		view  View
		late  bool // it is not its turn
		state State
		step  Step
		why   string
	}{
		{name: "free", state: Requested, step: StepTake},
		{name: "free, not its turn", late: true, state: Requested, why: "in front of it"},
		{name: "free, and over", view: View{Date: noon.Add(time.Hour)}, state: Released, why: "before it could be taken"},
		{name: "free, and left", terms: leave, state: Released, why: "never taken"},
		{name: "free, unreachable", view: View{Problem: "no answer"}, state: Requested, why: "no answer"},
		{name: "another's", view: View{Lock: lock("M2", manifest.Frozen)}, state: Requested, why: "M2 holds it until 2026-11-23T13:00:00Z (its reason)"},
		{name: "another's, and it is over", terms: later, view: View{Lock: lock("M2", manifest.Frozen), Date: noon.Add(time.Hour)}, state: Requested, step: StepTake},
		{name: "another's, and left", terms: leave, view: View{Lock: lock("M2", manifest.Frozen)}, state: Released, why: "never taken"},
		{name: "ended by its time", view: View{Took: true, Ended: &manifest.EndedLock{Owner: "M1", How: manifest.KindExpire, Version: 9}}, state: Released, why: "its time was over at version 9"},
		{name: "ended by somebody", view: View{Took: true, Ended: &manifest.EndedLock{Owner: "M1", How: manifest.KindRelease, Version: 9}}, state: Released, why: "released at version 9"},
		{name: "ended, and another's since", view: View{Took: true, Lock: lock("M2", manifest.Draining)}, state: Released, why: "how is not in the manifest"},
		{name: "ended, and unreachable", view: View{Took: true, Ended: &manifest.EndedLock{Owner: "M1", How: manifest.KindExpire, Version: 9}, Problem: "no answer"}, state: Released, why: "at version 9"},
		{name: "held when it was seen last, unreachable", view: View{Took: true, Was: Held, Problem: "no answer"}, state: Held, why: "no answer"},
		{name: "asked for, unreachable", view: View{Asked: true, Was: Requested, Problem: "no answer"}, state: Requested, why: "no answer"},
		{name: "asked for, unreachable, left", terms: leave, view: View{Asked: true, Problem: "no answer"}, state: Requested, why: "no answer"},
		{name: "never asked for, unreachable, left", terms: leave, view: View{Problem: "no answer"}, state: Released, why: "never taken"},
		{name: "drains", view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{pod("a"), busy}}, state: Draining, why: "b (2 transactions in flight)"},
		{name: "drained", view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{pod("b"), pod("a")}}, state: Draining, step: StepHold},
		{name: "nobody there", view: View{Lock: lock("M1", manifest.Draining)}, state: Draining, step: StepHold},
		{name: "drained, not its turn", late: true, view: View{Lock: lock("M1", manifest.Draining)}, state: Draining, step: StepHold},
		{name: "held", view: View{Lock: lock("M1", manifest.Frozen), Pods: []Pod{pod("a")}}, state: Held, why: "no pod writes"},
		{name: "held, a pod has died", view: View{Lock: lock("M1", manifest.Frozen), Pods: []Pod{pod("a", func(p *Pod) { p.Word, p.Dead = nil, true }), pod("b")}}, state: Held, why: "no pod writes"},
		{name: "held, a pod starts", view: View{Lock: lock("M1", manifest.Frozen), Pods: []Pod{pod("a", func(p *Pod) { p.Word = nil })}}, state: Held, why: "a (its pod does not report)"},
		{name: "held, a pod has just started", view: View{Lock: lock("M1", manifest.Frozen), Pods: []Pod{pod("a", func(p *Pod) { p.Word, p.Fresh = nil, true }), pod("b")}}, state: Held, why: "no pod writes"},
		{name: "drains, a pod has just started", view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{pod("a", func(p *Pod) { p.Word, p.Fresh = nil, true }), pod("b")}}, state: Draining, why: "a (its pod starts)"},
		{name: "left while it drains", terms: leave, view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{busy}}, state: Draining, step: StepRelease},
		{name: "left", terms: leave, view: View{Lock: lock("M1", manifest.Frozen)}, state: Held, step: StepRelease},
		{name: "left, unreachable", terms: leave, view: View{Lock: lock("M1", manifest.Frozen), Problem: "no answer"}, state: Held, why: "no answer"},
		{name: "longer", terms: later, view: View{Lock: lock("M1", manifest.Frozen)}, state: Held, step: StepExtend},
		{name: "longer, at its end", terms: later, view: View{Lock: lock("M1", manifest.Frozen), Date: noon.Add(time.Hour)}, state: Held, step: StepExtend},
		{name: "shorter is no wish", terms: func(t *Terms) { t.Until = noon.Add(time.Minute) }, view: View{Lock: lock("M1", manifest.Frozen)}, state: Held},
		{name: "over", view: View{Lock: lock("M1", manifest.Frozen), Date: noon.Add(time.Hour)}, state: Held, step: StepExpire},
		{name: "over while it drains", view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{busy}, Date: noon.Add(time.Hour)}, state: Draining, step: StepExpire},
		{name: "a minute to drain", terms: drains(time.Minute, Release), view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{busy}, Date: noon.Add(59 * time.Second)}, state: Draining, why: "b (2"},
		{name: "the minute is over", terms: drains(time.Minute, Release), view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{pod("a"), busy}, Date: noon.Add(time.Minute)}, state: Draining, why: "time is over: b (2"},
		{name: "the minute is over, hold", terms: drains(time.Minute, Hold), view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{pod("a"), busy}, Date: noon.Add(time.Minute)}, state: Draining, step: StepHold, why: "time is over: b (2"},
		{name: "drained in the last moment", terms: drains(time.Minute, Release), view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{pod("a")}, Date: noon.Add(time.Minute)}, state: Draining, step: StepHold},
		{name: "held has no drain time", terms: drains(time.Minute, Release), view: View{Lock: lock("M1", manifest.Frozen), Pods: []Pod{busy}, Date: noon.Add(2 * time.Minute)}, state: Held, why: "frozen without b"},
		{name: "a dead pod", view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{pod("a", func(p *Pod) { p.Dead, p.Word = true, nil })}}, state: Draining, step: StepFence, why: "its epoch has not ended"},
		{name: "a dead pod beside a busy one", view: View{Lock: lock("M1", manifest.Draining), Pods: []Pod{busy, pod("a", func(p *Pod) { p.Dead = true })}}, state: Draining, step: StepFence},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := terms
			if c.terms != nil {
				c.terms(&ts)
			}
			if c.view.Date.IsZero() {
				c.view.Date = noon
			}
			n := Decide(ts, c.view, !c.late)
			if n.State != c.state || n.Step != c.step || !strings.Contains(n.Why, c.why) {
				t.Errorf("state %s, step %q, why %q", n.State, n.Step, n.Why)
			}
			if len(n.Pods) > 0 && len(n.Pods) != len(c.view.Pods) {
				t.Errorf("%d pods of %d", len(n.Pods), len(c.view.Pods))
			}
		})
	}
}

// A pod has acknowledged when nothing that writes is under way in it and nothing
// that does can begin.
func TestWhatAnAcknowledgementIs(t *testing.T) {
	contract.Row(t, 110)
	l := lock("M1", manifest.Draining)
	for _, c := range []struct {
		name   string
		change func(*Pod)
		want   string // empty: it has acknowledged
		gone   bool
	}{
		{name: "drained", change: func(*Pod) {}},
		{name: "read on since", change: func(p *Pod) { p.Word.Manifest = 20 }},
		{name: "silent", change: func(p *Pod) { p.Word = nil }, want: "does not report"},
		{name: "has not looked", change: func(p *Pod) { p.Word.Manifest, p.Word.Lock = 6, "" }, want: "up to version 6, the lock is at 7"},
		{name: "heeds another", change: func(p *Pod) { p.Word.Lock = "M0" }, want: "has not heeded"},
		{name: "heeds one of its name that is older", change: func(p *Pod) { p.Word.Manifest = 6 }, want: "has not heeded"},
		{name: "writes", change: func(p *Pod) { p.Word.InFlight = 1 }, want: "1 transactions in flight"},
		{name: "has not synced", change: func(p *Pod) { p.Word.Durable, p.Word.Published, p.Word.Written = 4, 3, 6 }, want: "its log has not synced positions 5 to 6, which were answered"},
		{name: "has not synced, and the root has it", change: func(p *Pod) { p.Word.Durable, p.Word.Published, p.Word.Written = 4, 6, 6 }},
		{name: "publishes", change: func(p *Pod) { p.Word.Open = []string{"01KA", "01KB"} }, want: "01KA, 01KB"},
		{name: "an older process", change: func(p *Pod) { p.Word.Process = "O" }, want: "not the one that the manifest has registered"},
		{name: "an older epoch", change: func(p *Pod) { p.Word.Epoch = 2 }, want: "not the one"},
		{name: "fenced, and reports", change: func(p *Pod) { p.Epoch = manifest.Epoch{Number: 4} }, want: "not the one"},
		{name: "dead", change: func(p *Pod) { p.Dead, p.Word = true, nil }, want: "has not ended yet"},
		{name: "dead, its last word drained", change: func(p *Pod) { p.Dead = true }, want: "has not ended yet"},
		{name: "dead and fenced", change: func(p *Pod) { p.Dead, p.Word, p.Epoch = true, nil, manifest.Epoch{Number: 4} }, gone: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stand(pod("a", c.change), l, nil)
			if s.Acknowledged != (c.want == "") || !strings.Contains(s.WaitsFor, c.want) || s.Gone != c.gone {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Every view has an answer, and no answer breaks a law.
func TestDecideIsTotal(t *testing.T) {
	contract.Row(t, 107, 137)
	locks := []*manifest.Lock{nil, lock("M1", manifest.Draining), lock("M1", manifest.Frozen), lock("M2", manifest.Draining), lock("M2", manifest.Frozen)}
	bools, n := []bool{false, true}, 0
	for _, l := range locks {
		for _, took := range []int{0, 1, 2, 3} { // nothing, asked, took, ended
			for _, leave := range bools {
				for _, turn := range bools {
					for _, problem := range []string{"", "no answer"} {
						for _, drain := range []time.Duration{0, time.Minute} {
							for _, to := range []OnTimeout{Release, Hold} {
								for _, at := range []time.Duration{0, time.Minute, time.Hour, 2 * time.Hour} {
									for _, until := range []time.Duration{time.Hour, 90 * time.Minute} {
										for _, p := range []Pod{pod("a"), pod("a", func(p *Pod) { p.Word = nil }), pod("a", func(p *Pod) { p.Dead = true })} {
											ts := Terms{Owner: "M1", Until: noon.Add(until), Leave: leave, DrainFor: drain, OnTimeout: to}
											v := View{Lock: l, Asked: took > 0, Took: took > 1, Problem: problem, Date: noon.Add(at), Pods: []Pod{p}, Was: Requested}
											if took == 3 {
												v.Ended = &manifest.EndedLock{Owner: "M1", How: manifest.KindRelease, Version: 9}
											}
											n++
											lawful(t, ts, v, turn, Decide(ts, v, turn))
										}
									}
								}
							}
						}
					}
				}
			}
		}
	}
	contract.Count(t, "views", n)
}

func lawful(t *testing.T, ts Terms, v View, turn bool, n Next) {
	t.Helper()
	ours := v.Lock != nil && v.Lock.Owner == ts.Owner
	over := v.Lock != nil && !v.Date.Before(v.Lock.Until)
	broken := func(law string) { t.Errorf("%s: terms %+v, view %+v, lock %+v: %+v", law, ts, v, v.Lock, n) }
	switch n.State {
	case Requested, Draining, Held, Released:
	default:
		broken("no state")
	}
	if n.Step != None && v.Problem != "" {
		broken("a root that cannot be asked is asked")
	}
	if n.Step == StepTake && (v.Took || ts.Leave || !turn || !v.Date.Before(ts.Until) || v.Lock != nil && !over) {
		broken("a lock is taken that must not be")
	}
	if !ours && n.Step != None && n.Step != StepTake {
		broken("another's lock is changed")
	}
	if n.State == Released && (ours || v.Asked && v.Problem != "" && v.Ended == nil) {
		broken("told released, and it is held, or may be")
	}
	if (n.State == Held) != (ours && v.Lock.Mode == manifest.Frozen) {
		broken("held is what the manifest says")
	}
	if ours && ts.Leave && v.Problem == "" && n.Step != StepRelease {
		broken("whoever wants to leave may leave")
	}
	if ours && n.Step == None && over && v.Problem == "" {
		broken("a lock whose time is over stays")
	}
	if ours && n.Step == None && v.Problem == "" && n.Look.IsZero() {
		broken("nobody looks again")
	}
	if n.State == Requested && n.Step == None && n.Why == "" {
		broken("it waits, and does not say what for")
	}
}

func TestTheStuckAreNamed(t *testing.T) {
	contract.Row(t, 112)
	v := View{Lock: lock("M1", manifest.Draining), Date: noon}
	for i := range 9 {
		v.Pods = append(v.Pods, pod(fmt.Sprintf("ledger-%d", i), func(p *Pod) { p.Word.InFlight = i }))
	}
	n := Decide(terms, v, true)
	if want := "ledger-1 (1 transactions in flight), "; !strings.HasPrefix(n.Why, want) || !strings.HasSuffix(n.Why, "3 more") {
		t.Errorf("%s", n.Why)
	}
	if len(n.Pods) != 9 || !n.Pods[0].Acknowledged || n.Pods[8].Acknowledged || n.Pods[8].Durable != 812 || n.Pods[8].Published != 800 {
		t.Errorf("%+v", n.Pods)
	}
}

// A pod that dies while its store is held keeps nobody waiting: it writes nothing, and
// what starts in its place finds the lock. While a store drains its epoch has to end first.
func TestAPodThatRestartsWhileAllIsHeld(t *testing.T) {
	contract.Row(t, 110, 111)
	v := View{Lock: lock("M1", manifest.Frozen), Date: noon, Pods: []Pod{pod("a", func(p *Pod) { p.Dead, p.Word = true, nil }), pod("b")}}
	n := Decide(terms, v, true)
	if n.State != Held || n.Step != None || n.Why != "no pod writes" || len(n.Fence) != 0 || len(n.Pods) != 2 || !n.Pods[0].Acknowledged || !n.Pods[0].Gone || n.Pods[0].WaitsFor != "" {
		t.Errorf("held: %+v", n)
	}
	if n.Incomplete() {
		t.Errorf("somebody would be called for a dead pod: %+v", n.Pods)
	}
	fresh := View{Lock: v.Lock, Date: noon, Pods: []Pod{pod("a", func(p *Pod) { p.Word, p.Fresh = nil, true })}}
	if n := Decide(terms, fresh, true); n.Incomplete() || n.Pods[0].Acknowledged {
		t.Errorf("somebody would be called for a pod that starts: %+v", n.Pods)
	}
	fresh.Pods[0].Fresh = false
	if n := Decide(terms, fresh, true); !n.Incomplete() {
		t.Errorf("nobody would be called for a pod that does not report: %+v", n.Pods)
	}
	v.Lock = lock("M1", manifest.Draining)
	if n := Decide(terms, v, true); n.Step != StepFence || len(n.Fence) != 1 || n.Pods[0].Acknowledged {
		t.Errorf("draining: %+v", n)
	}
}
