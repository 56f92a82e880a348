// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// bad is a pod whose disk has failed; full one whose disk has no room.
func bad(name string, change ...func(*Pod)) Pod {
	p := Pod{Name: name, Process: name + "/1", Cause: IO}
	for _, f := range change {
		f(&p)
	}
	return p
}

func full(p *Pod)       { p.Cause, p.Known, p.Free, p.Then, p.Needs = DiskFull, true, 5, 5, 32 }
func roomy(p *Pod)      { full(p); p.Free = 37 }
func blind(p *Pod)      { p.Cause = DiskFull }
func quota(p *Pod)      { full(p); p.Free, p.Then = 1000, 1000 }
func speechless(p *Pod) { p.Cause = "" }
func newer(p *Pod)      { p.Cause = "Melted" }
func ending(p *Pod)     { p.Ending = true }
func pending(p *Pod)    { p.Pending = 2 }
func fleeting(p *Pod)   { p.Volatile, p.Unpublished = true, true }
func covered(p *Pod)    { p.Volatile = true }
func ahead(p *Pod)      { p.Unpublished = true }
func locked(p *Pod)     { p.Locked = true }
func refused(p *Pod)    { p.Refused, p.By = ago(10*time.Second), "a budget" }
func long(p *Pod)       { p.Refused, p.By = ago(15*time.Second), "a budget" }

func world(pods ...Pod) World { return World{Now: noon, Listed: true, Pods: pods} }

func (w World) but(f func(*World)) World {
	f(&w)
	return w
}

// done writes restarts down: processes of a pod, each some time ago.
func done(pod string, process int, at ...time.Duration) func(*World) {
	return func(w *World) {
		for i, d := range at {
			w.Done = append(w.Done, Restart{Pod: pod, Process: fmt.Sprintf("%s/%d", pod, process-i), Cause: IO, At: ago(d)})
		}
	}
}

