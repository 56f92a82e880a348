// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// clock is the operator's: it runs at a multiple of the real one, and can be put
// forward. Timers run by the real one, so who uses it nudges the store.
type clock struct {
	speed time.Duration

	mu    sync.Mutex
	began time.Time
	ahead time.Duration
}

func newClock(speed time.Duration) *clock { return &clock{speed: speed, began: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began.Add(c.speed*time.Since(c.began) + c.ahead)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// nudge makes the operator pass over a store: something about its StatefulSet
// changed that is none of its business.
func (w *world) nudge(store string) {
	w.t.Helper()
	w.nudges++
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"nudge":"%d"}}}`, w.nudges)
	must(w.t, w.client.Patch(w.ctx, w.set(store), client.RawPatch(types.MergePatchType, []byte(patch))))
}
