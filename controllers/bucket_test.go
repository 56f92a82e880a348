// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
)

// What spec.root says of requests is what a server that never answers sees: as many
// attempts of a read, one of a creation, and no more connections.
func TestSettingsOfARootReachItsServer(t *testing.T) {
	for uri, with := range map[string]map[string]string{
		"s3://bucket/orders":  {v1alpha1.SecretAccessKeyID: "id", v1alpha1.SecretSecretAccessKey: "secret"},
		"gs://bucket/orders":  {v1alpha1.SecretGoogleCredentials: googleKey(t, "tenant@p")},
		"azblob://box/orders": {v1alpha1.SecretStorageAccount: "tenant", v1alpha1.SecretStorageKey: "a2V5"},
	} {
		t.Run(uri, func(t *testing.T) { settingsReachTheServer(t, uri, with) })
	}
}

func settingsReachTheServer(t *testing.T, uri string, with map[string]string) {
	secret := map[string][]byte{}
	for name, value := range with {
		secret[name] = []byte(value)
	}
	var mu sync.Mutex
	requests, open, most := map[string]int{}, map[net.Conn]bool{}, 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		requests[r.Method]++
		mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body) // else it is not seen that the client leaves
		<-r.Context().Done()
	}))
	srv.Config.ConnState = func(c net.Conn, is http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if is == http.StateClosed {
			delete(open, c)
		} else {
			open[c] = true
		}
		most = max(most, len(open))
	}
	srv.Start()
	defer srv.Close()
	b, err := OpenBucket(t.Context(), v1alpha1.Root{
		URI: uri, Endpoint: srv.URL, PathStyle: true,
		RequestTimeout: &metav1.Duration{Duration: 20 * time.Millisecond},
		Requests:       v1alpha1.Requests{ReadAttempts: 4, MaxBackoff: &metav1.Duration{Duration: time.Millisecond}, MaxConnections: 2},
	}, Access{Secret: secret})
	must(t, err)
	defer b.Close()
	var callers sync.WaitGroup
	const readers = 6
	for range readers {
		callers.Go(func() { _, _ = b.Get(t.Context(), "k") })
	}
	callers.Wait()
	if r, err := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Unknown || err == nil {
		t.Errorf("%v, %v; want Unknown", r.Outcome, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if requests[http.MethodGet] != 4*readers || requests[http.MethodPut]+requests[http.MethodPost] != 1 {
		t.Errorf("requests: %v; want %d reads and one creation", requests, 4*readers)
	}
	// A connection that was given up is closed on our side first: the server may see
	// its successor before its end.
	if most > 2*2 {
		t.Errorf("%d connections at once, of 2 that are allowed", most)
	}
}
