// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// requests counts what one recovery asks of the object store and of the API
// server, in a store where nothing else happens: one transaction over two tables,
// its checkpoint killed after Confirm. The recovery is what the operator asks up to
// the deletion of the sidecar. What it asks later is for the pod that comes back and
// registers; a pod that is killed while nothing pends shows the same, beside it.
func (b *bench) requests(ctx context.Context) error {
	gateway, err := b.StartGateway(ctx, "counting")
	if err != nil {
		return err
	}
	defer func() { _ = gateway.Stop(context.WithoutCancel(ctx)) }()
	o := harness.StoreOptions{Namespace: "bench-requests", Name: "orders", Replicas: 1, Interval: "200ms", Image: harness.FailpointImage, Endpoint: gateway.Endpoint()}
	b.Say("goal 2: requests of one recovery")
	if err := b.CreateStore(ctx, o, 3*time.Minute); err != nil {
		return err
	}
	defer b.remove(ctx, o.Namespace)
	root, closeRoot, err := b.Bucket(ctx, o.RootURI())
	if err != nil {
		return err
	}
	defer closeRoot()
	leader, err := b.leader(ctx)
	if err != nil {
		return err
	}
	v := harness.Victim{Namespace: o.Namespace, Store: o.Name, Pod: o.Name + "-0", Container: "store", Bucket: root}
	for round := range 3 {
		if err := b.quiet(ctx, gateway, leader); err != nil {
			return err
		}
		made, err := b.during(ctx, gateway, leader, func() error { return b.Restart(ctx, b.machine, v) }, o)
		if err != nil {
			return err
		}
		fmt.Printf("\nbeside goal 2: restart %d of a pod by SIGKILL, nothing pending\n  object requests %d\n", round+1, len(made.objects))
		made.print(made.objects)

		if err := b.quiet(ctx, gateway, leader); err != nil {
			return err
		}
		if err := b.Park(ctx, v.Namespace, v.Pod, failpoint.WriterConfirmed); err != nil {
			return err
		}
		if err := b.Transact(ctx, v.Namespace, v.Pod, "a", round); err != nil {
			return err
		}
		if err := b.AwaitParked(ctx, v.Namespace, v.Pod, failpoint.WriterConfirmed, time.Minute); err != nil {
			return err
		}
		var sidecar string
		made, err = b.during(ctx, gateway, leader, func() error {
			k, err := b.KillParked(ctx, b.machine, v)
			if err != nil {
				return err
			}
			sidecar = recovery.SidecarKey(k.Operation)
			return b.complete(ctx, o, string(k.Operation))
		}, o)
		if err != nil {
			return err
		}
		last := slices.IndexFunc(made.objects, func(l string) bool { return strings.HasPrefix(l, "DELETE ") && strings.HasSuffix(l, sidecar) })
		if last < 0 {
			return fmt.Errorf("the operator did not delete %s: %q", sidecar, made.objects)
		}
		fmt.Printf("\ngoal 2   recovery %d of a lone operation over two tables, named by the stream\n  object requests %d   (land 9 + 1 = 10)\n", round+1, last+1)
		made.print(made.objects[:last+1])
		fmt.Printf("  then, for the pod that is back, %d\n", len(made.objects)-last-1)
		made.print(made.objects[last+1:])
		for verb, n := range made.api {
			fmt.Printf("  API %s: %d\n", verb, n)
		}
	}
	return nil
}

// quiet waits until the operator has asked nothing for five seconds: it lists a root
// once more some time after a pod came back, and that is no part of what is next.
func (b *bench) quiet(ctx context.Context, gateway *harness.Gateway, leader string) error {
	var since time.Time
	was := -1
	return b.Eventually(ctx, "the operator to ask nothing", time.Minute, func(ctx context.Context) (string, error) {
		made, err := gateway.Requests(ctx, leader)
		if err != nil {
			return "", err
		}
		if len(made) != was {
			was, since = len(made), time.Now()
		}
		if time.Since(since) < 5*time.Second {
			return "asked just now: " + shape(made[len(made)-1]), nil
		}
		return "", nil
	})
}

// made is what an operator asked meanwhile.
type made struct {
	objects []string
	api     map[string]int // writes
}

func (made) print(lines []string) {
	for _, line := range lines {
		fmt.Println("    " + shape(line))
	}
}

// during counts what is asked while something is done, until the store is ready.
func (b *bench) during(ctx context.Context, gateway *harness.Gateway, leader string, do func() error, o harness.StoreOptions) (m made, err error) {
	objects, err := gateway.Requests(ctx, leader)
	if err != nil {
		return m, err
	}
	writes, err := b.apiWrites(ctx)
	if err != nil {
		return m, err
	}
	if err := do(); err != nil {
		return m, err
	}
	if err := b.StoreReady(ctx, o.Namespace, o.Name, time.Minute); err != nil {
		return m, err
	}
	after, err := gateway.Requests(ctx, leader)
	if err != nil {
		return m, err
	}
	m.objects = after[len(objects):]
	m.api, err = b.apiWrites(ctx)
	for verb, n := range m.api {
		if m.api[verb] = n - writes[verb]; m.api[verb] == 0 {
			delete(m.api, verb)
		}
	}
	return m, err
}

// shape leaves of a request what does not change from run to run.
func shape(line string) string {
	line = regexp.MustCompile(`/stores/[^/]*/`).ReplaceAllString(line, "")
	return regexp.MustCompile(`[0-9A-Za-z]{20,}`).ReplaceAllString(line, "<id>")
}

// leader is the address of the operator that acts.
func (b *bench) leader(ctx context.Context) (string, error) {
	pod, err := b.Leader(ctx)
	if err != nil {
		return "", err
	}
	p, err := b.Pod(ctx, harness.OperatorNamespace, pod)
	return p.Status.PodIP, err
}

var written = regexp.MustCompile(`(?m)^apiserver_request_total\{(.*group="recovery\.salvor\.io".*)\} (\S+)$`)

// apiWrites counts, by the API server's own metrics, what was written to salvor's
// resources.
func (b *bench) apiWrites(ctx context.Context) (map[string]int, error) {
	raw, err := b.Kube.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	label := func(in, name string) string {
		m := regexp.MustCompile(`(?:^|,)` + name + `="([^"]*)"`).FindStringSubmatch(in)
		if m == nil {
			return ""
		}
		return m[1]
	}
	out := map[string]int{}
	for _, m := range written.FindAllStringSubmatch(string(raw), -1) {
		verb := label(m[1], "verb")
		if verb == "GET" || verb == "LIST" || verb == "WATCH" {
			continue
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, err
		}
		out[strings.TrimSuffix(verb+" "+label(m[1], "resource")+"/"+label(m[1], "subresource"), "/")] += int(n)
	}
	return out, nil
}

// complete waits until the operation's resource is Complete.
func (b *bench) complete(ctx context.Context, o harness.StoreOptions, op string) error {
	return b.Eventually(ctx, "resource of "+op, time.Minute, func(ctx context.Context) (string, error) {
		all, err := b.Sidecars(ctx, o.Namespace, o.Name)
		if err != nil {
			return "", err
		}
		for _, s := range all {
			if s.Spec.OperationID == op && meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionComplete) {
				return "", nil
			}
		}
		return fmt.Sprintf("not complete among %d", len(all)), nil
	})
}
