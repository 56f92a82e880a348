// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/objstore/s3"
)

// Forward makes a pod's port reachable on loopback until close is called. It is
// kubectl's own forwarder, a child process that ends with close.
func (h *Harness) Forward(ctx context.Context, namespace, pod string, port int) (address string, closeFn func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, kubectl(), "port-forward", "--namespace", namespace, "--address", "127.0.0.1", "pod/"+pod, fmt.Sprintf(":%d", port))
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return "", nil, err
	}
	closeFn = sync.OnceFunc(func() { cancel(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		closeFn()
		return "", nil, fmt.Errorf("forward %s/%s:%d: kubectl ended", namespace, pod, port)
	}
	// "Forwarding from 127.0.0.1:40123 -> 7070"
	word := strings.Fields(lines.Text())
	if len(word) < 3 {
		closeFn()
		return "", nil, fmt.Errorf("forward %s/%s:%d: kubectl says %q", namespace, pod, port, lines.Text())
	}
	go func() { // one line per connection; an unread pipe would stop it
		for lines.Scan() {
		}
	}()
	return word[2], closeFn, nil
}

// Bucket opens a root on the tests' object store from this machine. uri is as in
// StoreOptions.RootURI; "" is the whole bucket.
func (h *Harness) Bucket(ctx context.Context, uri string) (b objstore.Bucket, closeFn func(), err error) {
	return h.bucket(ctx, uri, func(p *corev1.Pod) (string, func(), error) { return h.Forward(ctx, p.Namespace, p.Name, 7070) })
}

// DirectBucket is a Bucket without anything between this machine and the server's pod: for
// times. It takes a cluster whose pods this machine reaches, as the local one's.
func (h *Harness) DirectBucket(ctx context.Context, uri string) (b objstore.Bucket, closeFn func(), err error) {
	return h.bucket(ctx, uri, func(p *corev1.Pod) (string, func(), error) {
		return net.JoinHostPort(p.Status.PodIP, "7070"), func() {}, nil
	})
}

func (h *Harness) bucket(ctx context.Context, uri string, reach func(*corev1.Pod) (address string, stop func(), err error)) (b objstore.Bucket, closeFn func(), err error) {
	var pods corev1.PodList
	if err := h.List(ctx, &pods, client.InNamespace(StorageNamespace), client.MatchingLabels{"app": "versitygw"}); err != nil {
		return nil, nil, err
	}
	for _, p := range pods.Items {
		if p.Status.Phase != corev1.PodRunning {
			continue
		}
		address, stop, err := reach(&p)
		if err != nil {
			return nil, nil, err
		}
		q := url.Values{"endpoint": {"http://" + address}, "region": {"us-east-1"}, "path_style": {"true"}}
		b, err := rooturl.Open(ctx, uri+"?"+q.Encode(), rooturl.Options{S3: s3.Options{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}})
		if err != nil {
			stop()
			return nil, nil, err
		}
		return b, stop, nil
	}
	return nil, nil, fmt.Errorf("no running versitygw pod among %d", len(pods.Items))
}
