// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// requests counts what one recovery asks of the object store and of the API
// server, in a store where nothing else happens: one transaction over two tables,
// its checkpoint killed after Confirm.
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
		if err := b.Park(ctx, v.Namespace, v.Pod, failpoint.WriterConfirmed); err != nil {
			return err
		}
		if err := b.Transact(ctx, v.Namespace, v.Pod, "a", round); err != nil {
			return err
		}
		if err := b.AwaitParked(ctx, v.Namespace, v.Pod, failpoint.WriterConfirmed, time.Minute); err != nil {
			return err
		}
		objects, err := gateway.Requests(ctx, leader)
		if err != nil {
			return err
		}
		writes, err := b.apiWrites(ctx)
		if err != nil {
			return err
		}
		k, err := b.KillParked(ctx, b.machine, v)
		if err != nil {
			return err
		}
		if err := b.complete(ctx, o, string(k.Operation)); err != nil {
			return err
		}
		if err := b.StoreReady(ctx, o.Namespace, o.Name, time.Minute); err != nil {
			return err
		}
		after, err := gateway.Requests(ctx, leader)
		if err != nil {
			return err
		}
		writesAfter, err := b.apiWrites(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("\ngoal 2   recovery %d of a lone operation over two tables, named by the stream\n  object requests %d   (land 9 + 1 = 10)\n", round+1, len(after)-len(objects))
		for _, line := range after[len(objects):] {
			fmt.Println("    " + shape(line))
		}
		for verb, n := range writesAfter {
			if d := n - writes[verb]; d > 0 {
				fmt.Printf("  API %s: %d\n", verb, d)
			}
		}
	}
	return nil
}

// shape leaves of a request what does not change from run to run.
func shape(line string) string {
	line = regexp.MustCompile(`/stores/[^/]*/`).ReplaceAllString(line, "")
	return regexp.MustCompile(`[0-9A-Za-z]{20,}`).ReplaceAllString(line, "<id>")
}

// leader is the address of the operator that acts.
func (b *bench) leader(ctx context.Context) (string, error) {
	pod, err := b.leaderPod(ctx)
	if err != nil {
		return "", err
	}
	p, err := b.Pod(ctx, harness.OperatorNamespace, pod)
	return p.Status.PodIP, err
}

func (b *bench) leaderPod(ctx context.Context) (string, error) {
	l, err := b.Kube.CoordinationV1().Leases(harness.OperatorNamespace).Get(ctx, "operator.recovery.salvor.io", getOptions)
	if err != nil {
		return "", err
	}
	if l.Spec.HolderIdentity == nil {
		return "", fmt.Errorf("nobody holds the Lease %s", l.Name)
	}
	pod, _, _ := strings.Cut(*l.Spec.HolderIdentity, "_")
	return pod, nil
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
