// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/test/contract"
)

// A store that nobody writes to asks object storage for nothing, for as long as
// that lasts: what others publish is told to it (control, refresh), and what it
// could have missed it learns before it publishes.
func TestAnIdleStoreAsksForNothing(t *testing.T) {
	contract.Row(t, 164)
	for name, self := range map[string]bool{"an operator recovers": false, "it recovers itself": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.start(func(o *store.Options) {
					o.Checkpoint = 10 * time.Second
					if self {
						o.Keyring = w.keys
					}
				})
				defer p.stop()
				p.must(put("accounts", "alice", "1"))
				time.Sleep(time.Minute) // by the bubble's clock, as the day below
				if w.state().Ref("accounts").IsZero() && w.state().Ref("ledger-0.accounts").IsZero() {
					t.Fatal("the checkpoint of a minute ago was not published")
				}
				before := len(p.bucket.Calls())
				time.Sleep(24 * time.Hour)
				if asked := p.bucket.Calls()[before:]; len(asked) != 0 {
					t.Errorf("in an idle day it asked %d times, as for %v", len(asked), asked[0])
				}
			})
		})
	}
}
