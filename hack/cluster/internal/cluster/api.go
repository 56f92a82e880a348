// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// api is the little this tool asks of the API server itself.
type api struct {
	base   string
	client *http.Client
}

func (s *State) api() (*api, error) {
	ca, err := os.ReadFile(s.path("pki", "ca.crt"))
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(s.path("pki", "admin.crt"), s.path("pki", "admin.key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &api{
		base: s.url("apiserver"),
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		}},
	}, nil
}

// get reads a path; into may be nil.
func (a *api) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, strings.TrimSpace(string(body[:min(len(body), 300)])))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

func has(conditions []condition, kind string) bool {
	for _, c := range conditions {
		if c.Type == kind {
			return c.Status == "True"
		}
	}
	return false
}

// nodeReady returns nil if the node is ready, else why not.
func (a *api) nodeReady(ctx context.Context, name string) error {
	var node struct {
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}
	if err := a.get(ctx, "/api/v1/nodes/"+name, &node); err != nil {
		return err
	}
	if !has(node.Status.Conditions, "Ready") {
		return fmt.Errorf("node %s is not ready", name)
	}
	return nil
}

// available returns nil if all replicas of a Deployment are, else why not.
func (a *api) available(ctx context.Context, namespace, name string) error {
	var d struct {
		Metadata struct {
			Generation int64 `json:"generation"`
		} `json:"metadata"`
		Spec struct {
			Replicas int `json:"replicas"`
		} `json:"spec"`
		Status struct {
			Observed  int64 `json:"observedGeneration"`
			Available int   `json:"availableReplicas"`
			Updated   int   `json:"updatedReplicas"`
		} `json:"status"`
	}
	if err := a.get(ctx, "/apis/apps/v1/namespaces/"+namespace+"/deployments/"+name, &d); err != nil {
		return err
	}
	if d.Status.Observed < d.Metadata.Generation || d.Status.Updated < d.Spec.Replicas || d.Status.Available < d.Spec.Replicas {
		return fmt.Errorf("deployment %s/%s has %d of %d replicas", namespace, name, d.Status.Available, d.Spec.Replicas)
	}
	return nil
}

// until repeats a check until it holds. What it said last becomes the error.
func until(ctx context.Context, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	last := errors.New("not checked yet")
	for {
		if err := check(ctx); err == nil {
			return nil
		} else if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", within, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
