// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

// Pending is an operation that stands in the bucket, and how far it has come.
type Pending struct {
	Operation manifest.OperationID
	// Phase: armed, partly applied, applied, confirmed, published.
	Phase string
}

// Phases, in order.
var Phases = []string{"armed", "partly applied", "applied", "confirmed", "published"}

// PendingPhases reads what stands pending of one writer. The writer is stopped, and
// what it had sent has landed: nothing moves meanwhile.
func PendingPhases(ctx context.Context, b objstore.Bucket, writer string) ([]Pending, error) {
	listed, err := recovery.List(ctx, b)
	if err != nil {
		return nil, err
	}
	var out []Pending
	for _, l := range listed {
		if l.Lone {
			continue
		}
		s, err := recovery.Get(ctx, b, l.Key)
		if errors.Is(err, objstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if string(s.Writer) != writer {
			continue
		}
		phase, err := phaseOf(ctx, b, s, len(l.Companions) > 0)
		if err != nil {
			return nil, err
		}
		out = append(out, Pending{s.Operation, phase})
	}
	return out, nil
}

// phaseOf reads it from the bucket: the manifest, the confirmation, the versions.
func phaseOf(ctx context.Context, b objstore.Bucket, s *recovery.Sidecar, confirmed bool) (string, error) {
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: func() string { return "reader" }})
	if err != nil {
		return "", err
	}
	if o, ok := m.View().Outcome(s.Operation); ok && o.Kind == manifest.KindPublish {
		return "published", nil
	}
	if confirmed {
		return "confirmed", nil
	}
	made := 0
	for _, t := range s.Tables {
		_, err := b.GetRange(ctx, t.Object(s.Operation), 0, 1)
		switch {
		case err == nil:
			made++
		case !errors.Is(err, objstore.ErrNotFound):
			return "", err
		}
	}
	switch made {
	case 0:
		return "armed", nil
	case len(s.Tables):
		return "applied", nil
	default:
		return "partly applied", nil
	}
}

// Bars draws a histogram of the phases.
func Bars(count map[string]int) string {
	var b strings.Builder
	for _, p := range append([]string{"nothing pending"}, Phases...) {
		b.WriteString("  " + p + strings.Repeat(" ", 18-len(p)) + strings.Repeat("#", count[p]))
		b.WriteString(" " + strconv.Itoa(count[p]) + "\n")
	}
	return b.String()
}

// Quantiles prints what a person wants of a set of durations.
func Quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	s := slices.Sorted(slices.Values(d))
	at := func(q float64) time.Duration { return s[min(len(s)-1, int(q*float64(len(s))))].Round(time.Millisecond) }
	return fmt.Sprintf("n=%d min=%s p50=%s p90=%s p99=%s max=%s", len(s), at(0), at(0.5), at(0.9), at(0.99), at(1))
}
