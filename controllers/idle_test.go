// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// idleMost is what the contract allows an idle store to ask for in any hour.
const idleMost = 12

// dated requests of an operator to a root.
type asked struct {
	mu  sync.Mutex
	all []ask
}

type ask struct {
	at   time.Time
	call fault.Call
}

func (a *asked) since(t time.Time) (out []ask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.all {
		if !q.at.Before(t) {
			out = append(out, q)
		}
	}
	return out
}

// looks splits requests where the operator paused.
func looks(all []ask, pause time.Duration) (out [][]ask) {
	for i, q := range all {
		if i == 0 || q.at.Sub(all[i-1].at) > pause {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], q)
	}
	return out
}

// An idle store over hours, by a clock that runs 1,200 times as fast, with every
// other setting as it is shipped: what the operator asks of the root, and that its
// pods ask for nothing.
func TestAnIdleStoreAsksForLittle(t *testing.T) {
	contract.Row(t, 164)
	const hour = time.Hour
	clk, all := newClock(1200), &asked{}
	w, pods := ledgerWorld(t, 3, func(w *world) {
		day := int(Options{}.withDefaults().ProbeEvery / hour)
		w.opt.Now, w.opt.SweepEvery = clk.now, 0
		w.opt.ProbeEvery = hour * time.Duration(contract.Scale(t, "hours between probes", 4, day))
		w.root.OnCall(func(c fault.Call) {
			all.mu.Lock()
			defer all.mu.Unlock()
			all.all = append(all.all, ask{clk.now(), c})
		})
	})
	began, calls := clk.now(), 0
	for _, p := range pods {
		calls += len(p.bucket.Calls())
	}
	var probe, sweep []ask
	tick := time.NewTicker(50 * time.Millisecond) // a minute of this clock: passes for no reason
	defer tick.Stop()
	for clk.now().Before(began.Add(w.opt.ProbeEvery + 8*hour)) {
		<-tick.C
		w.nudge("ledger")
	}
	idle := all.since(began.Add(hour)) // in the first hour it comes to rest
	for i, q := range idle {
		n := 0
		for _, later := range idle[i:] {
			if later.at.Sub(q.at) < hour {
				n++
			}
		}
		if n > idleMost {
			t.Fatalf("%d requests in the hour from %s: %s", n, q.at.Sub(began), requestsOf(idle[i:i+n]))
		}
	}
	for _, l := range looks(idle, hour/2) {
		if strings.HasPrefix(l[0].call.Key, "probe/") {
			probe = l
		} else {
			sweep = l
		}
	}
	n := 0
	for _, p := range pods {
		n += len(p.bucket.Calls())
	}
	got := fmt.Sprintf("a look, at most once an hour\n%sa probe, once a day, in the place of a look\n%spods\n  %d\n", requestsOf(sweep), requestsOf(probe), n-calls)
	golden(t, "idle_hour.txt", got)
}

// requestsOf lists requests without what is another one each time.
func requestsOf(all []ask) string {
	var b strings.Builder
	for _, q := range all {
		key := regexp.MustCompile(`^probe/[^/]+`).ReplaceAllString(q.call.Key, "probe/<id>")
		key = regexp.MustCompile(`[0-9]{20}`).ReplaceAllString(key, "<n>")
		fmt.Fprintf(&b, "  %s %s\n", q.call.Verb, key)
	}
	return b.String()
}

// golden compares with a file of testdata; UPDATE=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") == "1" {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if !bytes.Equal(want, []byte(got)) {
		t.Errorf("%s has changed; look whether that is meant, then run with UPDATE=1.\n--- it is\n%s--- it was\n%s", file, got, want)
	}
}
