// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
)

// freshFor is how long a container may take from its start to its first word before
// somebody is told that it does not report.
const freshFor = 20 * time.Second

// Pods are the writers of a store as a maintenance sees them: every pod, and every
// writer that has an epoch in the manifest.
func (s *Streams) Pods(root *Root) (out []maintenance.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watched[root.UID]
	if w == nil {
		return nil
	}
	epochs, now := root.Manifest.View().Writers, s.opt.Now()
	for id, wr := range w.writers {
		p := maintenance.Pod{Name: string(id), Epoch: epochs[id], Dead: !wr.ready, Fresh: wr.ready && now.Sub(wr.since) < freshFor}
		if wr.ready && wr.status != nil && wr.status.Store == root.ID() {
			p.Word = wordOf(wr.status)
		}
		out = append(out, p)
	}
	for id, e := range epochs {
		if id != manifest.Recoverer && w.writers[id] == nil {
			out = append(out, maintenance.Pod{Name: string(id), Epoch: e, Dead: true})
		}
	}
	slices.SortFunc(out, func(a, b maintenance.Pod) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func wordOf(st *control.Status) *maintenance.Word {
	return &maintenance.Word{
		Process: manifest.ProcessID(st.Process), Epoch: st.Epoch, Manifest: manifest.Version(st.Manifest), Lock: st.Lock,
		InFlight: st.InFlight, Open: st.Open, Durable: st.Durable, Published: st.Published, Written: st.Written,
	}
}

// RefreshAll asks every live process of a store to read the manifest.
func (s *Streams) RefreshAll(root *Root) {
	s.mu.Lock()
	var ids []manifest.WriterID
	if w := s.watched[root.UID]; w != nil {
		for id := range w.writers {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	for _, id := range ids {
		s.Refresh(root, id)
	}
}

// drains reports whether a status says something that a maintenance waits for.
func drains(before, now *control.Status) bool {
	if before == nil {
		return now.Lock != ""
	}
	return before.Lock != now.Lock || now.Lock != "" && (before.InFlight != now.InFlight || len(before.Open) != len(now.Open) || before.Manifest != now.Manifest)
}
