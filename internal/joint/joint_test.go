// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package joint

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestTheLastOneEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := []error{errors.New("first"), errors.New("second"), errors.New("third")}
		var all []context.Context
		var end []context.CancelCauseFunc
		for range why {
			ctx, cancel := context.WithCancelCause(t.Context())
			all, end = append(all, ctx), append(end, cancel)
		}
		ctx, release := Context(all)
		defer release()
		for _, i := range []int{2, 0} {
			end[i](why[i])
			synctest.Wait()
			if ctx.Err() != nil {
				t.Fatalf("%v ended it for the others", why[i])
			}
		}
		end[1](why[1])
		synctest.Wait()
		if got := context.Cause(ctx); !errors.Is(got, why[1]) {
			t.Errorf("ended for %v", got)
		}
	})
}

func TestOneIsItsOwn(t *testing.T) {
	ctx, release := Context([]context.Context{t.Context()})
	release()
	if ctx != t.Context() {
		t.Error("a single caller's context is wrapped")
	}
}
