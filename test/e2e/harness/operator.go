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

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/internal/failpoint"
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
	// An image that was loaded again under its old name is run only by new pods.
	const marked = "kubectl.kubernetes.io/default-container: operator"
	edits = append(edits, marked, fmt.Sprintf("%s\n        salvor.io/installed-by: e2e-%d", marked, h.start.Unix()))
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			return fmt.Errorf("config/default does not contain %q", edits[i])
		}
	}
	if err := h.Apply(ctx, []byte(strings.NewReplacer(edits...).Replace(text))); err != nil {
		return err
	}
	return h.DeploymentReady(ctx, OperatorNamespace, "salvor-operator", 2*time.Minute)
}

// OperatorPods waits until exactly n pods of the operator run, and names them.
func (h *Harness) OperatorPods(ctx context.Context, n int, within time.Duration) (names []string, err error) {
	err = h.Eventually(ctx, fmt.Sprintf("%d operators", n), within, func(ctx context.Context) (string, error) {
		var pods corev1.PodList
		if err := h.List(ctx, &pods, client.InNamespace(OperatorNamespace), client.MatchingLabels{"app.kubernetes.io/component": "operator"}); err != nil {
			return "", err
		}
		names = nil
		for _, p := range pods.Items {
			names = append(names, p.Name)
		}
		if len(names) == n {
			return "", nil
		}
		return fmt.Sprintf("%d pods: %v", len(names), names), nil
	})
	return names, err
}

// Leader is the pod of the operator that acts now.
func (h *Harness) Leader(ctx context.Context) (string, error) {
	l, err := h.Kube.CoordinationV1().Leases(OperatorNamespace).Get(ctx, "operator.recovery.salvor.io", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" {
		return "", fmt.Errorf("nobody holds the Lease %s", l.Name)
	}
	pod, _, _ := strings.Cut(*l.Spec.HolderIdentity, "_")
	return pod, nil
}

// operatorFailpointPort is where an operator with failpoints can be parked.
const operatorFailpointPort = 8412

// ParkOperator makes the next arrival of an operator at a failpoint stop there.
func (h *Harness) ParkOperator(ctx context.Context, pod string, p failpoint.Point) error {
	return h.parkAt(ctx, OperatorNamespace, pod, operatorFailpointPort, p)
}

// AwaitOperatorParked waits until it stands there.
func (h *Harness) AwaitOperatorParked(ctx context.Context, pod string, p failpoint.Point, within time.Duration) error {
	return h.awaitParkedAt(ctx, OperatorNamespace, pod, operatorFailpointPort, p, within)
}

// ReleaseOperator lets it go on.
func (h *Harness) ReleaseOperator(ctx context.Context, pod string, p failpoint.Point) error {
	return h.releaseAt(ctx, OperatorNamespace, pod, operatorFailpointPort, p)
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
