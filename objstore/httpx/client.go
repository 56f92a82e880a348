// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Limits bound what one call costs. A zero field takes its default.
type Limits struct {
	// DialTimeout bounds finding and connecting to the server; 5 s when zero.
	DialTimeout time.Duration
	// AnswerTimeout bounds the wait between the end of a request and the first
	// byte of its answer; 10 s when zero.
	AnswerTimeout time.Duration
	// CallTimeout bounds one call of the bucket, attempts and bodies included, and
	// of a listing each page. When zero: ReadAttempts times the sum of DialTimeout,
	// AnswerTimeout and MaxBackoff, at least 60 s.
	CallTimeout time.Duration
	// MaxConns bounds the connections to the server; 64 when zero.
	MaxConns int
	// ReadAttempts is how often a read or a listing is tried, with a growing and
	// random pause in between; 3 when zero. Puts and deletes are sent once.
	ReadAttempts int
	// MaxBackoff bounds that pause; 5 s when zero.
	MaxBackoff time.Duration
}

// WithDefaults returns l with every zero filled in, or why it cannot be used.
func (l Limits) WithDefaults() (Limits, error) {
	if l.DialTimeout < 0 || l.AnswerTimeout < 0 || l.CallTimeout < 0 || l.MaxConns < 0 || l.ReadAttempts < 0 || l.MaxBackoff < 0 {
		return l, fmt.Errorf("limits %+v: none may be negative", l)
	}
	setDefault(&l.DialTimeout, 5*time.Second)
	setDefault(&l.AnswerTimeout, 10*time.Second)
	setDefault(&l.MaxConns, 64)
	setDefault(&l.ReadAttempts, 3)
	setDefault(&l.MaxBackoff, 5*time.Second)
	setDefault(&l.CallTimeout, max(60*time.Second, time.Duration(l.ReadAttempts)*(l.DialTimeout+l.AnswerTimeout+l.MaxBackoff)))
	return l, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// NewClient returns a client that sends a request once and follows no redirect.
// HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured. ca are PEM certificates to
// trust besides those of the host; nil adds none. l has no zero field.
//
// HTTP/1.1 only: an HTTP/2 connection sends a request again by itself when the
// peer goes away. No compression: what is stored is what was put.
func NewClient(l Limits, ca []byte) (*http.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(ca) {
			return nil, errors.New("the CA bundle has no PEM certificate")
		}
		tlsConfig.RootCAs = pool
	}
	dialer := &net.Dialer{Timeout: l.DialTimeout, KeepAlive: 30 * time.Second}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			TLSClientConfig:       tlsConfig,
			TLSHandshakeTimeout:   l.DialTimeout,
			ResponseHeaderTimeout: l.AnswerTimeout,
			ExpectContinueTimeout: time.Second,
			IdleConnTimeout:       30 * time.Second,
			MaxConnsPerHost:       l.MaxConns,
			MaxIdleConns:          l.MaxConns,
			MaxIdleConnsPerHost:   l.MaxConns,
			DisableCompression:    true,
			// Not nil and empty: HTTP/1.1 only.
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		},
	}, nil
}

// CheckEndpoint returns an error unless s is the base URL of a server, as in
// "https://host:port" or "http://[::1]:10000/account".
func CheckEndpoint(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("endpoint %q: must be a URL like https://host:port", s)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("endpoint %s://%s: must have no query, fragment or user", u.Scheme, u.Host)
	}
	return nil
}
