// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/azblob"
	"github.com/salvor-io/salvor/objstore/httpx"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/test/contract"
)

func TestCredentialsFromAMountedSecret(t *testing.T) {
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	dir := t.TempDir()
	b := open(t, azblob.Options{Container: "box", Endpoint: s.URL, CredentialsDir: dir})
	put := func() (objstore.PutResult, error) { return b.PutIfAbsent(t.Context(), "k", nil, "a") }
	write := func(name, value string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Not mounted yet, or half of it: nothing was sent.
	if r, err := put(); r.Outcome != objstore.Retry || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v, %v; want Retry, ErrNotExist", r.Outcome, err)
	}
	write(azblob.SecretKey, "a2V5\n")
	if r, err := put(); r.Outcome != objstore.Retry || !strings.Contains(err.Error(), azblob.SecretAccount) {
		t.Fatalf("%v, %v; want Retry and what is missing", r.Outcome, err)
	}
	if got := len(s.Asked()); got != 0 {
		t.Fatalf("%d requests", got)
	}
	// Mounted, rotated, and replaced by a connection string.
	signed := func() string {
		t.Helper()
		if r, err := put(); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
		seen := s.Asked()
		return seen[len(seen)-1].Header.Get("Authorization") + " " + seen[len(seen)-1].URL.RawQuery
	}
	write(azblob.SecretAccount, "one\n")
	if got := signed(); !strings.HasPrefix(got, "SharedKey one:") {
		t.Error(got)
	}
	write(azblob.SecretAccount, "two")
	if got := signed(); !strings.HasPrefix(got, "SharedKey two:") {
		t.Error(got)
	}
	write(azblob.SecretConnectionString, "BlobEndpoint="+s.URL+"/;SharedAccessSignature=sv=2024-01-01&sig=abc")
	if got := signed(); got != " sig=abc&sv=2024-01-01" {
		t.Error(got)
	}
}

// With credentials given the environment of this process is not asked.
func TestGivenCredentialsAreNotMixedWithTheEnvironment(t *testing.T) {
	contract.Row(t, 163)
	t.Setenv("AZURE_STORAGE_ACCOUNT", "operator")
	t.Setenv("AZURE_STORAGE_KEY", "b3BlcmF0b3I=")
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "BlobEndpoint="+s.URL+";AccountName=operator;AccountKey=b3BlcmF0b3I=")
	if r, err := open(t, at(s.URL)).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if got := s.Asked()[0].Header.Get("Authorization"); !strings.HasPrefix(got, "SharedKey account:") {
		t.Errorf("signed as %s", got)
	}
	o := at(s.URL)
	o.AccountKey, o.CredentialsDir = "", t.TempDir()
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Retry || len(s.Asked()) != 1 {
		t.Errorf("an empty Secret: %v, %v", r.Outcome, err)
	}
}

// Without any, they are those of the az command.
func TestTheVariablesOfTheCommandLine(t *testing.T) {
	t.Setenv("AZURE_STORAGE_ACCOUNT", "me")
	t.Setenv("AZURE_STORAGE_KEY", "a2V5")
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	if r, err := open(t, azblob.Options{Container: "box", Endpoint: s.URL}).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if got := s.Asked()[0].Header.Get("Authorization"); !strings.HasPrefix(got, "SharedKey me:") {
		t.Errorf("signed as %s", got)
	}
}

// The chain of Azure's libraries gives a token, and a token never travels in clear.
func TestATokenIsNotSentWithoutTLS(t *testing.T) {
	clearAzure(t)
	t.Setenv("AZURE_CLIENT_ID", "client")
	t.Setenv("AZURE_TENANT_ID", "tenant")
	t.Setenv("AZURE_CLIENT_SECRET", "secret")
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	r, err := open(t, azblob.Options{Container: "box", Endpoint: s.URL}).PutIfAbsent(t.Context(), "k", nil, "a")
	if r.Outcome != objstore.Retry || err == nil || !strings.Contains(err.Error(), "TLS") || len(s.Asked()) != 0 {
		t.Errorf("%v, %v, %d requests; want Retry, and nothing sent", r.Outcome, err, len(s.Asked()))
	}
}

// clearAzure takes from a test what its machine may have.
func clearAzure(t *testing.T) {
	for _, name := range []string{"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TOKEN_CREDENTIALS"} {
		t.Setenv(name, "") // so that it is put back
		_ = os.Unsetenv(name)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	clearAzure(t)
	for name, o := range map[string]azblob.Options{
		"no container":       {Account: "a", AccountKey: "a2V5"},
		"a path":             {Account: "a", AccountKey: "a2V5", Container: "b/c"},
		"no account":         {AccountKey: "a2V5", Container: "b"},
		"no account at all":  {Container: "b"},
		"a key for nobody":   {AccountKey: "a2V5", Container: "b", Endpoint: "http://h"},
		"a key that is none": {Account: "a", AccountKey: "?", Container: "b"},
		"no URL":             {Account: "a", AccountKey: "a2V5", Container: "b", Endpoint: "host:1"},
		"no connection":      {ConnectionString: "nonsense", Container: "b"},
		"negative":           {Account: "a", AccountKey: "a2V5", Container: "b", Limits: httpx.Limits{ReadAttempts: -1}},
	} {
		if _, err := azblob.Open(t.Context(), o); err == nil || strings.Contains(err.Error(), "a2V5") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A shared access signature stands in the URL, and in no error: those end in
// conditions and logs.
func TestErrorsDoNotTellTheSignature(t *testing.T) {
	contract.Row(t, 163)
	const connection = "BlobEndpoint=http://127.0.0.1:1/;SharedAccessSignature=sv=2024-01-01&sig=hunter2"
	b := open(t, azblob.Options{Container: "box", ConnectionString: connection, Limits: httpx.Limits{ReadAttempts: 1}})
	_, put := b.PutIfAbsent(t.Context(), "k", nil, "a")
	_, get := b.Get(t.Context(), "k")
	del := b.Delete(t.Context(), "k")
	var list error
	for _, err := range b.List(t.Context(), "", "") {
		list = err
	}
	for verb, err := range map[string]error{"put": put, "get": get, "delete": del, "list": list} {
		if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1/box") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// An account that is named is asked, and not the one of a connection string that
// happens to be in the environment.
func TestANamedAccountIsNotReplacedByTheEnvironment(t *testing.T) {
	contract.Row(t, 163)
	clearAzure(t)
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	other := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "BlobEndpoint="+other.URL+";AccountName=other;AccountKey=b3RoZXI=")
	t.Setenv("AZURE_STORAGE_KEY", "a2V5")
	b := open(t, azblob.Options{Container: "box", Account: "named", Endpoint: s.URL})
	if r, err := b.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if n, seen := len(other.Asked()), s.Asked(); n != 0 || len(seen) != 1 || !strings.HasPrefix(seen[0].Header.Get("Authorization"), "SharedKey named:") {
		t.Fatalf("%d requests to the other account; to the named one: %+v", n, seen)
	}
	if r, err := open(t, azblob.Options{Container: "box"}).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created || len(other.Asked()) != 1 {
		t.Errorf("nothing named: %v, %v", r.Outcome, err)
	}
}
