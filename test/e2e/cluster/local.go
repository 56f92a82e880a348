// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// local is the cluster of hack/cluster, spoken to through its program.
type local struct{ program string }

func newLocal() (Cluster, error) {
	program := os.Getenv("SALVOR_CLUSTER_PROGRAM")
	if program == "" {
		root, err := Root()
		if err != nil {
			return nil, err
		}
		program = filepath.Join(root, "bin", "cluster")
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("the local cluster's program is not built: run `make cluster-up`: %w", err)
	}
	return local{program}, nil
}

func (local) Name() string { return "local" }

func (l local) LoadImage(ctx context.Context, archive string) error {
	_, err := run(ctx, l.program, "image", "load", archive)
	return err
}

func (l local) Signal(ctx context.Context, namespace, pod, container string, s Signal) (int, error) {
	out, err := run(ctx, l.program, "container", "signal", "--namespace", namespace, "--pod", pod, "--container", container, "--signal", string(s))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

func (l local) StopNode(ctx context.Context, node string) error {
	_, err := run(ctx, l.program, "node", "stop", node)
	return err
}

func (l local) StartNode(ctx context.Context, node string) error {
	_, err := run(ctx, l.program, "node", "start", node)
	return err
}

func (l local) AddNode(ctx context.Context) (string, error) {
	return run(ctx, l.program, "node", "add")
}

// Root returns the root of the checkout that the caller runs in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "PROJECT")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no PROJECT file above the working directory: run this from a checkout of salvor")
		}
		dir = up
	}
}
