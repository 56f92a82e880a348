// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/go-logr/logr"

	"github.com/salvor-io/salvor/test/contract"
)

var _ = contract.Uses("config/crd/")

// shared is the kube-apiserver of this test process: with the definitions, without
// any controller, scheduler or kubelet.
var shared struct {
	once   sync.Once
	env    *envtest.Environment
	config *rest.Config
	client client.WithWatch
	err    error
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	if shared.env != nil {
		if err := shared.env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
		}
	}
	os.Exit(code)
}

// apiServer starts the API server, once. Without the programs that it needs the
// test is skipped, unless REQUIRE_NODE=1 says that a skip is red.
func apiServer(t *testing.T) (*rest.Config, client.WithWatch) {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		const how = "KUBEBUILDER_ASSETS is unset; set it to what `go -C hack/cluster run . envtest-assets DIR` prints"
		if os.Getenv("REQUIRE_NODE") == "1" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	shared.once.Do(func() {
		scheme, err := NewScheme()
		if err != nil {
			shared.err = err
			return
		}
		shared.env = &envtest.Environment{
			Scheme: scheme, ErrorIfCRDPathMissing: true, ControlPlaneStartTimeout: 3 * time.Minute,
			CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd", "bases")},
		}
		if shared.config, shared.err = shared.env.Start(); shared.err != nil {
			return
		}
		shared.config.QPS, shared.config.Burst = -1, -1
		shared.client, shared.err = client.NewWithWatch(shared.config, client.Options{Scheme: scheme})
	})
	if shared.err != nil {
		t.Fatalf("start an API server: %v", shared.err)
	}
	return shared.config, shared.client
}
