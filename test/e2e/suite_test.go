// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e shows the main job on a real cluster: real kubelet, real
// containers, real SIGKILLs, a real S3 server.
package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

var (
	h       *harness.Harness
	machine cluster.Cluster
)

// The suite runs the binary and the manifests, which it does not import.
var _ = contract.Uses("./cmd/salvor", "config/")

func TestEndToEnd(t *testing.T) {
	if os.Getenv("KUBECONFIG") == "" {
		if os.Getenv("REQUIRE_NODE") == "1" {
			t.Fatal("REQUIRE_NODE=1 and no KUBECONFIG: run `make cluster-up` first")
		}
		t.Skip("no KUBECONFIG: `make e2e` starts a cluster and runs this")
	}
	RegisterFailHandler(Fail)
	suite, reporter := GinkgoConfiguration()
	suite.Timeout = 3 * time.Hour
	if focus := os.Getenv("SALVOR_FOCUS"); focus != "" { // for mutants, whose header has no room for flags
		suite.FocusStrings, suite.LabelFilter = []string{focus}, ""
	}
	RunSpecs(t, "salvor end to end", suite, reporter)
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	machine, err = cluster.FromEnvironment()
	Expect(err).NotTo(HaveOccurred())
	h, err = harness.Connect(GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	if machine.Name() == "kind" { // the local cluster has them from `make image-load`
		root, err := cluster.Root()
		Expect(err).NotTo(HaveOccurred())
		for _, archive := range []string{"salvor.tar", "salvor-failpoint.tar", "s3proxy.tar", "versitygw.tar"} {
			By("loading " + archive)
			Expect(machine.LoadImage(ctx, filepath.Join(root, "dist", archive))).To(Succeed(), "run `make image` first")
		}
	}
	By("starting the object store")
	Expect(h.StartStorage(ctx)).To(Succeed())
	By("installing the operator")
	Expect(h.InstallOperator(ctx)).To(Succeed())
}, NodeTimeout(10*time.Minute))

// cleanUp deletes a namespace at the end of a spec. That it goes is asserted at the
// end of the suite: the control plane takes its time, and nobody has to wait for it.
func cleanUp(namespace string) {
	DeferCleanup(func(ctx context.Context) {
		if os.Getenv("SALVOR_KEEP") == "" {
			Expect(h.LetGo(ctx, namespace)).To(Succeed())
			leaving = append(leaving, namespace)
		}
	}, NodeTimeout(time.Minute))
}

var leaving []string

var _ = AfterSuite(func(ctx SpecContext) {
	for _, namespace := range leaving {
		Expect(h.DeleteNamespace(ctx, namespace, 2*time.Minute)).To(Succeed())
	}
}, NodeTimeout(10*time.Minute))

func inNamespace(name string) client.DeleteAllOfOption { return client.InNamespace(name) }

func objstoreGone(err error) bool { return errors.Is(err, objstore.ErrNotFound) }

// pause waits a random moment: the point of a random kill, not a synchronisation.
func pause(ctx context.Context, d time.Duration) { _ = objstore.Sleep(ctx, d) }
