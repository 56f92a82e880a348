// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/rand"
	"net"
	"time"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// Options are what the operator takes from outside. Every zero value is good.
type Options struct {
	// Process names this operator process in the entries and rows that it writes.
	// Default: a random id.
	Process manifest.ProcessID
	// ClusterID tells this cluster from others in the claims of roots. Default: the
	// uid of the namespace kube-system.
	ClusterID string
	// AmbientRoots are the roots, as URIs or as prefixes of them that end in a slash,
	// that may be opened with the operator's own cloud identity; for Azure with
	// ?storage_account=NAME where spec.root.storageAccount names one. Default: none.
	AmbientRoots []string
	// AllowLocalRoots takes file:// and mem:// roots.
	AllowLocalRoots bool
	// MaxStreams bounds the status streams; writers beyond it are watched by their
	// pods' status and the sweep. Default 1,000.
	MaxStreams int
	// SweepEvery is the time between two listings of a root, with jitter. Default 10
	// minutes.
	SweepEvery time.Duration
	// IdleSweepEvery is the time between two listings of a root in which nothing
	// happens and whose pods all report. Default six times SweepEvery.
	IdleSweepEvery time.Duration
	// ProbeEvery is the time after which an open root has to show again that it keeps
	// its promises. Default 24 h.
	ProbeEvery time.Duration
	// CollectEvery is the time between two collections of a root's history. Default 24 h.
	CollectEvery time.Duration
	// OrphanAfter is how long a writer may be without a pod where its WALStore does
	// not say. Default 5 minutes.
	OrphanAfter time.Duration
	// Concurrency is how many operations are recovered at the same time. Those of one
	// store share publications, audit objects and reading, so many at a time cost
	// less than few. Default 256.
	Concurrency int
	// Retain is how long a finished RecoverySidecar stays, RetainMost how many of
	// them stay in a store. Defaults 24 h, 200.
	Retain     time.Duration
	RetainMost int
	// StoreImage is the image of managed stores that name none.
	StoreImage string
	// Detect tunes suspicion and self-doubt.
	Detect detect.Options
	// Backoff is the first pause after a failure; it doubles up to BackoffMost.
	// Defaults 1 s, 5 minutes.
	Backoff, BackoffMost time.Duration
	// PassTimeout bounds what one pass asks of an object store. Default 45 s.
	PassTimeout time.Duration
	// HookTries is how often a pre hook is tried in one container before it has failed.
	// Default 5.
	HookTries int
	// UndoFor is how long after the end of a maintenance its hooks are undone. Default 15
	// minutes.
	UndoFor time.Duration
	// Attempts is how many failures in a row one operation may have before it is
	// Stalled. Default 20.
	Attempts int
	// StatusEvery is the least time between two status writes of one WALStore that
	// change no condition. Default 1 s.
	StatusEvery time.Duration
	// Leads returns an error when this process is not the operator that acts (any
	// more). It is asked right before each step of a roll-back. Default: it is, which is
	// right where nobody elects: the epoch in each store's manifest decides.
	Leads func(ctx context.Context) error
	// Nodes lets the operator see nodes that are about to go. It needs the right to list
	// and watch them.
	Nodes bool
	// SkipNameValidation lets several managers live in one process.
	SkipNameValidation bool

	// OpenBucket opens what a WALStore names as its root. Default: by its scheme.
	OpenBucket func(ctx context.Context, root v1alpha1.Root, with Access) (objstore.Bucket, error)
	// DialContext connects to a store pod. Default a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// NewID returns a fresh unique id. Default crypto/rand.Text.
	NewID func() string
}

func (o Options) withDefaults() Options {
	if o.NewID == nil {
		o.NewID = rand.Text
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Process == "" {
		o.Process = manifest.ProcessID("operator-" + o.NewID())
	}
	if o.Leads == nil {
		o.Leads = func(context.Context) error { return nil }
	}
	if o.OpenBucket == nil {
		o.OpenBucket = OpenBucket
	}
	for _, d := range []struct {
		p  *int
		to int
	}{{&o.MaxStreams, 1000}, {&o.Concurrency, 256}, {&o.RetainMost, 200}, {&o.Attempts, 20}, {&o.HookTries, 5}} {
		if *d.p == 0 {
			*d.p = d.to
		}
	}
	for _, d := range []struct {
		p  *time.Duration
		to time.Duration
	}{
		{&o.SweepEvery, 10 * time.Minute}, {&o.CollectEvery, 24 * time.Hour}, {&o.OrphanAfter, v1alpha1.DefaultOrphanAfter}, {&o.Retain, 24 * time.Hour},
		{&o.UndoFor, hookUndoFor}, {&o.ProbeEvery, 24 * time.Hour}, {&o.Backoff, time.Second}, {&o.BackoffMost, 5 * time.Minute}, {&o.StatusEvery, time.Second}, {&o.PassTimeout, 45 * time.Second},
	} {
		if *d.p == 0 {
			*d.p = d.to
		}
	}
	if o.IdleSweepEvery == 0 {
		o.IdleSweepEvery = 6 * o.SweepEvery
	}
	return o
}
