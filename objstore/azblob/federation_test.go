// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/azblob"
	"github.com/salvor-io/salvor/test/contract"
)

// entra stands for Entra ID and for the account, with TLS: a token never travels
// without. It trusts one assertion of one client.
type entra struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func startEntra(t *testing.T) *entra {
	e := &entra{}
	e.Server = httptest.NewTLSServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *entra) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw})
}

func (e *entra) paths() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

// ServeHTTP implements http.Handler.
func (e *entra) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.asked = append(e.asked, r.URL.Path)
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/tenant-id/v2.0/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"token_endpoint":"%[1]s/tenant-id/oauth2/v2.0/token","authorization_endpoint":"%[1]s/tenant-id/oauth2/v2.0/authorize","issuer":"%[1]s/tenant-id/v2.0"}`, e.URL)
	case "/tenant-id/oauth2/v2.0/token":
		if r.FormValue("client_assertion") != "good" || r.FormValue("client_id") != "client-id" || r.FormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS700213: No matching federated identity record found.\r\nTrace ID: x"}`)
			return
		}
		_, _ = io.WriteString(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"exchanged"}`)
	default:
		if r.Header.Get("Authorization") != "Bearer exchanged" {
			w.Header().Set("X-Ms-Error-Code", "AuthenticationFailed")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		created(w, r)
	}
}

func tokens(value string, err error) objstore.TokenSource {
	return objstore.TokenFunc(func(context.Context) (objstore.Token, error) { return objstore.Token{Value: value}, err })
}

func (e *entra) options(f azblob.Federation) azblob.Options {
	f.Authority = e.URL
	return azblob.Options{Container: "box", Account: "me", Endpoint: e.URL + "/me", CA: e.ca(), Federation: &f}
}

// A token is exchanged once for all requests until it expires; the identity of this
// process is not asked.
func TestATokenIsExchanged(t *testing.T) {
	contract.Row(t, 163)
	t.Setenv("AZURE_STORAGE_KEY", "b3BlcmF0b3I=")
	e := startEntra(t)
	b := open(t, e.options(azblob.Federation{Tokens: tokens("good", nil), TenantID: "tenant-id", ClientID: "client-id"}))
	for range 3 {
		if r, err := b.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
	}
	_, _ = b.Get(t.Context(), "k") // by the other client
	exchanges, puts := 0, 0
	for _, p := range e.paths() {
		if strings.HasSuffix(p, "/token") {
			exchanges++
		}
		if p == "/me/box/k" {
			puts++
		}
	}
	if exchanges != 1 || puts != 4 {
		t.Errorf("%v", e.paths())
	}
}

// Who is refused hears why; nothing was sent to the store.
func TestATokenThatIsRefused(t *testing.T) {
	contract.Row(t, 163)
	gone := errors.New("the ServiceAccount is gone")
	for name, c := range map[string]struct {
		f    azblob.Federation
		is   error
		says string
	}{
		"another token":  {azblob.Federation{Tokens: tokens("bad", nil), TenantID: "tenant-id", ClientID: "client-id"}, objstore.ErrAccessDenied, "AADSTS700213: No matching"},
		"another client": {azblob.Federation{Tokens: tokens("good", nil), TenantID: "tenant-id", ClientID: "other"}, objstore.ErrAccessDenied, "a federated credential of this client id must name"},
		"no token":       {azblob.Federation{Tokens: tokens("", gone), TenantID: "tenant-id", ClientID: "client-id"}, gone, "get a token"},
	} {
		e := startEntra(t)
		r, err := open(t, e.options(c.f)).PutIfAbsent(t.Context(), "k", nil, "a")
		if r.Outcome != objstore.Retry || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, r.Outcome, err)
		}
		for _, p := range e.paths() {
			if strings.HasPrefix(p, "/me") {
				t.Errorf("%s: %s was asked", name, p)
			}
		}
	}
	for name, f := range map[string]azblob.Federation{
		"no tokens": {TenantID: "t", ClientID: "c"}, "no tenant": {Tokens: tokens("good", nil), ClientID: "c"}, "no client": {Tokens: tokens("good", nil), TenantID: "t"},
		"in clear": {Tokens: tokens("good", nil), TenantID: "t", ClientID: "c", Authority: "http://h"},
	} {
		if _, err := azblob.Open(t.Context(), azblob.Options{Container: "b", Account: "me", Federation: &f}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
