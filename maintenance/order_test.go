// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package maintenance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

func TestStoresOfOneFreeze(t *testing.T) {
	contract.Row(t, 112, 113)
	at := View{Date: noon}
	held, drains, others := at, at, at
	held.Lock, held.Took = lock("M1", manifest.Frozen), true
	drains.Lock, drains.Took, drains.Pods = lock("M1", manifest.Draining), true, []Pod{pod("a", func(p *Pod) { p.Word.InFlight = 1 })}
	others.Lock = lock("M2", manifest.Frozen)
	ended := View{Date: noon, Took: true, Ended: &manifest.EndedLock{Owner: "M1", How: manifest.KindRelease, Version: 9}}
	minute := terms
	minute.DrainFor = time.Minute
	late := drains
	late.Date = noon.Add(time.Minute)
	for _, c := range []struct {
		name  string
		terms Terms
		views map[string]View
		want  string
		sum   State
	}{
		{"all free: the first by name", terms, map[string]View{"b": at, "a": at, "c": at}, "a Requested Take, b Requested , c Requested ", Requested},
		{"the first is there", terms, map[string]View{"b": at, "a": drains, "c": at}, "a Draining , b Requested Take, c Requested ", Requested},
		{"the second is another's", terms, map[string]View{"a": held, "b": others, "c": at}, "a Held , b Requested , c Requested ", Requested},
		{"all held", terms, map[string]View{"a": held, "b": held}, "a Held , b Held ", Held},
		{"one drains", terms, map[string]View{"a": held, "b": drains}, "a Held , b Draining ", Draining},
		{"one was thawed by hand", terms, map[string]View{"a": ended, "b": held, "c": at}, "a Released , b Held , c Released ", Held},
		{"one does not drain in time", minute, map[string]View{"a": held, "b": late, "c": at}, "leave: a Held , b Draining , c Requested Take", Requested},
		{"all over", terms, map[string]View{"a": ended, "b": ended}, "a Released , b Released ", Released},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.terms.Decide(c.views)
			var got []string
			for name, n := range p.Stores {
				got = append(got, fmt.Sprintf("%s %s %s", name, n.State, n.Step))
			}
			slices.Sort(got)
			line := strings.Join(got, ", ")
			if p.Leave {
				line = "leave: " + line
				if !strings.Contains(p.Why, "b: the drain's time is over: a (1 transactions in flight)") {
					t.Errorf("why: %s", p.Why)
				}
			}
			if s := Sum(p.Stores); line != c.want || s.State != c.sum {
				t.Errorf("%s; as a whole %+v", line, s)
			}
		})
	}
}

// Two freezes whose stores overlap, a thousand times: both are held in the end, one
// after the other where they share a store, and none waits for ever.
func TestOverlappingFreezesDoNotDeadlock(t *testing.T) {
	contract.Row(t, 113)
	rounds := contract.Scale(t, "two freezes with overlapping sets", 60, 1000)
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 113))
		w := newMany(t, 4)
		freezes := []*freeze{w.freeze("M1", r), w.freeze("M2", r)}
		shared, held, both := overlap(freezes), map[string]bool{}, false
		for step := 0; ; step++ {
			if step > 400 {
				t.Fatalf("seed %d: no end: %s", seed, w)
			}
			f := freezes[r.IntN(2)]
			f.step(r)
			together := 0
			for _, f := range freezes {
				if s := Sum(f.plan().Stores); s.Held == len(f.names) {
					held[f.Owner], together = true, together+1
				}
			}
			both = both || together == 2
			if f.state() == Held && r.IntN(3) == 0 {
				f.Leave = true
			}
			if freezes[0].state() == Released && freezes[1].state() == Released {
				break
			}
		}
		if len(held) != 2 {
			t.Fatalf("seed %d: only %v was ever held", seed, held)
		}
		if shared && both {
			t.Fatalf("seed %d: both held a store that they share", seed)
		}
		for name, m := range w.stores {
			if st, err := m.Latest(t.Context()); err != nil || st.Lock != nil {
				t.Fatalf("seed %d: store %s is left with %+v, %v", seed, name, st.Lock, err)
			}
		}
	}
}

// many are stores with manifests of their own.
type many struct {
	t      *testing.T
	stores map[string]*manifest.Store
	ids    int
}

func newMany(t *testing.T, n int) *many {
	w := &many{t: t, stores: map[string]*manifest.Store{}}
	for i := range n {
		b := mem.New(mem.Options{Now: func() time.Time { return noon }})
		id := func() string { w.ids++; return fmt.Sprintf("ID%d", w.ids) }
		if _, err := manifest.CreateIdentity(t.Context(), b, id(), id(), nil); err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Open(t.Context(), b, manifest.Options{NewID: id, Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		w.stores[string(rune('a'+i))] = m
	}
	return w
}

func (w *many) String() string {
	var out []string
	for name, m := range w.stores {
		if l := m.View().Lock; l != nil {
			out = append(out, name+" "+l.Owner+" "+string(l.Mode))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// freeze does what is decided, one step at a time, in an order of chance.
type freeze struct {
	Terms
	w     *many
	names []string
	took  map[string]bool
}

func (w *many) freeze(owner string, r *rand.Rand) *freeze {
	f := &freeze{Terms: terms, w: w, took: map[string]bool{}}
	f.Owner = owner
	for name := range w.stores {
		f.names = append(f.names, name)
	}
	slices.Sort(f.names)
	r.Shuffle(len(f.names), func(i, j int) { f.names[i], f.names[j] = f.names[j], f.names[i] })
	f.names = f.names[:2+r.IntN(len(f.names)-1)]
	return f
}

func overlap(f []*freeze) bool {
	return slices.ContainsFunc(f[0].names, func(n string) bool { return slices.Contains(f[1].names, n) })
}

func (f *freeze) plan() Plan {
	views := map[string]View{}
	for _, name := range f.names {
		st, err := f.w.stores[name].Latest(context.Background())
		if err != nil {
			f.w.t.Fatal(err)
		}
		v := View{Lock: st.Lock, Date: noon, Took: f.took[name]}
		if st.EndedLock != nil && st.EndedLock.Owner == f.Owner {
			v.Ended = st.EndedLock
		}
		views[name] = v
	}
	return f.Decide(views)
}

func (f *freeze) state() State { return Sum(f.plan().Stores).State }

func (f *freeze) step(r *rand.Rand) {
	p := f.plan()
	names := Order(f.names)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		m, by := f.w.stores[name], manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(f.Owner)}
		l := manifest.Lock{Owner: f.Owner, Reason: f.Reason, Mode: manifest.Draining, Since: noon, Until: f.Until}
		var err error
		switch p.Stores[name].Step {
		case StepTake:
			_, err = m.Lock(context.Background(), by, l)
			f.took[name] = err == nil
		case StepHold:
			l.Mode = manifest.Frozen
			_, err = m.Lock(context.Background(), by, l)
		case StepRelease:
			_, err = m.Release(context.Background(), by, f.Owner)
		default:
			continue
		}
		if err != nil {
			f.w.t.Fatalf("%s %s: %v", p.Stores[name].Step, name, err)
		}
		return
	}
}
