// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/salvor-io/salvor/test/e2e/cluster"
)

// The images that `make image` packs.
const (
	Image          = "salvor.local/salvor:dev"
	FailpointImage = "salvor.local/salvor:failpoint"
)

// OperatorNamespace is where the operator runs.
const OperatorNamespace = "salvor-system"

// kubectl is the pinned one, or the one on the PATH.
func kubectl() string { return Getenv("KUBECTL", "kubectl") }

// Kubectl runs kubectl against the harness's cluster and returns its output. It
// gets a cache of its own: what it learned of the cluster before the definitions
// were installed would hide the category.
func (h *Harness) Kubectl(ctx context.Context, args ...string) (string, error) {
	cache, err := os.MkdirTemp("", "kubectl-cache-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(cache)
	out, err := exec.CommandContext(ctx, kubectl(), append([]string{"--cache-dir", cache}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// InstallOperator applies config/default, as an admin would, with edits to the
// rendered text (image names, flags), and waits for both replicas.
func (h *Harness) InstallOperator(ctx context.Context, edits ...string) error {
	root, err := cluster.Root()
	if err != nil {
		return err
	}
	text, err := h.Kubectl(ctx, "kustomize", filepath.Join(root, "config", "default"))
	if err != nil {
		return err
	}
	if len(edits) > 0 {
		for i := 0; i < len(edits); i += 2 {
			if !strings.Contains(text, edits[i]) {
				return fmt.Errorf("config/default does not contain %q", edits[i])
			}
		}
		text = strings.NewReplacer(edits...).Replace(text)
	}
	if err := h.Apply(ctx, []byte(text)); err != nil {
		return err
	}
	return h.DeploymentReady(ctx, OperatorNamespace, "salvor-operator", 2*time.Minute)
}

// UninstallOperator deletes what InstallOperator applied, definitions included.
func (h *Harness) UninstallOperator(ctx context.Context) error {
	root, err := cluster.Root()
	if err != nil {
		return err
	}
	_, err = h.Kubectl(ctx, "delete", "--ignore-not-found", "--wait=false", "-k", filepath.Join(root, "config", "default"))
	return err
}
