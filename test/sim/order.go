// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"maps"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/objstore/fault"
)

// op is a request, as far as it matters for the order of requests.
type op struct {
	process string
	verb    fault.Verb // 0: asleep
	key     string
}

// everything is the key of what is dependent on whatever others do: the clock.
const everything = "*"

// dependent reports whether the order of two requests of different processes can
// matter. Two reads commute, and so does everything that touches different keys.
func dependent(a, b op) bool {
	switch {
	case a.key == everything || b.key == everything:
		return true
	case a.verb == 0 || b.verb == 0:
		return false
	case !a.verb.Durable() && !b.verb.Durable(), a.verb == fault.Delete && b.verb == fault.Delete:
		return false
	case a.verb == fault.List:
		return strings.HasPrefix(b.key, a.key)
	case b.verb == fault.List:
		return strings.HasPrefix(a.key, b.key)
	default:
		return a.key == b.key
	}
}

// node is a point of a run at which somebody was chosen.
type node struct {
	enabled map[string]op // by client, everybody who stood before the bucket
	taken   string
	done    map[string]bool // every continuation with this client first was seen
	todo    map[string]bool // a run showed that this client's turn may matter here
	asleep  map[string]op   // whatever begins with them was seen from another branch
}

// orders visits the orders of a program's requests: of all orders that differ
// only in requests that commute, at least one, and hardly ever more (dynamic
// partial-order reduction after Flanagan and Godefroid, with sleep sets). A run
// is always made from the start; what it does depends on nothing but the order.
type orders struct {
	nodes []*node
	depth int // of the run that goes on
	last  string
	// Cut: the run went where another has been; its end says nothing new.
	cut bool
	// strays are runs that left the order that was prescribed. What lies behind that
	// place is explored once more.
	strays int
}

// straysMost is how many strays of one exploration, of thousands of runs, are put
// down to Go's scheduler: it takes the processor from a goroutine after 10 ms of the
// machine's time, and a neighbour in the same process may overtake it there. On an
// idle machine there are none.
const straysMost = 5

// next implements chooser.
func (o *orders) next(_ *World, parked []*request) (int, Fate) {
	enabled, index, names := map[string]op{}, map[string]int{}, []string{}
	for i, r := range parked {
		name := r.who()
		if _, two := enabled[name]; two {
			panic("sim: one thread makes two requests at once")
		}
		enabled[name], index[name], names = op{name, r.verb, r.key}, i, append(names, name)
	}
	if o.depth < len(o.nodes) {
		if n := o.nodes[o.depth]; !has(enabled, n.taken) || !maps.Equal(n.enabled, enabled) {
			if o.strays++; o.strays > straysMost {
				panic("sim: a run is not what it was the last time, again and again: something depends on chance")
			}
			o.nodes = o.nodes[:o.depth]
		}
	}
	if o.depth == len(o.nodes) {
		n := &node{enabled: enabled, done: map[string]bool{}, todo: map[string]bool{}, asleep: o.inherit()}
		o.nodes = append(o.nodes, n)
		if n.taken = o.usual(n, names); n.taken == "" {
			o.cut = true
			return -1, Arrives
		}
		n.todo[n.taken] = true
	}
	n := o.nodes[o.depth]
	o.depth++
	o.last = n.taken
	return index[n.taken], Arrives
}

func has(enabled map[string]op, c string) bool {
	_, ok := enabled[c]
	return ok
}

// inherit is who sleeps at the next node: whatever could begin with them here was
// seen before, and the request just taken does not change that.
func (o *orders) inherit() map[string]op {
	asleep := map[string]op{}
	if len(o.nodes) == 0 {
		return asleep
	}
	n := o.nodes[len(o.nodes)-1]
	took := n.enabled[n.taken]
	for c, q := range n.asleep {
		if c != n.taken && !dependent(q, took) {
			asleep[c] = q
		}
	}
	for c := range n.done {
		if q := n.enabled[c]; c != n.taken && !dependent(q, took) {
			asleep[c] = q
		}
	}
	return asleep
}

// usual is who goes on when nothing is prescribed: the same as before, unless it
// sleeps; "" if everybody has been seen.
func (o *orders) usual(n *node, names []string) string {
	best, rank := "", 0
	for _, c := range names {
		if _, seen := n.asleep[c]; seen {
			continue
		}
		r := 1
		if n.enabled[c].verb != 0 {
			if r = 2; c == o.last {
				r = 3
			}
		}
		if r > rank {
			best, rank = c, r
		}
	}
	return best
}

// again prepares the next run; false when there is none.
func (o *orders) again() bool {
	o.races()
	for len(o.nodes) > 0 {
		n := o.nodes[len(o.nodes)-1]
		if n.taken != "" {
			n.done[n.taken] = true
		}
		for _, c := range slices.Sorted(maps.Keys(n.todo)) {
			if _, seen := n.asleep[c]; !seen && !n.done[c] {
				n.taken = c
				o.depth, o.last, o.cut = 0, "", false
				return true
			}
		}
		o.nodes = o.nodes[:len(o.nodes)-1]
	}
	return false
}

// races looks for pairs of requests of the run whose order could have been the
// other one, and notes it where the first of them was chosen.
func (o *orders) races() {
	n := len(o.nodes)
	var ops []op
	var at []int // which node an op was taken at; the pending ones at the end have none
	for i := range n {
		if o.nodes[i].taken != "" {
			ops, at = append(ops, o.nodes[i].enabled[o.nodes[i].taken]), append(at, i)
		}
	}
	taken := len(ops)
	if n > 0 && o.nodes[n-1].taken == "" { // cut: what stood there counts as if it had come next
		for _, c := range slices.Sorted(maps.Keys(o.nodes[n-1].enabled)) {
			ops = append(ops, o.nodes[n-1].enabled[c])
		}
	}
	before := make([][]bool, len(ops)) // before[j][i]: i happens before j
	for j, b := range ops {
		h := make([]bool, taken)
		for i := min(j, taken) - 1; i >= 0; i-- {
			a := ops[i]
			switch {
			case h[i]: // by way of another
			case a.process == b.process:
			case dependent(a, b):
				o.note(at[i], b.process, ops, h, i, min(j, taken))
			default:
				continue
			}
			h[i] = true
			for k, v := range before[i] {
				h[k] = h[k] || v
			}
		}
		before[j] = h
	}
}

// note: at node i, process p should have a turn, or whoever leads to its request.
func (o *orders) note(at int, p string, ops []op, h []bool, i, j int) {
	n := o.nodes[at]
	if _, ok := n.enabled[p]; ok {
		n.todo[p] = true
		return
	}
	for k := i + 1; k < j; k++ {
		if _, ok := n.enabled[ops[k].process]; ok && h[k] {
			n.todo[ops[k].process] = true
			return
		}
	}
	for c := range n.enabled {
		n.todo[c] = true
	}
}

// path is the order of the run, for replay.
func (o *orders) path() []string {
	var out []string
	for _, n := range o.nodes[:o.depth] {
		if n.taken != "" {
			out = append(out, n.taken)
		}
	}
	return out
}
