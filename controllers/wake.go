// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// The order in which a queue is worked off: a writer that was just seen to die
// comes before what a listing finds, and that before what a restart brings.
const (
	urgent     = 100
	normal     = 0
	background = handler.LowPriority
)

// wake is a source of requests that the API server knows nothing of: streams,
// pods and listings say that an object is worth another look.
type wake struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	early []call // before the controller was started
}

type call struct {
	key      types.NamespacedName
	priority int
	after    time.Duration
}

// Start implements source.Source.
func (w *wake) Start(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = q
	for _, c := range w.early {
		w.send(c)
	}
	w.early = nil
	return nil
}

// String names the source in logs.
func (w *wake) String() string { return "wake" }

// up asks for a look at key.
func (w *wake) up(key types.NamespacedName, priority int, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := call{key, priority, after}
	if w.queue == nil {
		w.early = append(w.early, c)
		return
	}
	w.send(c)
}

func (w *wake) send(c call) {
	req := reconcile.Request{NamespacedName: c.key}
	if pq, ok := w.queue.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		pq.AddWithOpts(priorityqueue.AddOpts{After: c.after, Priority: &c.priority}, req)
		return
	}
	w.queue.AddAfter(req, c.after)
}
