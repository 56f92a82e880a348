// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/controllers"
)

// clusterFlags are the flags of every command that asks a cluster, as kubectl has them.
type clusterFlags struct {
	kubeconfig, context, namespace string
}

func (f *clusterFlags) addTo(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.kubeconfig, "kubeconfig", "", "file to reach the API server with (default: KUBECONFIG, or ~/.kube/config)")
	fl.StringVar(&f.context, "context", "", "context of the kubeconfig")
	fl.StringVarP(&f.namespace, "namespace", "n", "", "namespace (default: the context's)")
}

// config is how to reach the API server, and the namespace that is meant.
func (f *clusterFlags) config() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.context}
	overrides.Context.Namespace = f.namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("find the API server: %w", err)
	}
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("find the API server: %w", err)
	}
	cfg.UserAgent = "kubectl-salvor/" + version
	return cfg, namespace, nil
}

// open returns a client and the namespace that is meant.
func (f *clusterFlags) open() (client.WithWatch, string, error) {
	cfg, namespace, err := f.config()
	if err != nil {
		return nil, "", err
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, "", err
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, "", fmt.Errorf("reach the API server: %w", err)
	}
	return c, namespace, nil
}
