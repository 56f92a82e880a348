// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/salvor-io/salvor/store/load"
)

// OpenLoad is a Load that sends by the clock, whatever becomes of what it has sent,
// and tells when each transaction was due and answered.
type OpenLoad struct {
	*Load
	mu     sync.Mutex
	traces []load.Trace
	ended  error // why nothing more is read of what it tells
	done   chan struct{}
}

// openLoadWorkers is how many transactions may be under way: more than are due in
// the ten seconds for which a store parks a writer.
const openLoadWorkers = 2500

// StartOpenLoad starts rate transactions a second over all targets, beside the store
// (nil: over all pods of it), and waits until the first one was acknowledged. Each writes
// two tables.
func (h *Harness) StartOpenLoad(ctx context.Context, o StoreOptions, targets []string, rate int) (*OpenLoad, error) {
	if targets == nil {
		targets = o.Targets()
	}
	l, err := h.startLoad(ctx, o, targets, rate, "--open", "--trace", "--tables", "2", "--keys", "1",
		"--concurrency", strconv.Itoa(min(openLoadWorkers, 12*rate)), "--timeout", "30s")
	if err != nil {
		return nil, err
	}
	stream, err := h.Kube.CoreV1().Pods(o.Namespace).GetLogs(l.pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	open := &OpenLoad{Load: l, done: make(chan struct{})}
	go func() {
		defer close(open.done)
		defer stream.Close()
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if !strings.HasPrefix(lines.Text(), "{") {
				continue // the last word
			}
			var t load.Trace
			err := json.Unmarshal(lines.Bytes(), &t)
			open.mu.Lock()
			if err != nil {
				open.ended = fmt.Errorf("load said %q: %w", lines.Text(), err)
			} else {
				open.traces = append(open.traces, t)
			}
			open.mu.Unlock()
		}
	}()
	return open, h.Eventually(ctx, "a transaction is acknowledged", time.Minute, func(context.Context) (string, error) {
		traces, err := open.Traces()
		if len(traces) > 0 || err != nil {
			return "", err
		}
		return "none yet", nil
	})
}

// Traces are those of what was acknowledged up to now.
func (l *OpenLoad) Traces() ([]load.Trace, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.traces), l.ended
}

// StopAndVerify stops the load, checks what it was told against the API, and returns
// how many transactions were acknowledged, and what it told of them. The last of them may
// have been acknowledged and not told.
func (l *OpenLoad) StopAndVerify(ctx context.Context) (int, []load.Trace, error) {
	acked, err := l.Load.StopAndVerify(ctx)
	if err != nil {
		return acked, nil, err
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return acked, nil, fmt.Errorf("the end of what the load says: %w", ctx.Err())
	}
	traces, err := l.Traces()
	return acked, traces, err
}
