// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
)

// SecretKey is the file of CredentialsDir, and the entry of a Secret, that holds
// the JSON key of a service account.
const SecretKey = "GOOGLE_CREDENTIALS"

// scope is what a token is good for; IAM says what it may do.
const scope = "https://www.googleapis.com/auth/devstorage.read_write"

// authorizer gives each request its token. Tokens are cached until shortly before
// they expire.
type authorizer struct {
	dir  string       // "": credentials are fixed
	http *http.Client // for token servers

	mu    sync.Mutex
	raw   []byte
	creds *auth.Credentials
}

// newAuthorizer returns how requests are authorized; nil: not at all. With
// credentials given nothing else is asked: a tenant's bucket is never opened with
// the identity of this process.
func newAuthorizer(o Options, client *http.Client) (*authorizer, error) {
	a := &authorizer{dir: o.CredentialsDir, http: client}
	var err error
	switch {
	case o.Anonymous:
		return nil, nil
	case len(o.CredentialsJSON) > 0:
		a.dir = ""
		a.creds, err = a.serviceAccount(o.CredentialsJSON)
	case o.CredentialsDir != "":
		return a, nil
	case o.Federation != nil:
		a.creds, err = o.Federation.credentials(client)
	default:
		a.creds, err = credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{scope}, UseSelfSignedJWT: true, Client: client})
	}
	if err != nil {
		return nil, fmt.Errorf("gcs: %w", err)
	}
	return a, nil
}

// serviceAccount takes keys of service accounts only.
func (a *authorizer) serviceAccount(raw []byte) (*auth.Credentials, error) {
	return credentials.NewCredentialsFromJSON(credentials.ServiceAccount, raw, &credentials.DetectOptions{
		Scopes: []string{scope}, UseSelfSignedJWT: true, Client: a.http,
	})
}

// current are the credentials to use now.
func (a *authorizer) current() (*auth.Credentials, error) {
	if a.dir == "" {
		return a.creds, nil
	}
	raw, err := os.ReadFile(filepath.Join(a.dir, SecretKey))
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.creds == nil || !bytes.Equal(raw, a.raw) {
		creds, err := a.serviceAccount(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", SecretKey, err)
		}
		a.raw, a.creds = raw, creds
	}
	return a.creds, nil
}

// authorize is httpx.Observer's Authorize.
func (a *authorizer) authorize(req *http.Request) error {
	creds, err := a.current()
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	token, err := creds.Token(req.Context())
	if err != nil {
		return fmt.Errorf("get a token: %w", err)
	}
	req.Header.Set("Authorization", token.Type+" "+token.Value)
	return nil
}
