// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

var update = flag.Bool("update", false, "write the golden files anew")

// costs are object requests, counted at the bucket: of each thing that is done,
// the same wherever it was done.
type costs struct {
	t     *testing.T
	order []string
	of    map[string]string
	where map[string]string
}

func (c *costs) add(what, where, cost string) {
	c.t.Helper()
	if was, ok := c.of[what]; ok {
		if was != cost {
			c.t.Errorf("%s: after %s it costs %s, after %s %s", what, c.where[what], was, where, cost)
		}
		return
	}
	c.order = append(c.order, what)
	c.of[what], c.where[what] = cost, where
}

// golden compares with testdata/<name>, or writes it.
func (c *costs) golden(name string) {
	c.t.Helper()
	path, got := "testdata/"+name, ""
	for _, what := range c.order {
		got += fmt.Sprintf("%-42s %s\n", what, c.of[what])
	}
	if *update {
		must(c.t, os.MkdirAll("testdata", 0o755))
		must(c.t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(c.t, err)
	if got != string(want) {
		c.t.Errorf("%s:\n%s\nwant:\n%s", path, got, want)
	}
}

// counted says what f asks of the bucket: "3: put manifest 2, list boundary 1".
func counted(b *fault.Bucket, f func()) string {
	before := len(b.Calls())
	f()
	calls := b.Calls()[before:]
	var order []string
	n := map[string]int{}
	for _, c := range calls {
		dir, _, _ := strings.Cut(c.Key, "/")
		what := strings.TrimSuffix(strings.ToLower(c.Verb.String()), "ifabsent") + " " + dir
		if n[what]++; n[what] == 1 {
			order = append(order, what)
		}
	}
	for i, what := range order {
		order[i] = fmt.Sprintf("%s %d", what, n[what])
	}
	return fmt.Sprintf("%d: %s", len(calls), strings.Join(order, ", "))
}

// long is a store with a history, as a recoverer keeps it: outcomes are trimmed.
type long struct {
	*root
	b  *fault.Bucket
	s  *manifest.Store
	by manifest.Publisher
	n  int
}

func newLong(t *testing.T) *long {
	l := &long{root: newRoot(t)}
	l.b = fault.Wrap(l.disk)
	l.s = l.opened(l.b)
	l.by = l.writer(l.s, "w")
	return l
}

func (l *long) opened(b objstore.Bucket) *manifest.Store {
	s, err := manifest.Open(l.t.Context(), b, manifest.Options{NewID: l.id, Now: l.clock, Sleep: l.sleep})
	must(l.t, err)
	return s
}

// publish moves one of ten tables, as publication v.
func (l *long) publish(v manifest.Version) manifest.Published {
	p, err := l.s.Publish(l.t.Context(), move(l.s.View(), l.by, fmt.Sprintf("OP%08d", v), fmt.Sprintf("table-%02d", v%10)))
	must(l.t, err)
	must(l.t, p.CheckpointErr)
	return p
}

// upTo publishes until the version is v, one object a publication.
func (l *long) upTo(v manifest.Version) {
	for l.s.View().Version < v {
		st := l.s.View()
		if len(st.Outcomes) < 2048 {
			l.publish(st.Version + 1)
			continue
		}
		low := st.Outcomes[1023].Version
		_, err := l.s.Publish(l.t.Context(), manifest.Publication{
			By: manifest.Publisher{Role: manifest.RoleRecovery, Process: "R"},
			Entries: []manifest.Entry{
				{Kind: manifest.KindAnnounce, LowWater: low}, {Kind: manifest.KindTrim, LowWater: low},
			},
		})
		must(l.t, err)
	}
}

// tables brings the store to n tables, in one publication.
func (l *long) tables(n int) {
	var names []string
	for i := len(l.s.View().Tables); i < n; i++ {
		names = append(names, fmt.Sprintf("table-%05d", i))
	}
	_, err := l.s.Publish(l.t.Context(), move(l.s.View(), l.by, l.id(), names...))
	must(l.t, err)
}

// TestRequestsDoNotGrow counts what is asked of the object store: after one and
// after ten thousand publications, with ten and with ten thousand tables.
func TestRequestsDoNotGrow(t *testing.T) {
	contract.Row(t, 128)
	synctest.Test(t, func(t *testing.T) {
		c := &costs{t: t, of: map[string]string{}, where: map[string]string{}}
		var bytes []int
		for _, history := range []manifest.Version{1, 10_000} {
			l := newLong(t)
			early := l.opened(l.b)
			l.upTo(history + 1) // the first is a registration
			for _, tables := range []int{10, 10_000} {
				for next := l.s.View().Version; uint64(next)%64 != 1; next = l.s.View().Version {
					l.publish(next + 1) // the same distance to a checkpoint everywhere
				}
				l.tables(tables)
				where := fmt.Sprintf("%d publications, %d tables", history, tables)
				bytes = append(bytes, l.measure(c, where))
			}
			if history > 1 {
				c.add("look, 10,000 publications behind", fmt.Sprintf("%d publications", history), counted(l.b, func() {
					_, err := early.Latest(t.Context())
					must(t, err)
				}))
			}
		}
		c.golden("requests.golden")
		// The numbers in it have more digits; that is all.
		if least, most := slices.Min(bytes), slices.Max(bytes); most > least+16 || most > 640 {
			t.Errorf("bytes of a publication: %d", bytes)
		}
	})
}

// measure returns the bytes of a lone publication.
func (l *long) measure(c *costs, where string) int {
	t := l.t
	next := func() manifest.Version { return l.s.View().Version + 1 }
	var one manifest.Published
	c.add("publish, alone", where, counted(l.b, func() { one = l.publish(next()) }))
	raw, _, err := manifest.EncodeBatch(one.Batch)
	must(t, err)
	c.add("publish, then 16 at once", where, counted(l.b, func() { l.group(16) }))
	c.add("look, nothing new", where, counted(l.b, func() {
		_, err := l.s.Latest(t.Context())
		must(t, err)
	}))
	for uint64(next())%64 != 0 {
		l.publish(next())
	}
	c.add("open, 63 publications after a checkpoint", where, counted(l.b, func() { l.opened(l.b) }))
	c.add("64 publications, with their checkpoint", where, counted(l.b, func() {
		for range 64 {
			l.publish(next())
		}
	}))
	return len(raw)
}

// group publishes one, and n at once while the first is on its way.
func (l *long) group(n int) {
	gate := l.b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
	p := newPublisher(l.t, l.s)
	st := l.s.View()
	for i := range n + 1 {
		p.send(l.t.Context(), move(st, l.by, l.id(), fmt.Sprintf("group-%02d", i)))
	}
	gate.Release()
	for op, r := range p.results() {
		if r.err != nil {
			l.t.Errorf("%s: %v", op, r.err)
		}
	}
}
