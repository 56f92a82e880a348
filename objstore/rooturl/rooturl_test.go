// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package rooturl_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

func open(t *testing.T, root string, o rooturl.Options) objstore.Bucket {
	t.Helper()
	b, err := rooturl.Open(t.Context(), root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func put(t *testing.T, b objstore.Bucket, key string) {
	t.Helper()
	if r, err := b.PutIfAbsent(t.Context(), key, nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
}

func has(t *testing.T, b objstore.Bucket, key string) bool {
	t.Helper()
	_, err := b.Get(t.Context(), key)
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with space", "root")
	put(t, open(t, (&url.URL{Scheme: "file", Path: dir}).String(), rooturl.Options{}), "a/b")
	if _, err := os.Stat(filepath.Join(dir, "a", "b")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(dir))
	if !has(t, open(t, "file:root", rooturl.Options{}), "a/b") || !has(t, open(t, "file:./root", rooturl.Options{}), "a/b") {
		t.Error("the relative directory is another one")
	}
	_, err := rooturl.Open(t.Context(), "file:///no/such/root", rooturl.Options{File: file.Options{MustExist: true}})
	if !errors.Is(err, objstore.ErrNoSuchBucket) {
		t.Errorf("%v; want ErrNoSuchBucket", err)
	}
}

func TestMemoryIsNamedInTheProcess(t *testing.T) {
	one := open(t, "mem://"+strings.ToLower(t.Name()), rooturl.Options{})
	put(t, one, "tenant/k")
	defer func() { _ = one.Delete(context.Background(), "tenant/k") }() // the next run in this process finds it empty
	_ = one.Close()
	if !has(t, open(t, "mem://"+strings.ToLower(t.Name())+"/tenant/", rooturl.Options{}), "k") {
		t.Error("the same name is another bucket")
	}
	if has(t, open(t, "mem://another", rooturl.Options{}), "tenant/k") {
		t.Error("another name is the same bucket")
	}
}

func TestABucketOfAServer(t *testing.T) {
	server := objstoretest.StartGofakes3(t)
	name := server.NewBucket(t)
	keys := rooturl.Options{S3: s3.Options{AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey}}
	query := "?endpoint=" + url.QueryEscape(server.Endpoint) + "&region=us-east-1&path_style=true"
	put(t, open(t, "s3://"+name+"/a/b/"+query, keys), "k")
	if !has(t, open(t, "s3://"+name+query, keys), "a/b/k") || !has(t, open(t, "s3://"+name+"/a?endpoint="+server.Endpoint, keys), "b/k") {
		t.Error("the prefix is not where it belongs")
	}
	if !has(t, open(t, "s3://"+name+query+"&connect_timeout=1s&request_timeout=30s&read_attempts=2&max_backoff=20ms&max_connections=4", keys), "a/b/k") {
		t.Error("not read with other settings")
	}
	// A mounted Secret.
	dir := t.TempDir()
	_ = os.WriteFile(filepath.Join(dir, "AWS_ACCESS_KEY_ID"), []byte("id"), 0o600)
	_ = os.WriteFile(filepath.Join(dir, "AWS_SECRET_ACCESS_KEY"), []byte("secret"), 0o600)
	if !has(t, open(t, "s3://"+name+query+"&credentials_dir="+dir, rooturl.Options{}), "a/b/k") {
		t.Error("not read with the mounted credentials")
	}
}

// What the URLs of the clouds say arrives at their servers.
func TestTheClouds(t *testing.T) {
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}")
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	put(t, open(t, "gs://bucket/a/b?anonymous=true&endpoint="+url.QueryEscape(s.URL), rooturl.Options{}), "k")
	dir := t.TempDir()
	_ = os.WriteFile(filepath.Join(dir, "AZURE_STORAGE_KEY"), []byte("a2V5"), 0o600)
	put(t, open(t, "azblob://box/a/b?storage_account=me&credentials_dir="+dir+"&endpoint="+url.QueryEscape(s.URL+"/me"), rooturl.Options{}), "k")
	seen := s.Asked()
	if len(seen) != 2 || seen[0].URL.Path != "/upload/storage/v1/b/bucket/o" || !strings.Contains(string(seen[0].Body), `"name":"a/b/k"`) {
		t.Errorf("gs: %d requests, %v", len(seen), seen[0].URL)
	}
	if seen[1].URL.Path != "/me/box/a/b/k" || !strings.HasPrefix(seen[1].Header.Get("Authorization"), "SharedKey me:") {
		t.Errorf("azblob: %v, %v", seen[1].URL, seen[1].Header)
	}
}

// A root that is opened by a token reads it when it is needed: what is not mounted
// yet is no reason not to start.
func TestATokenThatIsMountedLater(t *testing.T) {
	contract.Row(t, 163)
	const gone = "/no/such/token"
	root := "gs://b?token_file=" + gone + "&identity_provider=projects/1/locations/global/workloadIdentityPools/p/providers/q"
	r, err := open(t, root, rooturl.Options{}).PutIfAbsent(t.Context(), "k", nil, "a")
	if r.Outcome != objstore.Retry || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), gone) {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	// And the file is read anew, without the line's end.
	path := filepath.Join(t.TempDir(), "token")
	source := objstore.TokenFile(path)
	for _, value := range []string{"one", "two"} {
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := source.Token(t.Context()); err != nil || got.Value != value {
			t.Errorf("%+v, %v; want %s", got, err, value)
		}
	}
	_ = os.WriteFile(path, []byte("\n"), 0o600)
	if _, err := source.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty file: %v", err)
	}
}

