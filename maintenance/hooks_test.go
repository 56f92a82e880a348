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

// readOnly reads a prior and is undone, pause may fail, flush has nothing to undo.
var (
	readOnly = Hook{Name: "read-only", Prior: HookAction{There: true}, Pre: HookAction{There: true}, Post: HookAction{There: true}}
	pause    = Hook{Name: "pause", Pre: HookAction{There: true, Continue: true}, Post: HookAction{There: true, Continue: true}}
	flush    = Hook{Name: "flush", Pre: HookAction{There: true}}
)

// Attempts, told from noon: when they began, and how they ended.
func begun(on string, at time.Duration) HookTry {
	return HookTry{Begun: noon.Add(at), On: on, By: noon.Add(at + 30*time.Second), Tries: 1}
}

func done(on string, at time.Duration) HookTry {
	t := begun(on, at)
	t.Ended, t.OK = noon.Add(at+time.Second), true
	return t
}

func wrong(on string, at time.Duration, tries int) HookTry {
	t := begun(on, at)
	t.Ended, t.Tries = noon.Add(at+time.Second), tries
	return t
}

func TestDecideHooksIsATable(t *testing.T) {
	contract.Row(t, 139)
	type ran = map[string]HookRan
	db := func(on string) []HookPod { return []HookPod{{Name: "db-0", On: on}} }
	held := func(t *HookTerms) { t.Held = true }
	undo := func(t *HookTerms) { t.Undo = true }
	const minute = time.Minute
	for _, c := range []struct {
		name  string
		hooks []Hook
		terms func(*HookTerms)
		ran   ran
		pods  []HookPod
		at    time.Duration
		do    string // "part hook" of db-0
		quiet bool
		says  string // in what it waits for, has failed, or gave up
		undo  string // "undone", "tried", "gave up"
	}{
		{name: "nothing yet: the prior is read first", hooks: []Hook{readOnly}, do: "prior read-only"},
		{name: "the prior is being read", hooks: []Hook{readOnly}, ran: ran{"read-only": {Prior: begun("a", 0)}}, says: "prior runs"},
		{name: "nobody knows how the reading ended: it is read again", hooks: []Hook{readOnly}, ran: ran{"read-only": {Prior: begun("a", 0)}}, at: minute, do: "prior read-only"},
		{name: "the prior is kept", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Prior: done("a", 0)}}, at: minute, do: "pre read-only"},
		{name: "pre runs", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: begun("a", 0)}}, at: 29 * time.Second, says: "pre runs"},
		{name: "nobody knows how pre ended: it is run again", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: begun("a", 0)}}, at: 30 * time.Second, do: "pre read-only"},
		{name: "pre has run", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}}, at: minute, quiet: true},
		{name: "the next one", hooks: []Hook{readOnly, flush}, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}}, at: minute, do: "pre flush"},
		{name: "not before the one in front of it", hooks: []Hook{readOnly, flush}, ran: ran{"read-only": {Kept: true, Pre: begun("a", 0)}}, says: "pre runs"},
		{name: "restarted: again, and the prior is not read again", hooks: []Hook{readOnly}, terms: held, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}}, pods: db("b"), at: minute, do: "pre read-only"},
		{name: "restarted while it ran: at once", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: begun("a", 0)}}, pods: db("b"), at: 1, do: "pre read-only"},
		{name: "nothing runs", hooks: []Hook{readOnly}, pods: db("")},
		{name: "no pod", hooks: []Hook{readOnly}, pods: []HookPod{}},
		{name: "failed a moment ago", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: wrong("a", 0, 1)}}, at: 1500 * time.Millisecond, says: "is tried again"},
		{name: "failed", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: wrong("a", 0, 1)}}, at: 2 * time.Second, do: "pre read-only"},
		{name: "failed twice: twice the pause", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: wrong("a", 0, 2)}}, at: 2 * time.Second, says: "is tried again"},
		{name: "failed for good", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: wrong("a", 0, 3)}}, at: minute, says: "pod db-0: hook read-only: pre has failed 3 times"},
		{name: "the prior cannot be read", hooks: []Hook{readOnly}, ran: ran{"read-only": {Prior: wrong("a", 0, 3)}}, at: minute, says: "prior has failed 3 times"},
		{name: "failed for good before a restart", hooks: []Hook{readOnly}, ran: ran{"read-only": {Kept: true, Pre: wrong("a", 0, 3)}}, pods: db("b"), at: minute, do: "pre read-only"},
		{name: "failed while it is held: tried on", hooks: []Hook{readOnly}, terms: held, ran: ran{"read-only": {Kept: true, Pre: wrong("a", 0, 3)}}, at: minute, do: "pre read-only"},
		{name: "may fail", hooks: []Hook{pause, flush}, ran: ran{"pause": {Pre: wrong("a", 0, 3)}}, at: minute, do: "pre flush"},
		{name: "may fail, and is all", hooks: []Hook{pause}, ran: ran{"pause": {Pre: wrong("a", 0, 3)}}, at: minute, quiet: true},
		{name: "may fail, and has not failed often enough", hooks: []Hook{pause, flush}, ran: ran{"pause": {Pre: wrong("a", 0, 2)}}, at: minute, do: "pre pause"},

		{name: "undo: nothing was begun", hooks: []Hook{readOnly}, terms: undo, undo: "undone"},
		{name: "undo: only a prior was read", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Prior: done("a", 0)}}, at: minute, undo: "undone"},
		{name: "undo", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}}, at: minute, do: "post read-only"},
		{name: "undo what has failed", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: wrong("a", 0, 3)}}, at: minute, do: "post read-only"},
		{name: "undo what nobody knows the end of", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: begun("a", 0)}}, at: minute, do: "post read-only"},
		{name: "undo waits for what may still be run", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: begun("a", 0)}}, at: 29 * time.Second, says: "its pre may still run"},
		{name: "undo in other containers", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}}, pods: db("b"), at: minute, do: "post read-only"},
		{name: "undo the other way round", hooks: []Hook{readOnly, pause}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}, "pause": {Pre: done("a", 0)}}, at: minute, do: "post pause"},
		{name: "undo: one that fails does not stop the others", hooks: []Hook{readOnly, pause}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}, "pause": {Pre: done("a", 0), Post: wrong("a", minute, 4)}}, at: minute + 2*time.Second, do: "post read-only"},
		{name: "undo: nothing to undo", hooks: []Hook{flush}, terms: undo, ran: ran{"flush": {Pre: done("a", 0)}}, at: minute, undo: "undone"},
		{name: "undo: not while it may still be run", hooks: []Hook{flush}, terms: undo, ran: ran{"flush": {Pre: begun("a", 0)}}, at: 1, says: "pre runs"},
		{name: "undone", hooks: []Hook{readOnly, flush}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0), Post: done("a", minute)}, "flush": {Pre: done("a", 0)}}, at: 2 * minute, undo: "undone"},
		{name: "undo: the pod is away", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}}, pods: []HookPod{}, at: minute, says: "the pod does not run"},
		{name: "undo: post has failed, and may not", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0), Post: wrong("a", minute, 1)}}, at: minute + time.Second, says: "is tried again"},
		{name: "undo: post has failed, and may", hooks: []Hook{pause}, terms: undo, ran: ran{"pause": {Pre: done("a", 0), Post: wrong("a", minute, 1)}}, at: minute + time.Second, says: "is tried again", undo: "tried"},
		{name: "undo: post may fail, and was not tried", hooks: []Hook{pause}, terms: undo, ran: ran{"pause": {Pre: done("a", 0)}}, pods: db(""), at: minute, says: "the pod does not run"},
		{name: "undo: too late", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0), Post: wrong("a", minute, 1)}}, at: time.Hour, says: "pod db-0 hook read-only: post", undo: "gave up"},
		{name: "undo: too late, and the pod is away", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}}, pods: []HookPod{}, at: time.Hour, says: "post (the pod does not run)", undo: "gave up"},
		{name: "undo: too late, and never tried: once", hooks: []Hook{readOnly}, terms: undo, ran: ran{"read-only": {Kept: true, Pre: done("a", 0)}}, at: time.Hour, do: "post read-only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := HookTerms{Hooks: c.hooks, Tries: 3, Backoff: time.Second, BackoffMost: 10 * time.Second, Until: noon.Add(time.Hour)}
			if c.terms != nil {
				c.terms(&ts)
			}
			if c.pods == nil {
				c.pods = db("a")
			}
			all := map[string]map[string]HookRan{}
			if c.ran != nil {
				all["db-0"] = c.ran
			}
			p := ts.Decide(all, c.pods, noon.Add(c.at))
			var do []string
			for _, s := range p.Do {
				do = append(do, string(s.Part)+" "+s.Hook)
				if s.Pod != "db-0" || s.On != c.pods[0].On {
					t.Errorf("%+v", s)
				}
			}
			undone := map[bool]string{p.Tried: "tried", p.Undone: "undone", p.GaveUp != "": "gave up"}[true]
			if !ts.Undo || undone != c.undo && c.undo == "" && !p.Undone && !p.Tried {
				undone = ""
			}
			if got := strings.Join(do, ", "); got != c.do || p.Pods["db-0"].Quiet != c.quiet || undone != c.undo {
				t.Errorf("do %q, %+v", got, p)
			}
			if all := p.Why + p.Failed + p.GaveUp; !strings.Contains(all, c.says) {
				t.Errorf("says %q", all)
			}
			if c.says != "" && c.undo != "gave up" && p.Failed == "" && p.Look.IsZero() {
				t.Errorf("it waits, and nobody looks again: %+v", p)
			}
		})
	}
}

