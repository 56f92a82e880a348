// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials/externalaccount"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
)

// Federation exchanges tokens of another issuer for Google's, by workload identity
// federation, shortly before the last ones expire:
//
//	token ──▶ sts.googleapis.com/v1/token ──▶ federated token ─┬─▶ Cloud Storage
//	          is it of the provider's issuer?                  │
//	                       iamcredentials.googleapis.com ◀─────┘ Impersonate
//	                       may it be that service account? ──▶ its token ──▶ Cloud Storage
type Federation struct {
	// Tokens are shown to Google.
	Tokens objstore.TokenSource
	// Provider is who vouches for their issuer, projects/NUMBER/locations/global/
	// workloadIdentityPools/POOL/providers/PROVIDER.
	Provider string
	// Impersonate is the e-mail address of a service account whose rights are used.
	// Empty: those of the token's own principal.
	Impersonate string
	// Endpoint is the base URL of a server that stands for both of Google's.
	Endpoint string
}

func (f *Federation) check() error {
	switch {
	case f.Tokens == nil:
		return errors.New("gcs: federation without a source of tokens")
	case !strings.HasPrefix(f.Provider, "projects/"):
		return fmt.Errorf("gcs: federation: %q is no provider: projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER", f.Provider)
	case strings.ContainsAny(f.Impersonate, "/?#"):
		return fmt.Errorf("gcs: federation: %q is no service account's e-mail address", f.Impersonate)
	case f.Endpoint != "":
		return httpx.CheckEndpoint(f.Endpoint)
	}
	return nil
}

// credentials are what the tokens are exchanged for; they are cached.
func (f *Federation) credentials(client *http.Client) (*auth.Credentials, error) {
	exchange, impersonate := "https://sts.googleapis.com", "https://iamcredentials.googleapis.com"
	if f.Endpoint != "" {
		exchange = strings.TrimSuffix(f.Endpoint, "/")
		impersonate = exchange
	}
	o := &externalaccount.Options{
		Audience: "//iam.googleapis.com/" + f.Provider, SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
		TokenURL: exchange + "/v1/token", SubjectTokenProvider: subject{f.Tokens}, Scopes: []string{scope},
		Client: &http.Client{Transport: refusals{client.Transport}, CheckRedirect: client.CheckRedirect, Timeout: client.Timeout},
	}
	if f.Impersonate != "" {
		o.ServiceAccountImpersonationURL = impersonate + "/v1/projects/-/serviceAccounts/" + f.Impersonate + ":generateAccessToken"
	}
	return externalaccount.NewCredentials(o)
}

// subject hands our tokens to the library.
type subject struct{ tokens objstore.TokenSource }

// SubjectToken implements externalaccount.SubjectTokenProvider.
func (s subject) SubjectToken(ctx context.Context, _ *externalaccount.RequestOptions) (string, error) {
	token, err := s.tokens.Token(ctx)
	return token.Value, err
}

const hintFederation = "Google refuses the token: the provider must name the issuer of these tokens and their audience, and where a service account is impersonated, the token's subject needs roles/iam.workloadIdentityUser on it"

// refusals turns answers that asking again does not change into errors to branch on;
// the library makes text of them.
type refusals struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (r refusals) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil || resp.StatusCode < 400 || resp.StatusCode >= 500 || resp.StatusCode == http.StatusRequestTimeout || resp.StatusCode == http.StatusTooManyRequests {
		return resp, err
	}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // what can be read of a refusal
	_ = resp.Body.Close()
	var said struct {
		Description string `json:"error_description"` // of the exchange
	}
	var inner struct {
		Error struct{ Message string } // of the impersonation
	}
	_, _ = json.Unmarshal(raw, &said), json.Unmarshal(raw, &inner)
	return nil, fmt.Errorf("%w: %s: %d %.300s%.300s", objstore.ErrAccessDenied, hintFederation, resp.StatusCode, said.Description, inner.Error.Message)
}
