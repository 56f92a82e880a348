// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package rooturl

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/azblob"
	"github.com/salvor-io/salvor/objstore/gcs"
	"github.com/salvor-io/salvor/objstore/httpx"
	"github.com/salvor-io/salvor/objstore/s3"
)

func openS3(ctx context.Context, u *url.URL, o s3.Options) (objstore.Bucket, error) {
	if err := onlyParameters(u, append([]string{"endpoint", "region", "path_style", "ca_file", "credentials_dir"}, limits...)...); err != nil {
		return nil, err
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%w: %q: no bucket, s3://bucket/prefix", ErrInvalid, u)
	}
	q := u.Query()
	o.Bucket = u.Host
	if v := q.Get("endpoint"); v != "" {
		o.Endpoint, o.PathStyle = v, true
	}
	word(q, "region", &o.Region)
	if err := boolean(q, "path_style", &o.PathStyle); err != nil {
		return nil, err
	}
	word(q, "credentials_dir", &o.CredentialsDir)
	if err := contents(q, "ca_file", &o.CA); err != nil {
		return nil, err
	}
	if err := errors.Join(duration(q, "connect_timeout", &o.DialTimeout), duration(q, "request_timeout", &o.AnswerTimeout), duration(q, "max_backoff", &o.MaxBackoff),
		count(q, "read_attempts", &o.ReadAttempts), count(q, "max_connections", &o.MaxConns)); err != nil {
		return nil, err
	}
	b, err := s3.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return below(u, b)
}

func openGCS(ctx context.Context, u *url.URL, o gcs.Options) (objstore.Bucket, error) {
	if err := onlyParameters(u, append([]string{"endpoint", "anonymous", "ca_file", "credentials_dir", "token_file", "identity_provider", "impersonate", "sts_endpoint"}, limits...)...); err != nil {
		return nil, err
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%w: %q: no bucket, gs://bucket/prefix", ErrInvalid, u)
	}
	q := u.Query()
	o.Bucket = u.Host
	word(q, "endpoint", &o.Endpoint)
	word(q, "credentials_dir", &o.CredentialsDir)
	if err := boolean(q, "anonymous", &o.Anonymous); err != nil {
		return nil, err
	}
	if err := contents(q, "ca_file", &o.CA); err != nil {
		return nil, err
	}
	if err := limit(q, &o.Limits); err != nil {
		return nil, err
	}
	if v := q.Get("token_file"); v != "" {
		o.Federation = &gcs.Federation{Tokens: objstore.TokenFile(v), Provider: q.Get("identity_provider"), Impersonate: q.Get("impersonate"), Endpoint: q.Get("sts_endpoint")}
	} else if err := without(q, "identity_provider", "impersonate", "sts_endpoint"); err != nil {
		return nil, err
	}
	b, err := gcs.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return below(u, b)
}

func openAzblob(ctx context.Context, u *url.URL, o azblob.Options) (objstore.Bucket, error) {
	if err := onlyParameters(u, append([]string{"storage_account", "endpoint", "ca_file", "credentials_dir", "token_file", "tenant_id", "client_id", "sts_endpoint"}, limits...)...); err != nil {
		return nil, err
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%w: %q: no container, azblob://container/prefix", ErrInvalid, u)
	}
	q := u.Query()
	o.Container = u.Host
	word(q, "storage_account", &o.Account)
	word(q, "endpoint", &o.Endpoint)
	word(q, "credentials_dir", &o.CredentialsDir)
	if err := contents(q, "ca_file", &o.CA); err != nil {
		return nil, err
	}
	if err := limit(q, &o.Limits); err != nil {
		return nil, err
	}
	if v := q.Get("token_file"); v != "" {
		o.Federation = &azblob.Federation{Tokens: objstore.TokenFile(v), TenantID: q.Get("tenant_id"), ClientID: q.Get("client_id"), Authority: q.Get("sts_endpoint")}
	} else if err := without(q, "tenant_id", "client_id", "sts_endpoint"); err != nil {
		return nil, err
	}
	b, err := azblob.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return below(u, b)
}

// without refuses what says whom a token is shown to where there is none.
func without(q url.Values, names ...string) error {
	for _, name := range names {
		if q.Get(name) != "" {
			return fmt.Errorf("%w: parameter %q: it belongs to token_file", ErrInvalid, name)
		}
	}
	return nil
}

// limits are the parameters that say how a server is asked.
var limits = []string{"connect_timeout", "request_timeout", "read_attempts", "max_backoff", "max_connections"}

func limit(q url.Values, l *httpx.Limits) error {
	return errors.Join(duration(q, "connect_timeout", &l.DialTimeout), duration(q, "request_timeout", &l.AnswerTimeout), duration(q, "max_backoff", &l.MaxBackoff),
		count(q, "read_attempts", &l.ReadAttempts), count(q, "max_connections", &l.MaxConns))
}

func duration(q url.Values, name string, to *time.Duration) (err error) {
	if v := q.Get(name); v != "" {
		if *to, err = time.ParseDuration(v); err != nil || *to <= 0 {
			return fmt.Errorf("%w: %s=%q: must be a time above zero, like 500ms or 10s", ErrInvalid, name, v)
		}
	}
	return nil
}

func count(q url.Values, name string, to *int) (err error) {
	if v := q.Get(name); v != "" {
		if *to, err = strconv.Atoi(v); err != nil || *to < 1 {
			return fmt.Errorf("%w: %s=%q: must be a number from 1", ErrInvalid, name, v)
		}
	}
	return nil
}

// word sets to what the parameter says, if it is there.
func word(q url.Values, name string, to *string) {
	if v := q.Get(name); v != "" {
		*to = v
	}
}

func boolean(q url.Values, name string, to *bool) (err error) {
	if v := q.Get(name); v != "" {
		if *to, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("%w: %s=%q: must be true or false", ErrInvalid, name, v)
		}
	}
	return nil
}

// contents sets to the bytes of the file that the parameter names.
func contents(q url.Values, name string, to *[]byte) (err error) {
	if v := q.Get(name); v != "" {
		if *to, err = os.ReadFile(v); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}