// Whatever is written down has an answer, and no answer breaks a law.
func TestHooksAreDecidedForEveryRecord(t *testing.T) {
	contract.Row(t, 139)
	tries := func(on string) []HookTry {
		return []HookTry{{}, begun(on, 0), done(on, 0), wrong(on, 0, 1), wrong(on, 0, 3), wrong(on, 0, 99)}
	}
	n := 0
	for _, hook := range []Hook{readOnly, pause, flush} {
		for _, on := range []string{"", "a", "b"} {
			for _, kept := range []bool{false, true} {
				for _, prior := range tries("a") {
					for _, pre := range tries("a") {
						for _, post := range tries("a") {
							for _, undo := range []bool{false, true} {
								for _, held := range []bool{false, true} {
									for _, at := range []time.Duration{0, 5 * time.Second, time.Minute, 2 * time.Hour} {
										ts := HookTerms{Hooks: []Hook{hook}, Held: held, Undo: undo, Tries: 3, Backoff: time.Second, BackoffMost: 10 * time.Second, Until: noon.Add(time.Hour)}
										r := HookRan{Kept: kept, Prior: prior, Pre: pre, Post: post}
										now := noon.Add(at)
										n++
										lawfulHooks(t, ts, hook, r, on, now, ts.Decide(map[string]map[string]HookRan{"db-0": {hook.Name: r}}, []HookPod{{Name: "db-0", On: on}}, now))
									}
								}
							}
						}
					}
				}
			}
		}
	}
	contract.Count(t, "records", n)
}