func TestAnUnknownSchemeNamesTheKnownOnes(t *testing.T) {
	for _, root := range []string{"az://container", "http://host/x", "/a/path", ""} {
		_, err := rooturl.Open(t.Context(), root, rooturl.Options{})
		var unknown *rooturl.UnknownSchemeError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "file://, mem://, s3://, gs://, azblob://") {
			t.Errorf("%q: %v", root, err)
		}
	}
}

func TestWhatWouldBeIgnoredIsRefused(t *testing.T) {
	t.Setenv("AZURE_STORAGE_ACCOUNT", "")
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "")
	for root, word := range map[string]string{
		"file://data/x":                                    "three slashes",
		"file://":                                          "no directory",
		"file:///tmp/x?sync=false":                         "sync",
		"mem://":                                           "name",
		"mem://x?page=3":                                   "takes none",
		"mem://x/../y":                                     "segment",
		"s3://":                                            "no bucket",
		"s3://b?regoin=x":                                  "regoin",
		"s3://b?region=x&region=y":                         "2 times",
		"s3://b?path_style=maybe&region=x":                 "true or false",
		"s3://b/a//b?region=x":                             "segment",
		"s3://b/x#y":                                       "'#'",
		"s3://id:hunter2@b/x":                              "credentials",
		"s3://b?endpoint=host:1":                           "must be a URL",
		"s3://b?ca_file=/no/such/file":                     "ca_file",
		"s3://b?region=x&read_attempts=0":                  "read_attempts",
		"s3://b?region=x&max_backoff=soon":                 "max_backoff",
		"s3://b?region=x&request_timeout=0":                "request_timeout",
		"s3://id:hunter2@b/%zz":                            "cannot be parsed",
		"gs://":                                            "no bucket",
		"gs://b?region=x":                                  "gs:// takes endpoint",
		"gs://b?anonymous=maybe":                           "true or false",
		"gs://b?anonymous=true&endpoint=x":                 "must be a URL",
		"gs://b/a//b?anonymous=true":                       "segment",
		"gs://b?ca_file=/no/such/file":                     "ca_file",
		"gs://id:hunter2@b":                                "credentials",
		"gs://b?token_file=/x":                             "no provider",
		"gs://b?impersonate=a@b":                           "belongs to token_file",
		"gs://b?identity_provider=projects":                "belongs to token_file",
		"azblob://c?storage_account=me&token_file=/x":      "tenant's and the client's id",
		"azblob://c?token_file=/x&tenant_id=t&client_id=c": "no storage account",
		"azblob://c?storage_account=me&token_file=/x&tenant_id=t&client_id=c&sts_endpoint=http://h": "https://",
		"azblob://c?storage_account=me&client_id=c":                                                 "belongs to token_file",
		"azblob://":                        "no container",
		"azblob://c?account=x":             "storage_account",
		"azblob://c?endpoint=x":            "must be a URL",
		"azblob://c":                       "no storage account",
		"azblob://c?ca_file=/no/such/file": "ca_file",
	} {
		b, err := rooturl.Open(t.Context(), root, rooturl.Options{})
		if err == nil || b != nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", root, err)
		}
	}
}
