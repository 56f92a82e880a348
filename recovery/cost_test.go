// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"fmt"
	"testing"

	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
)

func TestProbe(t *testing.T) {
	for _, n := range []int{1, 2, 5} {
		w := onMemory(t)
		b := fault.Wrap(w.disk)
		rec, err := w.recoverer(b)
		must(t, err)
		for round := range 2 {
			wr, err := w.writer(w.disk, "w")
			must(t, err)
			var ch []recovery.Change
			for i := range n {
				ch = append(ch, put(w.disk, fmt.Sprintf("t%d", i), fmt.Sprint(round)))
			}
			_, err = wr.Commit(ctx(t), checkpoint(ch...))
			must(t, err)
			dead := fault.Wrap(w.disk)
			dead.On(fault.PutIfAbsent, "manifest/").Nth(2).Crash(fault.Before)
			wr, err = w.writer(dead, "w")
			must(t, err)
			_, err = wr.Commit(ctx(t), checkpoint(ch...))
			t.Log(err)
			before := len(b.Calls())
			rep, err := rec.Recover(ctx(t), w.keys("recovery/")[0], ended)
			must(t, err)
			t.Log(n, rep.Verdict, rep.Complete, len(b.Calls())-before)
			for _, c := range b.Calls()[before:] {
				t.Log("   ", c)
			}
		}
	}
}
