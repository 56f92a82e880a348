// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Options says where the bucket is and who asks. Only Bucket is needed on AWS.
type Options struct {
	// Bucket is the bucket's name.
	Bucket string
	// Endpoint is the base URL of a server that is not AWS, as in
	// "http://127.0.0.1:7070". Empty: AWS.
	Endpoint string
	// Region is the bucket's region. Empty: what the SDK finds, and us-east-1
	// where an Endpoint is given.
	Region string
	// PathStyle asks for host/bucket/key where the default is bucket.host/key.
	PathStyle bool

	// Credentials come from the first of these that is set. None: the SDK's chain
	// (environment, shared files, web identity, container and instance roles).
	//
	// AccessKeyID and SecretAccessKey, and SessionToken with temporary ones.
	AccessKeyID, SecretAccessKey, SessionToken string
	// CredentialsDir is a directory with the files AWS_ACCESS_KEY_ID,
	// AWS_SECRET_ACCESS_KEY and, if need be, AWS_SESSION_TOKEN: a mounted Secret.
	// They are read again every minute, so that a rotated one is taken up.
	CredentialsDir string
	// WebIdentity exchanges tokens for credentials.
	WebIdentity *WebIdentity

	// CA is a bundle of PEM certificates to trust besides those of the host. Empty:
	// the file that AWS_CA_BUNDLE names, if any.
	CA []byte

	// DialTimeout bounds finding and connecting to the server; 5 s when zero.
	DialTimeout time.Duration
	// AnswerTimeout bounds the wait between the end of a request and the first
	// byte of its answer; 10 s when zero.
	AnswerTimeout time.Duration
	// CallTimeout bounds one call of the bucket, attempts and bodies included, and
	// of a listing each page. When zero: ReadAttempts times the sum of DialTimeout,
	// AnswerTimeout and MaxBackoff, at least 20 s.
	CallTimeout time.Duration
	// MaxConns bounds the connections to the server; 64 when zero.
	MaxConns int
	// ReadAttempts is how often a read or a listing is tried, with a growing and
	// random pause in between; 3 when zero. Puts and deletes are sent once.
	ReadAttempts int
	// MaxBackoff bounds that pause; 5 s when zero.
	MaxBackoff time.Duration
	// Jitter returns where in a pause's room it falls, from 0 up to 1. Default
	// math/rand/v2.Float64.
	Jitter func() float64
}

// withDefaults returns o with every zero filled in, or why it cannot be used.
func (o Options) withDefaults() (Options, error) {
	if o.Bucket == "" {
		return o, errors.New("s3: no bucket named")
	}
	if err := checkEndpoint("endpoint", o.Endpoint); err != nil {
		return o, err
	}
	if o.Endpoint != "" && o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.WebIdentity != nil {
		if err := o.WebIdentity.check(o.Region); err != nil {
			return o, err
		}
	}
	if (o.AccessKeyID == "") != (o.SecretAccessKey == "") {
		return o, errors.New("s3: an access key id and a secret access key belong together; one is missing")
	}
	if bundle := os.Getenv("AWS_CA_BUNDLE"); len(o.CA) == 0 && bundle != "" {
		var err error
		if o.CA, err = os.ReadFile(bundle); err != nil {
			return o, fmt.Errorf("s3: read AWS_CA_BUNDLE: %w", err)
		}
	}
	setDefault(&o.DialTimeout, 5*time.Second)
	setDefault(&o.AnswerTimeout, 10*time.Second)
	setDefault(&o.MaxConns, 64)
	setDefault(&o.ReadAttempts, 3)
	setDefault(&o.MaxBackoff, 5*time.Second)
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	setDefault(&o.CallTimeout, max(20*time.Second, time.Duration(o.ReadAttempts)*(o.DialTimeout+o.AnswerTimeout+o.MaxBackoff)))
	return o, nil
}

// checkEndpoint refuses what is no base URL; "" is none.
func checkEndpoint(what, endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("s3: %s %q: must be a URL like https://host:port or http://[::1]:port", what, endpoint)
	}
	return nil
}

// firstBackoff is the room of the first pause.
const firstBackoff = 200 * time.Millisecond

// retryer tries what only reads up to ReadAttempts times. The room of the pauses
// doubles up to MaxBackoff, and each falls anywhere in it; the SDK's own pauses are
// all alike once they have reached their bound.
func (o Options) retryer() aws.Retryer {
	return retry.NewStandard(func(so *retry.StandardOptions) {
		so.MaxAttempts, so.MaxBackoff = o.ReadAttempts, o.MaxBackoff
		so.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			room := min(firstBackoff<<min(max(attempt-1, 0), 20), o.MaxBackoff)
			return time.Duration(o.Jitter() * float64(room)), nil
		})
	})
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// httpClient returns a client that sends a request once and follows no redirect.
// HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured.
func (o Options) httpClient() (*http.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(o.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("s3: the CA bundle has no PEM certificate")
		}
		tlsConfig.RootCAs = pool
	}
	dialer := &net.Dialer{Timeout: o.DialTimeout, KeepAlive: 30 * time.Second}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			TLSClientConfig:       tlsConfig,
			TLSHandshakeTimeout:   o.DialTimeout,
			ResponseHeaderTimeout: o.AnswerTimeout,
			ExpectContinueTimeout: time.Second,
			IdleConnTimeout:       30 * time.Second,
			MaxConnsPerHost:       o.MaxConns,
			MaxIdleConns:          o.MaxConns,
			MaxIdleConnsPerHost:   o.MaxConns,
			// Not nil and empty: HTTP/1.1 only.
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		},
	}, nil
}