func lawfulHooks(t *testing.T, ts HookTerms, h Hook, r HookRan, on string, now time.Time, p HookPlan) {
	t.Helper()
	broken := func(law string) { t.Fatalf("%s: %+v, hook %+v, ran %+v, on %q, at %s: %+v", law, ts, h, r, on, now, p) }
	owed := h.Post.There && !r.Pre.Begun.IsZero() && !r.Post.OK
	for _, s := range p.Do {
		switch {
		case on == "" || s.On != on:
			broken("something is done where nothing runs")
		case (s.Part == Post) != ts.Undo:
			broken("pre and post at the same time")
		case s.Part == Pre && h.Prior.There && !r.Kept:
			broken("something is changed before its prior is kept")
		case s.Part == Prior && r.Kept:
			broken("a prior is read again")
		case s.Part == Post && !owed:
			broken("what was not begun is undone")
		case s.Part == Post && r.Pre.open(now):
			broken("undone while pre may still be run")
		}
	}
	if len(p.Do) > 1 {
		broken("two steps in one pod")
	}
	if ts.Undo && p.Undone && owed {
		broken("called undone")
	}
	if ts.Undo && owed && on != "" && len(p.Do) == 0 && p.GaveUp == "" && p.Look.IsZero() {
		broken("an undoing that nobody goes on with")
	}
	if p.GaveUp != "" && now.Before(ts.Until) {
		broken("gave up before its time")
	}
	if !ts.Undo && ts.Held && p.Failed != "" {
		broken("a store that is held is given up for a hook")
	}
	if p.Failed != "" && h.Pre.Continue && !h.Prior.There {
		broken("given up for a hook that may fail")
	}
	if s := p.Pods["db-0"]; s.Quiet && !ts.Undo && !r.Pre.OK && !(h.Pre.Continue && r.Pre.Tries >= ts.Tries) {
		broken("quiet, and pre has not run")
	}
	if s := p.Pods["db-0"]; s.Quiet && r.Pre.On != on {
		broken("quiet by what ran in other containers")
	}
}

