// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
)

// hookActor does what hooks say, in pods.
type hookActor struct {
	pods    client.Reader // the cache
	secrets client.Reader // without a cache
	exec    *execer
}

// all does some steps at the same time. A result is nil when nothing was sent.
//
// A step that was written down has its time from then on. An operator that fell asleep
// in between finds it over, and sends nothing: who undoes it meanwhile waits so long.
func (a hookActor) all(ctx context.Context, run *v1alpha1.HookRun, do []maintenance.HookStep, opt Options) []*hookResult {
	out := make([]*hookResult, len(do))
	var wg sync.WaitGroup
	for i, s := range do {
		action := actionOf(run, s.Hook, s.Part)
		_, at := written(run, s)
		by := (*at).BegunAt.Add(timeoutOf(action))
		prior := priorOf(run, s.Pod, s.Hook)
		wg.Go(func() {
			ctx, cancel := context.WithDeadline(ctx, by)
			defer cancel()
			if opt.Leads(ctx) != nil || !opt.Now().Before(by) {
				return
			}
			out[i] = a.one(ctx, run.Namespace, run.Spec.StoreRef.Name, s, action, prior)
			if out[i].failed != "" && ctx.Err() != nil {
				out[i].failed = fmt.Sprintf("not done within %s: %s", timeoutOf(action), out[i].failed)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil { // this operator ends: whether they were done is for the next one to find out
		return make([]*hookResult, len(do))
	}
	return out
}

func (a hookActor) one(ctx context.Context, namespace, store string, s maintenance.HookStep, action *v1alpha1.HookAction, prior *string) *hookResult {
	var pod corev1.Pod
	if err := a.pods.Get(ctx, client.ObjectKey{Namespace: namespace, Name: s.Pod}, &pod); err != nil {
		return &hookResult{failed: short(err)}
	}
	if pod.Labels[v1alpha1.LabelStore] != store {
		return &hookResult{failed: fmt.Sprintf("the pod does not carry the label %s=%s any more", v1alpha1.LabelStore, store)}
	}
	if s.Part != maintenance.Post {
		prior = nil
	}
	if action.Exec != nil {
		return a.exec.run(ctx, &pod, action.Exec, prior)
	}
	return a.ask(ctx, &pod, action.HTTP, prior)
}

// printed keeps the beginning and the end of what is written to it, of streams that
// write at the same time.
type printed struct {
	mu   sync.Mutex
	head bytes.Buffer // of standard output
	tail []byte
}

// outputs are the two doors to a printed.
func (p *printed) outputs() (stdout, stderr writerFunc) {
	return func(b []byte) (int, error) { return p.write(b, true) }, func(b []byte) (int, error) { return p.write(b, false) }
}

func (p *printed) write(b []byte, out bool) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if room := priorMost + 1 - p.head.Len(); out && room > 0 {
		p.head.Write(b[:min(room, len(b))])
	}
	p.tail = append(p.tail, b[max(0, len(b)-outputMost):]...)
	p.tail = p.tail[max(0, len(p.tail)-outputMost):]
	return len(b), nil
}

func (p *printed) into(r *hookResult) *hookResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.stdout, r.tail = p.head.String(), string(p.tail)
	return r
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// hookDialTimeout bounds the connection to a pod, of which a request has more.
const hookDialTimeout = 10 * time.Second
