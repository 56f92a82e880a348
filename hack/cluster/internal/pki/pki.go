// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package pki makes the certificates of a cluster. They are written once and
// found again by later starts.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity is long, since a test cluster that dies of age helps nobody.
const validity = 10 * 365 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	Dir  string
	Name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is where a certificate and its key are.
type Pair struct{ Cert, Key string }

// CertFile is the path of the authority's certificate.
func (a *Authority) CertFile() string { return filepath.Join(a.Dir, a.Name+".crt") }

// KeyFile is the path of the authority's key.
func (a *Authority) KeyFile() string { return filepath.Join(a.Dir, a.Name+".key") }

// OpenAuthority loads the named authority or makes it.
func OpenAuthority(dir, name string) (*Authority, error) {
	a := &Authority{Dir: dir, Name: name}
	certPEM, err := os.ReadFile(a.CertFile())
	if errors.Is(err, os.ErrNotExist) {
		return a, a.create()
	}
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(a.KeyFile())
	if err != nil {
		return nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("%s or its key is damaged: run down, then up", a.CertFile())
	}
	if a.cert, err = x509.ParseCertificate(certBlock.Bytes); err != nil {
		return nil, err
	}
	a.key, err = x509.ParseECPrivateKey(keyBlock.Bytes)
	return a, err
}

func (a *Authority) create() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := newTemplate(pkix.Name{CommonName: a.Name})
	if err != nil {
		return err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	return writePair(Pair{a.CertFile(), a.KeyFile()}, der, key)
}

// Issue returns the named certificate, made now if it is not there: for the
// given user and groups as a client, and for the hosts as a server if any.
func (a *Authority) Issue(name, user string, groups []string, hosts ...string) (Pair, error) {
	pair := Pair{Cert: filepath.Join(a.Dir, name+".crt"), Key: filepath.Join(a.Dir, name+".key")}
	if _, err := os.Stat(pair.Cert); err == nil {
		return pair, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	template, err := newTemplate(pkix.Name{CommonName: user, Organization: groups})
	if err != nil {
		return pair, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair, err
	}
	return pair, writePair(pair, der, key)
}

// KeyPair returns the named bare key pair, which signs service account tokens.
func KeyPair(dir, name string) (Pair, error) {
	pair := Pair{Cert: filepath.Join(dir, name+".pub"), Key: filepath.Join(dir, name+".key")}
	if _, err := os.Stat(pair.Cert); err == nil {
		return pair, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return pair, err
	}
	if err := writeKey(pair.Key, key); err != nil {
		return pair, err
	}
	return pair, writeFile(pair.Cert, "PUBLIC KEY", public, 0o644)
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Hour), // clocks of test machines jump
		NotAfter:     now.Add(validity),
	}, nil
}

// writePair writes the key first: the certificate's presence says both are there.
func writePair(pair Pair, der []byte, key *ecdsa.PrivateKey) error {
	if err := writeKey(pair.Key, key); err != nil {
		return err
	}
	return writeFile(pair.Cert, "CERTIFICATE", der, 0o644)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, "EC PRIVATE KEY", der, 0o600)
}

func writeFile(path, kind string, der []byte, mode os.FileMode) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