// How the hooks bear on the freeze that they belong to.
func TestAFreezeWaitsForItsHooks(t *testing.T) {
	contract.Row(t, 139)
	leave := func(t *Terms) { t.Leave = true }
	draining, frozen := lock("M1", manifest.Draining), lock("M1", manifest.Frozen)
	silent := Pod{Name: "db-0"} // no writer of the root, and says nothing
	quiet := map[string]HookStanding{"db-0": {Quiet: true}}
	busy := map[string]HookStanding{"db-0": {WaitsFor: "hook read-only: pre runs"}}
	plan := func(p HookPlan) *Hooked { return &Hooked{Made: true, HookPlan: p} }
	for _, c := range []struct {
		name  string
		terms func(*Terms)
		view  View
		state State
		step  Step
		why   string
		leave bool
	}{
		{name: "free", view: View{Hooks: &Hooked{}}, state: Requested, step: StepTake},
		{name: "another's hooks are not undone", view: View{Hooks: &Hooked{Another: "M0"}}, state: Requested, why: "the hooks of M0 are not undone yet"},
		{name: "locked", view: View{Lock: draining, Pods: []Pod{silent}, Hooks: &Hooked{}}, state: Draining, step: StepHook},
		{name: "they run", view: View{Lock: draining, Pods: []Pod{silent}, Hooks: plan(HookPlan{Pods: busy})}, state: Draining, why: "db-0 (hook read-only: pre runs)"},
		{name: "a pod of which they know nothing yet", view: View{Lock: draining, Pods: []Pod{silent}, Hooks: plan(HookPlan{})}, state: Draining, why: "its hooks have not run"},
		{name: "they have run", view: View{Lock: draining, Pods: []Pod{silent}, Hooks: plan(HookPlan{Pods: quiet})}, state: Draining, step: StepHold},
		{name: "they have run, and a writer drains", view: View{Lock: draining, Pods: []Pod{silent, pod("b", func(p *Pod) { p.Word.InFlight = 1 })}, Hooks: plan(HookPlan{Pods: map[string]HookStanding{"db-0": {Quiet: true}, "b": {Quiet: true}}})}, state: Draining, why: "b (1 transactions"},
		{name: "a writer drained, and they run", view: View{Lock: draining, Pods: []Pod{pod("db-0")}, Hooks: plan(HookPlan{Pods: busy})}, state: Draining, why: "pre runs"},
		{name: "a registered writer that is silent is no database", view: View{Lock: draining, Pods: []Pod{pod("db-0", func(p *Pod) { p.Word = nil })}, Hooks: plan(HookPlan{Pods: quiet})}, state: Draining, why: "does not report"},
		{name: "without hooks a silent pod never drains", view: View{Lock: draining, Pods: []Pod{silent}}, state: Draining, why: "does not report"},
		{name: "one has failed", view: View{Lock: draining, Pods: []Pod{silent}, Hooks: plan(HookPlan{Pods: busy, Failed: "it has failed 5 times"})}, state: Draining, why: "it has failed 5 times", leave: true},
		{name: "held", view: View{Lock: frozen, Pods: []Pod{silent}, Hooks: plan(HookPlan{Pods: quiet})}, state: Held, why: "no pod writes"},
		{name: "held, a container is new", view: View{Lock: frozen, Pods: []Pod{silent}, Hooks: plan(HookPlan{Pods: busy})}, state: Held, why: "frozen without db-0 (hook read-only: pre runs)"},
		{name: "held, one has failed", view: View{Lock: frozen, Pods: []Pod{silent}, Hooks: plan(HookPlan{Pods: busy, Failed: "it has failed 5 times"})}, state: Held},
		{name: "left", terms: leave, view: View{Lock: frozen, Hooks: plan(HookPlan{Why: "db-0 (post runs)"})}, state: Held, why: "its hooks are undone first: db-0 (post runs)"},
		{name: "left, undone", terms: leave, view: View{Lock: frozen, Hooks: plan(HookPlan{Undone: true})}, state: Held, step: StepRelease},
		{name: "left, tried", terms: leave, view: View{Lock: frozen, Hooks: plan(HookPlan{Tried: true})}, state: Held, step: StepRelease},
		{name: "left, given up", terms: leave, view: View{Lock: frozen, Hooks: plan(HookPlan{GaveUp: "db-0"})}, state: Held, step: StepRelease},
		{name: "left, before there were any", terms: leave, view: View{Lock: draining, Hooks: &Hooked{}}, state: Draining, step: StepRelease},
		{name: "left, undone by hand", terms: leave, view: View{Lock: frozen, Hooks: &Hooked{Gone: true}}, state: Held, step: StepRelease},
		{name: "left, not undone, and its time is over", terms: leave, view: View{Lock: frozen, Date: noon.Add(time.Hour), Hooks: plan(HookPlan{})}, state: Held, step: StepExpire},
		{name: "over while they run", view: View{Lock: draining, Date: noon.Add(time.Hour), Pods: []Pod{silent}, Hooks: plan(HookPlan{Pods: busy})}, state: Draining, step: StepExpire},
		{name: "thrown away while it is held", view: View{Lock: frozen, Pods: []Pod{silent}, Hooks: &Hooked{Gone: true}}, state: Held, why: "no pod writes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := terms
			ts.Hooked = c.view.Hooks != nil
			if c.terms != nil {
				c.terms(&ts)
			}
			if c.view.Date.IsZero() {
				c.view.Date = noon
			}
			p := ts.Decide(map[string]View{"s": c.view})
			n := p.Stores["s"]
			if n.State != c.state || n.Step != c.step || !strings.Contains(n.Why, c.why) || p.Leave != (c.leave || ts.Leave) || p.Hook != c.leave {
				t.Errorf("state %s, step %q, why %q, leave %v for a hook %v", n.State, n.Step, n.Why, p.Leave, p.Hook)
			}
		})
	}
	ended := View{Date: noon, Took: true, Ended: &manifest.EndedLock{Owner: "M1", How: manifest.KindExpire, Version: 9}}
	for want, h := range map[string]*Hooked{
		"0 ":       nil,
		"1 ":       plan(HookPlan{}),
		"0 s: x":   plan(HookPlan{GaveUp: "x"}),
		"0  again": plan(HookPlan{Undone: true}),
	} {
		ended.Hooks = h
		s := Sum(terms.Decide(map[string]View{"s": ended}).Stores)
		if got := fmt.Sprintf("%d %s", s.Undoing, s.NotUndone); s.State != Released || got != strings.TrimSuffix(want, " again") {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}
