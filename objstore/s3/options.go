// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/logging"
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

	// CA is a bundle of PEM certificates to trust besides those of the host. Empty:
	// the file that AWS_CA_BUNDLE names, if any.
	CA []byte

	// DialTimeout bounds finding and connecting to the server; 5 s when zero.
	DialTimeout time.Duration
	// AnswerTimeout bounds the wait between the end of a request and the first
	// byte of its answer; 15 s when zero.
	AnswerTimeout time.Duration
	// CallTimeout bounds one call of the bucket, attempts and bodies included, and
	// of a listing each page; 60 s when zero.
	CallTimeout time.Duration
	// MaxConns bounds the connections to the server; 64 when zero.
	MaxConns int
	// ReadAttempts is how often a read or a listing is tried, with a growing and
	// random pause in between; 3 when zero. Puts and deletes are sent once.
	ReadAttempts int
}

// withDefaults returns o with every zero filled in, or why it cannot be used.
func (o Options) withDefaults() (Options, error) {
	if o.Bucket == "" {
		return o, errors.New("s3: no bucket named")
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return o, fmt.Errorf("s3: endpoint %q: must be a URL like https://host:port", o.Endpoint)
		}
		if o.Region == "" {
			o.Region = "us-east-1"
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
	setDefault(&o.AnswerTimeout, 15*time.Second)
	setDefault(&o.CallTimeout, 60*time.Second)
	setDefault(&o.MaxConns, 64)
	setDefault(&o.ReadAttempts, 3)
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// config returns the SDK's configuration. With credentials given nothing else is
// asked: a tenant's bucket is never opened with the identity of this process.
func (o Options) config(ctx context.Context) (aws.Config, error) {
	var given aws.CredentialsProvider
	switch {
	case o.AccessKeyID != "":
		given = credentials.NewStaticCredentialsProvider(o.AccessKeyID, o.SecretAccessKey, o.SessionToken)
	case o.CredentialsDir != "":
		given = aws.NewCredentialsCache(dirCredentials{o.CredentialsDir})
	}
	if given != nil && o.Region != "" {
		return aws.Config{Region: o.Region, Credentials: given}, nil
	}
	load := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // a library returns, it does not log
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if given != nil {
		load = append(load, config.WithCredentialsProvider(given))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return cfg, fmt.Errorf("s3: load the configuration of the SDK: %w", err)
	}
	if cfg.Region == "" {
		return cfg, errors.New("s3: no region: set it, or AWS_REGION")
	}
	return cfg, nil
}

// credentialsAge is how long what was read from a directory is used.
const credentialsAge = time.Minute

// dirCredentials reads credentials from a mounted Secret.
type dirCredentials struct{ dir string }

// Retrieve implements aws.CredentialsProvider.
func (d dirCredentials) Retrieve(context.Context) (aws.Credentials, error) {
	var read [3]string
	for i, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		b, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil && !(i == 2 && errors.Is(err, os.ErrNotExist)) {
			return aws.Credentials{}, fmt.Errorf("read credentials: %w", err)
		}
		read[i] = strings.TrimSpace(string(b))
	}
	return aws.Credentials{
		AccessKeyID: read[0], SecretAccessKey: read[1], SessionToken: read[2], Source: d.dir,
		CanExpire: true, Expires: time.Now().Add(credentialsAge),
	}, nil
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
