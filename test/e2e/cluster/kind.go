// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// kind is a cluster whose nodes are containers of a Docker engine.
type kind struct{ name string }

func newKind(name string) Cluster {
	if name == "" {
		name = "kind"
	}
	return kind{name}
}

func (kind) Name() string { return "kind" }

func (k kind) LoadImage(ctx context.Context, archive string) error {
	_, err := run(ctx, "kind", "load", "image-archive", archive, "--name", k.name)
	return err
}

// Signal looks on every node: the suite does not care where a pod runs. crictl
// tells the process id as the node sees it, and the node's kill reaches it.
func (k kind) Signal(ctx context.Context, namespace, pod, container string, s Signal) (int, error) {
	nodes, err := run(ctx, "kind", "get", "nodes", "--name", k.name)
	if err != nil {
		return 0, err
	}
	for _, node := range strings.Fields(nodes) {
		id, err := run(ctx, "docker", "exec", node, "crictl", "ps", "--quiet", "--state", "Running",
			"--label", "io.kubernetes.pod.namespace="+namespace, "--label", "io.kubernetes.pod.name="+pod,
			"--label", "io.kubernetes.container.name="+container)
		if err != nil {
			return 0, err
		}
		if id == "" {
			continue
		}
		out, err := run(ctx, "docker", "exec", node, "crictl", "inspect", "--output", "go-template", "--template", "{{.info.pid}}", id)
		if err != nil {
			return 0, err
		}
		pid, err := strconv.Atoi(out)
		if err != nil {
			return 0, fmt.Errorf("process id of %s/%s: %w", namespace, pod, err)
		}
		_, err = run(ctx, "docker", "exec", node, "kill", "-"+string(s), out)
		return pid, err
	}
	return 0, fmt.Errorf("no running container %s of pod %s/%s on any node", container, namespace, pod)
}

func (kind) StopNode(ctx context.Context, node string) error {
	_, err := run(ctx, "docker", "kill", node)
	return err
}

func (kind) StartNode(ctx context.Context, node string) error {
	_, err := run(ctx, "docker", "start", node)
	return err
}

func (kind) AddNode(context.Context) (string, error) { return "", ErrNodes }
