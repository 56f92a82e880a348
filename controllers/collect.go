// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// collectBound is how long one collection of a root may take.
const collectBound = 10 * time.Minute

// collecting is what is remembered of a root's collections.
type collecting struct {
	single
	at      time.Time        // not before
	version manifest.Version // that the newest one has seen
}

// collect lets go of a root's history, when there is enough of it and the last
// time is a while ago. A store in which nothing happens costs no request. The
// first time after a start is spread over an hour: many roots share one bucket.
func (r *WALStoreReconciler) collect(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory) {
	now := r.opt.Now()
	if m.collecting.at.IsZero() {
		m.collecting.at = now.Add(jitter(min(time.Hour, r.opt.CollectEvery)))
	}
	keep := retention(ws)
	newest := root.Manifest.View().Version
	if now.Before(m.collecting.at) || uint64(newest-m.collecting.version) < keep.Versions/4 {
		return
	}
	m.collecting.at, m.collecting.version = now.Add(jitter(r.opt.CollectEvery)), newest
	log := ctrl.LoggerFrom(ctx)
	ctx = context.WithoutCancel(ctx)
	m.collecting.ask(func() {
		ctx, cancel := context.WithTimeout(ctx, collectBound)
		defer cancel()
		c, err := root.Manifest.Collect(ctx, manifest.CollectOptions{
			Retention: keep, Pending: recovery.Pending(root.Bucket), By: r.opt.Process,
		})
		r.meters.collected(c, err)
		if err != nil {
			log.Info("old history was not collected; the next time tries again", "reason", short(err))
			return
		}
		log.Info("collected", "boundary", c.Boundary, "publications", c.Publications, "tableVersions", c.Versions, "bytes", c.Bytes, "heldBy", c.HeldBy)
	})
}

// retention is what a WALStore wants kept.
func retention(ws *v1alpha1.WALStore) manifest.Retention {
	keep := manifest.Retention{Versions: v1alpha1.DefaultRetainVersions, Age: v1alpha1.DefaultRetainAge}
	if v := ws.Spec.Retention.Versions; v > 0 {
		keep.Versions = uint64(v)
	}
	if a := ws.Spec.Retention.Age; a != nil {
		keep.Age = a.Duration
	}
	return keep
}
