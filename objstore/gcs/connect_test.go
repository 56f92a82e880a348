// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/gcs"
	"github.com/salvor-io/salvor/objstore/httpx"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/test/contract"
)

// serviceAccount returns the JSON key of a service account. Its token server does
// not exist: nobody must ask it.
func serviceAccount(t *testing.T, email string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": email, "private_key_id": "k1", "token_uri": "http://token.invalid/",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// issuer is whoever signed the token of a request, and for what.
func issuer(t *testing.T, a objstoretest.Asked) string {
	t.Helper()
	segments := strings.Split(strings.TrimPrefix(a.Header.Get("Authorization"), "Bearer "), ".")
	if len(segments) != 3 {
		t.Fatalf("Authorization: %q", a.Header.Get("Authorization"))
	}
	raw, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Iss, Scope string }
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Iss + " " + claims.Scope
}

const scope = " https://www.googleapis.com/auth/devstorage.read_write"

// A given key signs its own tokens, for every verb, and neither the environment
// nor the server that the key names is asked.
func TestAGivenKeyIsUsedAndNothingElse(t *testing.T) {
	contract.Row(t, 163)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file")
	t.Setenv("STORAGE_EMULATOR_HOST", "name.invalid")
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			whole(w, r)
			return
		}
		created(w, r)
	})
	o := at(s.URL)
	o.Anonymous, o.CredentialsJSON = false, serviceAccount(t, "tenant@p.iam.gserviceaccount.com")
	b := open(t, o)
	r, putErr := b.PutIfAbsent(t.Context(), "k", nil, "a")
	_, getErr := b.Get(t.Context(), "k")
	delErr := b.Delete(t.Context(), "k")
	if r.Outcome != objstore.Created || putErr != nil || getErr != nil || delErr != nil || len(s.Asked()) != 3 {
		t.Fatalf("%v, %v, %v, %v, %d requests", r.Outcome, putErr, getErr, delErr, len(s.Asked()))
	}
	for _, a := range s.Asked() {
		if got := issuer(t, a); got != "tenant@p.iam.gserviceaccount.com"+scope {
			t.Errorf("%s: %s", a.Method, got)
		}
	}
}

func TestCredentialsFromAMountedSecret(t *testing.T) {
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	o := at(s.URL)
	o.Anonymous, o.CredentialsDir = false, t.TempDir()
	b := open(t, o)
	// Not mounted yet: nothing was sent.
	if r, err := b.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Retry || !errors.Is(err, os.ErrNotExist) || len(s.Asked()) != 0 {
		t.Fatalf("%v, %v, %d requests; want Retry, ErrNotExist", r.Outcome, err, len(s.Asked()))
	}
	// Mounted, and rotated.
	for i, email := range []string{"one@p", "two@p"} {
		if err := os.WriteFile(filepath.Join(o.CredentialsDir, gcs.SecretKey), serviceAccount(t, email), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := b.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
		if got := issuer(t, s.Asked()[i]); got != email+scope {
			t.Errorf("signed by %s; want %s", got, email)
		}
	}
}

// The chain takes what the environment of this process names.
func TestTheChain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, serviceAccount(t, "me@p"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	o := at(s.URL)
	o.Anonymous = false
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if got := issuer(t, s.Asked()[0]); got != "me@p"+scope {
		t.Errorf("signed by %s", got)
	}
}

// Other kinds of credential files read files and call addresses that their author
// chose. A tenant gives none to this process.
func TestAGivenFileIsAKeyAndNoProgram(t *testing.T) {
	contract.Row(t, 163)
	for name, raw := range map[string]string{
		"a command": federated(`{"executable":{"command":"/bin/true"}}`),
		"a file":    federated(`{"file":"/var/run/secrets/kubernetes.io/serviceaccount/token"}`),
		"a URL":     federated(`{"url":"http://169.254.169.254/"}`),
		"a user":    `{"type":"authorized_user","client_id":"i","client_secret":"s","refresh_token":"r"}`,
		"nothing":   `{}`,
		"no JSON":   `-----BEGIN`,
		"no key":    `{"type":"service_account","client_email":"x","private_key":"none"}`,
	} {
		o := gcs.Options{Bucket: "b", Endpoint: "http://127.0.0.1:1", CredentialsJSON: []byte(raw)}
		if _, err := gcs.Open(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
		o.CredentialsJSON, o.CredentialsDir = nil, t.TempDir()
		if err := os.WriteFile(filepath.Join(o.CredentialsDir, gcs.SecretKey), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Retry || !strings.Contains(err.Error(), gcs.SecretKey) {
			t.Errorf("%s: %v, %v", name, r.Outcome, err)
		}
	}
}

// federated is a whole and valid file of workload identity federation.
func federated(source string) string {
	return `{"type":"external_account","audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",` +
		`"subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":` + source + `}`
}

func TestOptionsThatCannotWork(t *testing.T) {
	for name, o := range map[string]gcs.Options{
		"no bucket":   {Anonymous: true},
		"a path":      {Anonymous: true, Bucket: "b/c"},
		"no URL":      {Anonymous: true, Bucket: "b", Endpoint: "host:7070"},
		"another way": {Anonymous: true, Bucket: "b", Endpoint: "ftp://host"},
		"a query":     {Anonymous: true, Bucket: "b", Endpoint: "http://host/?x=y"},
		"negative":    {Anonymous: true, Bucket: "b", Limits: httpx.Limits{MaxConns: -1}},
	} {
		if _, err := gcs.Open(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
