// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/salvor-io/salvor/hack/cluster/internal/build"
	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
	"github.com/salvor-io/salvor/hack/cluster/internal/progress"
)

// withCluster loads a cluster and runs f while no other command changes it.
func withCluster(ctx context.Context, log *progress.Log, name string, f func(*starter) error) error {
	bins, err := build.Ensure(ctx, log, build.Node...)
	if err != nil {
		return err
	}
	lock, err := Lock(ctx, name, func() { log.Printf("waiting for another command on cluster %s", name) })
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := Load(name)
	if err != nil {
		if errors.Is(err, ErrNoCluster) { // the lock and its folder were made by asking
			_ = os.Remove(lock.Name())
			_ = os.Remove(paths.State())
		}
		return err
	}
	return f(&starter{State: s, log: log, bins: bins, lock: lock})
}

// StopNode ends a node's kubelet, containerd and containers at once, as if it
// had lost power. Its volumes and its place in the cluster stay.
func StopNode(ctx context.Context, log *progress.Log, name, node string) error {
	return withCluster(ctx, log, name, func(r *starter) error {
		n, err := r.NodeByName(node)
		if err != nil {
			return err
		}
		if err := r.stopNode(ctx, n); err != nil {
			return err
		}
		log.Printf("node %s stopped; Kubernetes notices after its grace period", node)
		return nil
	})
}

// StartNode starts a stopped node and waits until it is ready.
func StartNode(ctx context.Context, log *progress.Log, name, node string) error {
	return withCluster(ctx, log, name, func(r *starter) error {
		n, err := r.NodeByName(node)
		if err != nil {
			return err
		}
		return r.startNodes(ctx, n)
	})
}

// AddNode adds one node, starts it, and returns its name.
func AddNode(ctx context.Context, log *progress.Log, name string) (string, error) {
	added := ""
	err := withCluster(ctx, log, name, func(r *starter) error {
		if err := r.addNode(); err != nil {
			return err
		}
		if err := r.save(); err != nil {
			return err
		}
		n := r.Nodes[len(r.Nodes)-1]
		added = n.Name
		return r.startNodes(ctx, n)
	})
	return added, err
}

// startNodes starts some nodes of a cluster whose control plane runs.
func (r *starter) startNodes(ctx context.Context, nodes ...Node) error {
	images, err := packSystemImages(r.bins)
	if err != nil {
		return err
	}
	if err := r.prepareHost(ctx); err != nil {
		return err
	}
	certs, err := r.issueAll()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		group.Go(func() error {
			begin := time.Now()
			err := r.startRuntime(ctx, n, images)
			if err == nil {
				err = r.startKubelet(ctx, n, certs)
			}
			if err != nil {
				return fmt.Errorf("node %s: %w", n.Name, err)
			}
			r.log.Printf("node %s ready after %s", n.Name, progress.Round(time.Since(begin)))
			return nil
		})
	}
	return group.Wait()
}
