// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

func TestCredentialsFromAMountedSecret(t *testing.T) {
	server := objstoretest.StartVersitygw(t)
	o := server.Options(server.NewBucket(t))
	dir := t.TempDir()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": o.AccessKeyID + "\n", "AWS_SECRET_ACCESS_KEY": o.SecretAccessKey + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.AccessKeyID, o.SecretAccessKey, o.CredentialsDir = "", "", dir
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	// Files that are not there: nothing was sent.
	o.CredentialsDir = filepath.Join(dir, "nowhere")
	if r, err := open(t, o).PutIfAbsent(t.Context(), "j", nil, "a"); r.Outcome != objstore.Retry || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v, %v; want Retry, ErrNotExist", r.Outcome, err)
	}
}

// With credentials given the environment of this process is not asked.
func TestGivenCredentialsAreNotMixedWithTheEnvironment(t *testing.T) {
	contract.Row(t, 163)
	t.Setenv("AWS_ACCESS_KEY_ID", "operator")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "operator")
	t.Setenv("AWS_PROFILE", "does-not-exist")
	t.Setenv("AWS_ENDPOINT_URL", "http://name.invalid")
	s := serve(t, func(int, http.ResponseWriter, *http.Request) {})
	if r, err := open(t, s.options()).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if auth := s.seen()[0].Header.Get("Authorization"); !strings.Contains(auth, "Credential=id/") {
		t.Errorf("signed as %s", auth)
	}
}

func TestACAOfOnesOwn(t *testing.T) {
	tls := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // it will say that we do not trust it
	tls.StartTLS()
	defer tls.Close()
	o := s3.Options{Bucket: "bucket", Endpoint: tls.URL, PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret"}
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Retry || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v, %v; want Retry", r.Outcome, err)
	}
	o.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
		t.Errorf("%v, %v", r.Outcome, err)
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, o.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	o.CA = nil
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
		t.Errorf("AWS_CA_BUNDLE: %v, %v", r.Outcome, err)
	}
	// And with the SDK's own chain, which reads the bundle itself.
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	o.AccessKeyID, o.SecretAccessKey = "", ""
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
		t.Errorf("AWS_CA_BUNDLE and the chain: %v, %v", r.Outcome, err)
	}
	o.CA = []byte("no certificate")
	if _, err := s3.Open(t.Context(), o); err == nil {
		t.Error("a CA that is none was taken")
	}
}

// The environment is read once per process, so the put is made by another one.
func TestTheProxyOfTheEnvironmentIsUsed(t *testing.T) {
	if os.Getenv("SALVOR_TEST_PROXY_CHILD") != "" {
		o := s3.Options{Bucket: "bucket", Endpoint: "http://s3.invalid", PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret"}
		if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
		return
	}
	proxy := serve(t, func(int, http.ResponseWriter, *http.Request) {})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheProxyOfTheEnvironmentIsUsed$")
	cmd.Env = append(os.Environ(), "SALVOR_TEST_PROXY_CHILD=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if seen := proxy.seen(); len(seen) != 1 || seen[0].URL.Host != "s3.invalid" {
		t.Fatalf("the proxy saw %d requests", len(seen))
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	for name, o := range map[string]s3.Options{
		"no bucket":   {},
		"half a key":  {Bucket: "b", Endpoint: "http://h", AccessKeyID: "id"},
		"no URL":      {Bucket: "b", Endpoint: "host:7070"},
		"another way": {Bucket: "b", Endpoint: "ftp://host"},
	} {
		if _, err := s3.Open(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
