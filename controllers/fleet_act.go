// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance/rollout"
	"github.com/salvor-io/salvor/manifest"
)

const (
	// drainLasts is how long a pod that was asked to drain takes no writes, if nothing
	// comes of it; then it serves for as long before it is asked again.
	drainLasts = time.Minute
	// hastenLasts is how long a pod publishes every second before it is asked again.
	hastenLasts = 10 * time.Minute
	// changeLook is how often a pod that drains, comes or goes is looked at; stuckLook
	// how often while it waits for something else.
	changeLook, stuckLook = time.Second, 15 * time.Second
)

// issued is an order that this operator has given.
type issued struct {
	id      string
	process string
	mode    manifest.OrderMode
	at      time.Time
}

// plan decides the next step for the pods of a managed store, and does what of it is
// not done by applying the StatefulSet.
func (r *WALStoreReconciler) plan(ctx context.Context, ws *v1alpha1.WALStore, root *Root, set *appsv1.StatefulSet, members map[string]member, m *memory) (c change) {
	w := r.fleet(ws, root, set, members)
	c.next = rollout.Decide(w)
	switch c.next.Step {
	case rollout.Shrink, rollout.Replace: // what was decided over may be a while old
		if c.failed = r.fresh(ctx, root); c.failed != nil {
			break
		}
		if members, c.failed = r.members(ctx, ws, root); c.failed == nil {
			c.next = rollout.Decide(r.fleet(ws, root, set, members))
		}
	case rollout.Drain:
		name := podName(ws, c.next.Pod)
		c.failed = r.give(ctx, root, m, members[name], manifest.Drain, "the pod is to be replaced or removed")
	case rollout.Fence:
		c.failed = r.fence(ctx, ws, root, c.next.Fence)
	}
	if c.failed != nil {
		c.next = rollout.Next{Step: rollout.Wait, Pod: c.next.Pod, Why: c.next.Why, Says: c.next.Says + ": " + short(c.failed)}
	}
	if c.next.Pod >= 0 {
		c.pod = podName(ws, c.next.Pod)
	}
	r.withdraw(ctx, root, m, members, c)
	return c
}

// fresh makes sure that this operator still acts, and knows the newest manifest.
func (r *WALStoreReconciler) fresh(ctx context.Context, root *Root) error {
	if err := r.opt.Leads(ctx); err != nil {
		return err
	}
	_, err := root.Manifest.Latest(ctx)
	return err
}

// give asks a process for something, once, and reminds it until it heeds that. One that
// did not manage in time is left alone for a while.
func (r *WALStoreReconciler) give(ctx context.Context, root *Root, m *memory, to member, mode manifest.OrderMode, reason string) error {
	if to.status == nil {
		return nil
	}
	name, now := to.pod.Name, r.opt.Now()
	lasts := drainLasts
	if mode == manifest.Hasten {
		lasts = hastenLasts
	}
	was, had := m.orders[name]
	same := had && was.process == to.status.Process && was.mode == mode
	switch {
	case same && now.Sub(was.at) < lasts:
		if to.status.Order != was.id {
			r.streams.Tell(root, manifest.WriterID(name), was.id)
		}
		return nil
	case same && mode == manifest.Drain && now.Sub(was.at) < 2*lasts:
		return nil
	}
	if _, err := manifest.DropOrders(ctx, root.Bucket, manifest.WriterID(name), ""); err != nil {
		return err
	}
	id := r.opt.NewID()
	err := manifest.PutOrder(ctx, root.Bucket, id, manifest.Order{
		Store: root.ID(), Writer: manifest.WriterID(name), Process: manifest.ProcessID(to.status.Process), Mode: mode,
		Reason: reason, By: string(r.opt.Process), Lasts: manifest.Seconds(lasts / time.Second),
	})
	if err != nil {
		return err
	}
	if m.orders == nil {
		m.orders = map[string]issued{}
	}
	m.orders[name] = issued{id: id, process: to.status.Process, mode: mode, at: now}
	r.streams.Tell(root, manifest.WriterID(name), id)
	return nil
}

// withdraw lets a pod serve that was asked to drain for something that is not wanted any
// more. It is one that says that it heeds an order; whatever this operator remembers.
func (r *WALStoreReconciler) withdraw(ctx context.Context, root *Root, m *memory, members map[string]member, c change) {
	wanted := c.next.Step == rollout.Drain || c.next.Step == rollout.Shrink || c.next.Step == rollout.Replace ||
		c.next.Why == rollout.WhyDraining || c.next.Why == rollout.WhyRemoving || c.next.Why == rollout.WhyReplacing
	for name, to := range members {
		if to.status == nil || to.status.Order == "" || to.status.State != control.Draining || wanted && name == c.pod {
			continue
		}
		r.takeBack(ctx, root, m, name)
	}
}

// takeBack ends the orders of a writer. If that fails they end by themselves.
func (r *WALStoreReconciler) takeBack(ctx context.Context, root *Root, m *memory, name string) {
	if _, err := manifest.DropOrders(ctx, root.Bucket, manifest.WriterID(name), ""); err == nil {
		delete(m.orders, name)
		r.streams.Refresh(root, manifest.WriterID(name))
	}
}

// Tell asks the process of a writer to read an order.
func (s *Streams) Tell(root *Root, id manifest.WriterID, order string) {
	s.nudge(root, id, func(ctx context.Context, addr string, opt control.DialOptions) error {
		return control.RefreshOrder(ctx, addr, order, opt)
	})
}

// fence ends the epochs of writers whose pods were removed, and takes their orders away.
func (r *WALStoreReconciler) fence(ctx context.Context, ws *v1alpha1.WALStore, root *Root, numbers []int) error {
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: r.opt.Process} // a fence names what it ends: it needs no reign
	var entries []manifest.Entry
	st := root.Manifest.View()
	for _, n := range numbers {
		id := manifest.WriterID(podName(ws, n))
		if epoch := st.Writers[id]; epoch.Process != "" {
			entries = append(entries, manifest.Fence(id, epoch))
		}
		if _, err := manifest.DropOrders(ctx, root.Bucket, id, ""); err != nil {
			return err
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := root.Manifest.Publish(ctx, manifest.Publication{By: by, Entries: entries}); err != nil {
		return fmt.Errorf("end the epochs of writers that were removed: %w", err)
	}
	r.streams.Learned(root)
	return nil
}

// look is when a change is looked at again; 0: nothing is under way.
func (c change) look() time.Duration {
	switch c.next.Why {
	case rollout.WhySettled, rollout.WhySuspended, "":
		return 0
	case rollout.WhyLocked, rollout.WhyWindow, rollout.WhyCannotDrain, rollout.WhyStopped:
		return stuckLook
	default:
		return changeLook
	}
}
