// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
)

// results are the last things that recovery came to in each store, for the
// status of its WALStore.
type results struct {
	mu   sync.Mutex
	last map[types.UID]*v1alpha1.LastRecovery
	head map[types.UID]*v1alpha1.AuditStatus
}

func (r *results) note(root *Root, p *pass, t told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last, r.head = map[types.UID]*v1alpha1.LastRecovery{}, map[types.UID]*v1alpha1.AuditStatus{}
	}
	if o := outcomeWord(p); o != "" && !p.report.Gone {
		r.last[root.UID] = &v1alpha1.LastRecovery{
			Operation: string(p.report.Operation), Outcome: o, Time: t.status.Timing.HealedAt, Duration: duration(p.now.Sub(p.detected)),
		}
	}
	if h := p.report.Head; h.Number > 0 && (r.head[root.UID] == nil || int64(h.Number) > r.head[root.UID].HeadNumber) {
		r.head[root.UID] = &v1alpha1.AuditStatus{HeadNumber: int64(h.Number), HeadHash: h.Hash}
	}
}

func (r *results) of(uid types.UID) (*v1alpha1.LastRecovery, *v1alpha1.AuditStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[uid], r.head[uid]
}

func (r *results) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, uid)
	delete(r.head, uid)
}

func outcomeWord(p *pass) string {
	switch o := p.report.Outcome; {
	case o == nil && p.report.Complete:
		return "Discarded"
	case o == nil:
		return ""
	case o.Kind == manifest.KindPublish:
		return "Published"
	case o.Kind == manifest.KindRollBack:
		return "RolledBack"
	default:
		return "Abandoned"
	}
}

func duration(d time.Duration) *metav1.Duration {
	return &metav1.Duration{Duration: max(0, d).Round(time.Microsecond)}
}
