// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

func TestIssue(t *testing.T) {
	dir := t.TempDir()
	ca, err := OpenAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue("server", "system:node:x", []string{"system:nodes"}, "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(pair.Cert)
	if _, err := again.Issue("server", "system:node:x", []string{"system:nodes"}, "127.0.0.1", "localhost"); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(pair.Cert); string(before) != string(after) {
		t.Error("a second start issued the certificate anew: running processes would not match it")
	}
	client, err := again.Issue("client", "admin", nil)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca.CertFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, test := range []struct {
		pair   Pair
		host   string
		usage  x509.ExtKeyUsage
		passes bool
	}{
		{pair, "127.0.0.1", x509.ExtKeyUsageServerAuth, true},
		{pair, "localhost", x509.ExtKeyUsageServerAuth, true},
		{pair, "", x509.ExtKeyUsageClientAuth, true},
		{pair, "example.com", x509.ExtKeyUsageServerAuth, false},
		{client, "", x509.ExtKeyUsageClientAuth, true},
		{client, "", x509.ExtKeyUsageServerAuth, false},
	} {
		loaded, err := tls.LoadX509KeyPair(test.pair.Cert, test.pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = loaded.Leaf.Verify(x509.VerifyOptions{DNSName: test.host, Roots: roots, KeyUsages: []x509.ExtKeyUsage{test.usage}})
		if (err == nil) != test.passes {
			t.Errorf("%s as %q, usage %d: %v", test.pair.Cert, test.host, test.usage, err)
		}
	}
	if info, err := os.Stat(pair.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key's mode: %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir, "ca"); err == nil {
		t.Error("a damaged authority is accepted")
	}
}