// The table is the specification.
func TestDecide(t *testing.T) {
	contract.Row(t, 134)
	suspended, off, plan := func(w *World) { w.Suspended = true }, func(w *World) { w.Off = true }, func(w *World) { w.Plan = true }
	unlisted := func(w *World) { w.Listed = false }
	serves := func(name string) func(*World) { return func(w *World) { w.Serving = map[string]bool{name: true} } }
	const min = time.Minute
	for _, c := range []struct {
		name string
		w    World
		want string
	}{
		{"all is well", world(), ""},
		{"a disk has failed", world(bad("a")), "a Record Restart"},
		{"it was written down", world(bad("a")).but(done("a", 1, time.Second)), "a Evict Restart"},
		{"it was written down for another process", world(bad("a")).but(done("a", 0, time.Second)), "a Record Restart"},
		{"it was written down, and nothing came of it", world(bad("a")).but(done("a", 1, 6*min)), "a Record Restart"},
		{"the file system is read-only", world(bad("a", func(p *Pod) { p.Cause = ReadOnlyFilesystem })), "a Record Restart"},
		{"the store has called its log wrongly", world(bad("a", func(p *Pod) { p.Cause = Misuse })), "a Record Restart"},
		{"something else", world(bad("a", func(p *Pod) { p.Cause = Other })), "a Record Restart"},
		{"it does not say", world(bad("a", speechless)), "a Leave UnknownCause"},
		{"it says what nobody knows", world(bad("a", newer)), "a Leave UnknownCause"},

		{"the disk is full", world(bad("a", full)), "a Leave DiskFull"},
		{"the disk is full, and was written down", world(bad("a", full)).but(done("a", 1, time.Second)), "a Leave DiskFull"},
		{"there is room again", world(bad("a", roomy)), "a Record Restart"},
		{"there is a little room", world(bad("a", full, func(p *Pod) { p.Free = 36 })), "a Leave DiskFull"},
		{"nobody knows how full it is", world(bad("a", blind)), "a Leave DiskFull"},
		{"a quota is spent", world(bad("a", quota)), "a Leave DiskFull"},
		{"there is room again, three times", world(bad("a", roomy)).but(done("a", 0, 10*min, 20*min, 30*min)), "a Leave Spent"},

		{"it ends already", world(bad("a", ending)), "a Wait Ending"},
		{"it ends, and does not say why", world(bad("a", ending, speechless)), "a Wait Ending"},
		{"suspended", world(bad("a")).but(suspended).but(done("a", 1, time.Second)), "a Leave Suspended"},
		{"not wanted", world(bad("a")).but(off).but(done("a", 1, time.Second)), "a Leave Off"},
		{"plans only", world(bad("a")).but(plan).but(done("a", 1, time.Second)), "a Leave PlanOnly"},
		{"nobody knows what pends", world(bad("a")).but(unlisted).but(done("a", 1, time.Second)), "a Wait Unlisted"},
		{"operations pend", world(bad("a", pending)), "a Wait Settling: 2 of its operations pend; it is restarted when they are settled"},
		{"operations pend, and it was written down", world(bad("a", pending)).but(done("a", 1, time.Second)), "a Wait Settling"},
		{"its volume would go", world(bad("a", fleeting)), "a Publish Unpublished"},
		{"its volume would go, and it was written down", world(bad("a", fleeting)).but(done("a", 1, time.Second)), "a Publish Unpublished"},
		{"its volume would go, under a lock", world(bad("a", fleeting, locked)), "a Wait Unpublished"},
		{"its volume goes, and the root has all", world(bad("a", covered)), "a Record Restart"},
		{"its volume stays, and the root has not all, under a lock", world(bad("a", ahead, locked)), "a Record Restart"},
		{"refused", world(bad("a", refused)).but(done("a", 1, min)), "a Wait Refused: its eviction was refused and is tried again: a budget"},
		{"refused a while ago", world(bad("a", long)).but(done("a", 1, min)), "a Evict Restart"},

		{"twice before", world(bad("a")).but(done("a", 0, 10*min, 20*min)), "a Record Restart"},
		{"three times before", world(bad("a")).but(done("a", 0, 10*min, 20*min, 50*min)),
			"a Leave Spent: it was restarted too often within an hour; look at its volume and its node, then delete the pod; by itself it is tried again at 12:10:00Z"},
		{"three times before, and this one is written down", world(bad("a")).but(done("a", 1, min, 10*min, 20*min, 50*min)), "a Evict Restart"},
		{"three times before, an hour ago", world(bad("a")).but(done("a", 0, 10*min, 20*min, 60*min)), "a Record Restart"},
		{"another pod, three times before", world(bad("a")).but(done("b", 0, 10*min, 20*min, 30*min)).but(serves("b")), "a Record Restart"},
		{"fifty restarts of others", world(bad("a")).but(func(w *World) {
			for i := range 50 {
				done(fmt.Sprintf("z%d", i), 0, 30*min)(w)
			}
		}), "a Leave Spent"},

		{"two have failed", world(bad("b"), bad("a")), "a Record Restart, b Wait OtherPod: pod a is restarted before it"},
		{"two have failed, the second was written down", world(bad("b"), bad("a")).but(done("b", 1, time.Second)), "a Wait OtherPod, b Evict Restart"},
		{"one is full, the other has failed", world(bad("a", full), bad("b")), "a Leave DiskFull, b Record Restart"},
		{"another is away", world(bad("a")).but(done("b", 1, min)), "a Wait OtherPod: pod b is restarted before it"},
		{"another was away and is back", world(bad("a")).but(done("b", 1, min)).but(serves("b")), "a Record Restart"},
		{"another was away, is back, and has failed again", world(bad("a"), bad("b")).but(done("b", 0, min)), "a Record Restart, b Wait OtherPod"},
		{"another does not come back", world(bad("a")).but(done("b", 1, 5*min)), "a Record Restart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for i, v := range Decide(c.w) {
				s := fmt.Sprintf("%s %s %s", v.Pod, v.Step, v.Why)
				if wants := strings.Split(c.want, ", "); i < len(wants) && strings.HasPrefix(wants[i], s+": ") {
					s += ": " + v.Says
				}
				got = append(got, s)
			}
			if is := strings.Join(got, ", "); is != c.want {
				t.Errorf("got  %s\nwant %s", is, c.want)
			}
		})
	}
}

