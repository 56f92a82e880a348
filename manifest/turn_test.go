// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// A crowd that looks at the same time reads what is new once, and whoever came
// after a look began does not believe that look.
func TestACrowdReadsOnOnce(t *testing.T) {
	contract.Row(t, 128)
	synctest.Test(t, func(t *testing.T) {
		r := newRoot(t)
		other := r.open(r.disk)
		by := r.writer(other, "w")
		b := fault.Wrap(r.disk)
		s := r.open(b)
		publish := func(op string) {
			_, err := other.Publish(t.Context(), move(other.View(), by, op, "t"))
			must(t, err)
		}
		for i := range 5 {
			publish(fmt.Sprintf("OLD%d", i))
		}
		// The first look stands at the end of the line when something new comes.
		gate := b.On(fault.Get, manifest.Key(other.View().Version+1)).ParkAfter()
		before := b.Count(fault.Get)
		seen := make(chan manifest.Version, 100)
		look := func() {
			go func() {
				st, err := s.Latest(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				seen <- st.Version
			}()
			synctest.Wait()
		}
		look()
		publish("NEW")
		for range 50 {
			look()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		left, gone := make(chan error), errors.New("its client left")
		go func() {
			_, err := s.Latest(ctx)
			left <- err
		}()
		synctest.Wait()
		cancel(gone)
		if err := <-left; !errors.Is(err, gone) {
			t.Errorf("one that left was told %v", err)
		}
		gate.Release()
		if v := <-seen; v != other.View().Version-1 {
			t.Errorf("the first look saw %d", v)
		}
		for range 50 {
			if v := <-seen; v != other.View().Version {
				t.Errorf("a look that began after publication %d saw %d", other.View().Version, v)
			}
		}
		// Five old ones and the end; then the new one and the end.
		if n := b.Count(fault.Get) - before; n != 8 {
			t.Errorf("%d gets for 51 looks", n)
		}
	})
}

// Reading on to a version that is known costs nothing, and to one that is not
// costs what lies between.
func TestReadingOnToAVersion(t *testing.T) {
	contract.Row(t, 128)
	r := newRoot(t)
	other := r.open(r.disk)
	by := r.writer(other, "w")
	b := fault.Wrap(r.disk)
	s := r.open(b)
	for i := range 5 {
		_, err := other.Publish(t.Context(), move(other.View(), by, fmt.Sprintf("OP%d", i), "t"))
		must(t, err)
	}
	for _, c := range []struct {
		to   manifest.Version
		gets int
	}{{1, 0}, {4, 3}, {4, 0}, {2, 0}, {6, 2}} {
		before := b.Count(fault.Any)
		st, err := s.Through(t.Context(), c.to)
		must(t, err)
		if n := b.Count(fault.Any) - before; st.Version < c.to || n != c.gets {
			t.Errorf("to %d: at %d with %d requests, want %d", c.to, st.Version, n, c.gets)
		}
	}
}
