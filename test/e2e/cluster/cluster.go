// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster is what the end-to-end tests need of the machine under a
// cluster: load an image, kill or stop a process, lose a node. Everything else
// goes through the API server, so any KUBECONFIG serves for it.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Signal is what a test sends to a container's first process.
type Signal string

// The signals that tests send.
const (
	Kill     Signal = "KILL"
	Stop     Signal = "STOP"
	Continue Signal = "CONT"
)

// Cluster is the machine's side of a cluster.
type Cluster interface {
	// Name of the implementation, for reports: "local" or "kind".
	Name() string
	// LoadImage makes the image of a docker-archive available on every node.
	LoadImage(ctx context.Context, archive string) error
	// Signal sends s to the first process of a container, from the outside, and
	// returns that process's id on the machine (or in the node).
	Signal(ctx context.Context, namespace, pod, container string, s Signal) (pid int, err error)
	// StopNode ends a node with everything on it, as a power cut would.
	StopNode(ctx context.Context, node string) error
	// StartNode brings it back.
	StartNode(ctx context.Context, node string) error
	// AddNode adds a node that has no images yet, and returns its name. ErrNodes where a
	// cluster has the nodes that it was made with.
	AddNode(ctx context.Context) (string, error)
}

// ErrNodes says that a cluster cannot get more nodes.
var ErrNodes = errors.New("this cluster has the nodes that it was made with")

// FromEnvironment returns the implementation that SALVOR_CLUSTER names (local or
// kind); local if it is unset.
func FromEnvironment() (Cluster, error) {
	switch name := os.Getenv("SALVOR_CLUSTER"); name {
	case "", "local":
		return newLocal()
	case "kind":
		return newKind(os.Getenv("KIND_CLUSTER_NAME")), nil
	default:
		return nil, fmt.Errorf("SALVOR_CLUSTER=%q: want local or kind", name)
	}
}

// run executes a program and returns its trimmed standard output.
func run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