// Every combination of what can be seen has a verdict with words; and none that ends a
// pod where something speaks against it.
func TestDecideIsTotal(t *testing.T) {
	contract.Row(t, 134)
	steps := []Step{Leave, Wait, Publish, Record, Evict}
	causes := []Cause{"", "Melted", IO, DiskFull, ReadOnlyFilesystem, Misuse, Other}
	for bits := range 1 << 12 {
		is := func(n int) bool { return bits>>n&1 == 1 }
		for _, cause := range causes {
			p := Pod{Name: "a", Process: "a/1", Cause: cause, Ending: is(0), Volatile: is(1), Unpublished: is(2), Locked: is(3), Known: is(4), Needs: 10}
			if is(5) {
				p.Free = 10
			}
			if is(6) {
				p.Pending = 1
			}
			if is(7) {
				p.Refused = noon
			}
			w := World{Now: noon, Suspended: is(8), Off: is(9), Listed: is(10), Pods: []Pod{p}}
			if is(11) {
				done("a", 1, time.Minute)(&w)
			}
			all := Decide(w)
			if len(all) != 1 || all[0].Pod != "a" || all[0].Process != "a/1" || all[0].Cause != cause || all[0].Says == "" || all[0].Why == "" || !slices.Contains(steps, all[0].Step) {
				t.Fatalf("%+v: %+v", w, all)
			}
			against := w.Suspended || w.Off || !w.Listed || p.Ending || p.Pending > 0 || is(7) || p.Volatile && p.Unpublished || !cause.known() || cause == DiskFull && !(p.Known && p.Free == 10)
			if ends := all[0].Step == Record || all[0].Step == Evict; ends == against {
				t.Fatalf("%+v: %+v", w, all[0])
			}
			if (all[0].Step == Evict) != (!against && is(11)) {
				t.Fatalf("evicted though nothing was written down, or not though it was: %+v: %+v", w, all[0])
			}
		}
	}
}

// Random hours of a store whose disks fail again and again, with an operator that
// forgets everything but what was written down: no pod goes more often than it may, no
// two are away at once, and one whose volume is full never goes.
func TestNoHourHasMoreThanItsBudget(t *testing.T) {
	contract.Row(t, 134)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		names := []string{"a", "b", "c"}
		process, sick, back := map[string]int{}, map[string]Cause{}, map[string]time.Time{}
		var written []Restart
		evicted := map[string][]time.Time{}
		now := noon
		for range 400 {
			now = now.Add(time.Duration(r.IntN(60)) * time.Second)
			w := World{Now: now, Listed: true, Serving: map[string]bool{}, Done: written}
			for _, n := range names {
				if now.Before(back[n]) {
					continue
				}
				if sick[n] == "" && r.IntN(3) > 0 {
					sick[n] = []Cause{IO, DiskFull, Other}[r.IntN(3)]
				}
				if sick[n] == "" {
					w.Serving[n] = true
					continue
				}
				w.Pods = append(w.Pods, Pod{Name: n, Process: fmt.Sprint(process[n]), Cause: sick[n], Known: true, Needs: 1})
				if sick[n] == DiskFull && r.IntN(20) == 0 {
					sick[n] = "" // a person has seen to it
					process[n]++
				}
			}
			for _, v := range Decide(w) {
				switch v.Step {
				case Record:
					written = Remember(written, v, now)
				case Evict:
					if v.Cause == DiskFull {
						t.Fatalf("seed %d: a full one goes", seed)
					}
					for other, at := range back {
						if other != v.Pod && now.Before(at) {
							t.Fatalf("seed %d: %s goes while %s is away", seed, v.Pod, other)
						}
					}
					evicted[v.Pod] = append(evicted[v.Pod], now)
					process[v.Pod]++
					sick[v.Pod], back[v.Pod] = "", now.Add(time.Duration(r.IntN(200))*time.Second)
				}
			}
			if len(written) > PerStore {
				t.Fatalf("seed %d: %d are written down", seed, len(written))
			}
		}
		for n, at := range evicted {
			for i := PerPod; i < len(at); i++ {
				if at[i].Sub(at[i-PerPod]) < Hour-comesUp {
					t.Fatalf("seed %d: %s went %d times within %s", seed, n, PerPod+1, at[i].Sub(at[i-PerPod]))
				}
			}
		}
		if len(evicted) == 0 {
			t.Errorf("seed %d: none was restarted", seed)
		}
	}
}

// What counts is never forgotten, and there is an end of what is kept.
func TestRemember(t *testing.T) {
	contract.Row(t, 134)
	var w World
	done("a", 9, time.Minute, 59*time.Minute, time.Hour)(&w)
	got := Remember(w.Done, Verdict{Pod: "a", Process: "a/9", Cause: Other}, noon)
	want := []Restart{{"a", "a/8", IO, ago(59 * time.Minute)}, {"a", "a/9", Other, noon}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for i := range 2 * PerStore {
		got = Remember(got, Verdict{Pod: fmt.Sprint(i)}, noon)
	}
	if len(got) != PerStore || got[PerStore-1].Pod != fmt.Sprint(2*PerStore-1) {
		t.Errorf("%d are kept: %v", len(got), got)
	}
}
