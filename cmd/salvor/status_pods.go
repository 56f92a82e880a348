// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
)

const (
	// podPatience bounds the question to one pod; podsAtOnce how many are asked at a time.
	podPatience = 3 * time.Second
	podsAtOnce  = 16
	// statusMost bounds what is read of an answer.
	statusMost = 1 << 20
)

// positions asks the pods themselves, through the API server. Who does not answer is
// told of, and nothing else: a status that waits for a dead pod is of no use.
func (f *clusterFlags) positions(ctx context.Context, stores []seenStore) {
	cfg, _, err := f.config()
	var h *http.Client
	if err == nil {
		h, err = rest.HTTPClientFor(cfg)
	}
	places := make(chan struct{}, podsAtOnce)
	var all sync.WaitGroup
	for i := range stores {
		ws := &stores[i].store
		port := cmp.Or(ws.Spec.Control.Port, v1alpha1.DefaultControlPort)
		for j := range stores[i].pods {
			p := &stores[i].pods[j]
			if err != nil {
				p.Unknown = err.Error()
				continue
			}
			all.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				p.ask(ctx, h, fmt.Sprintf("%s/api/v1/namespaces/%s/pods/%s:%d/proxy/control/v1/status", strings.TrimSuffix(cfg.Host, "/"), ws.Namespace, p.Name, port))
			})
		}
	}
	all.Wait()
}

// ask reads one pod's control status.
func (p *podStatus) ask(ctx context.Context, h *http.Client, url string) {
	ctx, cancel := context.WithTimeout(ctx, podPatience)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		p.Unknown = err.Error()
		return
	}
	a, err := h.Do(q)
	if err != nil {
		p.Unknown = "it does not answer: " + err.Error()
		return
	}
	defer a.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(a.Body, statusMost))
	var st control.Status
	switch {
	case err != nil:
		p.Unknown = "it does not answer: " + err.Error()
	case a.StatusCode == http.StatusForbidden || a.StatusCode == http.StatusUnauthorized:
		p.Unknown = "you may not ask it: it takes the right to get pods/proxy"
	case a.StatusCode != http.StatusOK:
		p.Unknown = fmt.Sprintf("it does not answer: HTTP %d", a.StatusCode)
	case json.Unmarshal(raw, &st) != nil:
		p.Unknown = "its answer is not one of the control protocol"
	case st.Writer != p.Name:
		p.Unknown = "it says that it is writer " + st.Writer
	default:
		p.State = string(st.State)
		p.Position, p.Published = new(int64(st.Durable)), new(int64(st.Published))
	}
}
