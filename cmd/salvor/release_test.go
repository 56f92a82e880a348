// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// A release outlasts an outage of a minute, also when its own answer was what the outage
// took. It is given up after a quarter of an hour, and at once where waiting helps nobody.
func TestAReleaseOutlastsAnOutage(t *testing.T) {
	contract.Row(t, 107, 108)
	refused := errors.New("connection refused")
	down := func(d time.Duration) func(*fault.Bucket) {
		return func(b *fault.Bucket) {
			back := time.Now().Add(d)
			b.When("an outage", func(fault.Call) bool { return time.Now().Before(back) }).Fail(refused)
		}
	}
	for _, c := range []struct {
		name   string
		breaks func(*fault.Bucket)
		takes  [2]time.Duration // at least, at most
		err    string           // "": released
	}{
		{"no outage", func(*fault.Bucket) {}, [2]time.Duration{0, 0}, ""},
		{"a minute", down(time.Minute), [2]time.Duration{time.Minute, 66 * time.Second}, ""},
		{"the answer is lost, and then a minute", func(b *fault.Bucket) {
			b.On(fault.PutIfAbsent, "manifest/").Nth(1).LoseAnswer()
			back, lost := time.Now().Add(time.Minute), false
			b.When("an outage", func(c fault.Call) bool {
				was := lost
				lost = lost || c.Verb == fault.PutIfAbsent
				return was && time.Now().Before(back)
			}).Fail(refused)
		}, [2]time.Duration{time.Minute, 2 * time.Minute}, ""},
		{"twenty minutes", down(20 * time.Minute), [2]time.Duration{releaseFor, releaseFor + time.Minute}, "connection refused"},
		{"no right to", func(b *fault.Bucket) { b.On(fault.PutIfAbsent, "").Fail(objstore.ErrAccessDenied) }, [2]time.Duration{0, 0}, "access denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := mem.New(mem.Options{})
				open := func() *manifest.Store {
					m, err := manifest.Open(t.Context(), disk, manifest.Options{NewID: newID})
					ok(t, err)
					return m
				}
				by := manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}
				_, err := manifest.CreateIdentity(t.Context(), disk, "u", newID(), nil)
				ok(t, err)
				_, err = open().Lock(t.Context(), by, manifest.Lock{Owner: "M1", Reason: "restart", Mode: manifest.Frozen, Since: time.Now(), Until: time.Now().Add(time.Hour)})
				ok(t, err)
				door := fault.Wrap(disk)
				c.breaks(door)
				began := time.Now()
				var says strings.Builder
				ended, err := releasing{wait: releaseFor, stderr: io.Writer(&says)}.release(t.Context(), door, "M1")
				if took := time.Since(began); took < c.takes[0] || took > c.takes[1] {
					t.Errorf("it took %s", took)
				}
				st := open().View()
				if c.err != "" {
					if err == nil || !strings.Contains(err.Error(), c.err) || st.Lock == nil {
						t.Errorf("%v; lock %+v", err, st.Lock)
					}
					return
				}
				if err != nil || st.Lock != nil || st.EndedLock == nil || *st.EndedLock != ended || ended.How != manifest.KindRelease || st.Version != ended.Version {
					t.Errorf("%+v, %v; in the root %+v", ended, err, st.EndedLock)
				}
				if c.takes[0] > 0 && !strings.Contains(says.String(), "the root does not answer, trying until") {
					t.Errorf("it said %q", says.String())
				}
			})
		})
	}
}
