// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/gcs"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/test/contract"
)

const provider = "projects/1/locations/global/workloadIdentityPools/p/providers/q"

// google stands for the token service, for impersonation and for Cloud Storage. It
// trusts one token, and each step takes only what the step before gave.
func google(storageWants string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		refuse := func(status int, body string) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
		switch {
		case r.URL.Path == "/v1/token":
			raw, _ := io.ReadAll(r.Body)
			q, _ := url.ParseQuery(string(raw))
			if q.Get("subject_token") != "good" || q.Get("audience") != "//iam.googleapis.com/"+provider ||
				q.Get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" || q.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" {
				refuse(http.StatusBadRequest, `{"error":"invalid_grant","error_description":"The audience in ID Token does not match."}`)
				return
			}
			_, _ = io.WriteString(w, `{"access_token":"federated","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)
		case strings.HasPrefix(r.URL.Path, "/v1/projects/-/serviceAccounts/"):
			if bearer != "federated" || r.URL.Path != "/v1/projects/-/serviceAccounts/writer@p.iam.gserviceaccount.com:generateAccessToken" {
				refuse(http.StatusForbidden, `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getAccessToken' denied"}}`)
				return
			}
			_, _ = io.WriteString(w, `{"accessToken":"impersonated","expireTime":"2999-01-01T00:00:00Z"}`)
		case bearer != storageWants:
			refuse(http.StatusUnauthorized, `{"error":{"code":401,"errors":[{"reason":"authError"}]}}`)
		default:
			created(w, r)
		}
	}
}

// scripted puts the body back: the script has read it.
func scripted(t *testing.T, respond func(int, http.ResponseWriter, *http.Request)) *objstoretest.Script {
	var s *objstoretest.Script
	s = objstoretest.StartScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
		seen := s.Asked()
		r.Body = io.NopCloser(strings.NewReader(string(seen[n-1].Body)))
		respond(n, w, r)
	})
	return s
}

func tokens(value string, err error) objstore.TokenSource {
	return objstore.TokenFunc(func(context.Context) (objstore.Token, error) { return objstore.Token{Value: value}, err })
}

// A token is exchanged, perhaps for that of a service account, once for all requests
// until it expires; the identity of this process is not asked.
func TestATokenIsExchanged(t *testing.T) {
	contract.Row(t, 163)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file")
	for name, c := range map[string]struct {
		impersonate, gives string
		requests           int
	}{
		"the principal's own rights": {"", "federated", 1 + 3},
		"those of a service account": {"writer@p.iam.gserviceaccount.com", "impersonated", 2 + 3},
	} {
		s := scripted(t, google(c.gives))
		o := gcs.Options{Bucket: "bucket", Endpoint: s.URL, Federation: &gcs.Federation{Tokens: tokens("good", nil), Provider: provider, Impersonate: c.impersonate, Endpoint: s.URL + "/"}}
		b := open(t, o)
		for range 3 {
			if r, err := b.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
				t.Fatalf("%s: %v, %v", name, r.Outcome, err)
			}
		}
		if got := len(s.Asked()); got != c.requests {
			t.Errorf("%s: %d requests, want %d", name, got, c.requests)
		}
	}
}

// Who is refused hears why; nothing was sent to the store.
func TestATokenThatIsRefused(t *testing.T) {
	contract.Row(t, 163)
	gone := errors.New("the ServiceAccount is gone")
	for name, c := range map[string]struct {
		f    gcs.Federation
		is   error
		says string
	}{
		"another token":           {gcs.Federation{Tokens: tokens("bad", nil), Provider: provider}, objstore.ErrAccessDenied, "The audience in ID Token does not match"},
		"another provider":        {gcs.Federation{Tokens: tokens("good", nil), Provider: provider + "r"}, objstore.ErrAccessDenied, "the provider must name the issuer"},
		"another service account": {gcs.Federation{Tokens: tokens("good", nil), Provider: provider, Impersonate: "admin@p.iam.gserviceaccount.com"}, objstore.ErrAccessDenied, "getAccessToken"},
		"no token":                {gcs.Federation{Tokens: tokens("", gone), Provider: provider}, gone, "get a token"},
	} {
		s := scripted(t, google("federated"))
		c.f.Endpoint = s.URL
		r, err := open(t, gcs.Options{Bucket: "bucket", Endpoint: s.URL, Federation: &c.f}).PutIfAbsent(t.Context(), "k", nil, "a")
		if r.Outcome != objstore.Retry || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, r.Outcome, err)
		}
		for _, a := range s.Asked() {
			if strings.HasPrefix(a.URL.Path, "/upload") {
				t.Errorf("%s: %s was asked", name, a.URL.Path)
			}
		}
	}
	for name, f := range map[string]gcs.Federation{
		"no tokens": {Provider: provider}, "no provider": {Tokens: tokens("good", nil)}, "no e-mail address": {Tokens: tokens("good", nil), Provider: provider, Impersonate: "a/b"},
		"no URL": {Tokens: tokens("good", nil), Provider: provider, Endpoint: "host"},
	} {
		if _, err := gcs.Open(t.Context(), gcs.Options{Bucket: "b", Federation: &f}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
