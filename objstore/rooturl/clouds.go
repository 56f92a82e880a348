// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package rooturl

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/azblob"
	"github.com/salvor-io/salvor/objstore/gcs"
	"github.com/salvor-io/salvor/objstore/s3"
)

func openS3(ctx context.Context, u *url.URL, o s3.Options) (objstore.Bucket, error) {
	if err := onlyParameters(u, "endpoint", "region", "path_style", "ca_file", "credentials_dir"); err != nil {
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
	b, err := s3.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return below(u, b)
}

func openGCS(ctx context.Context, u *url.URL, o gcs.Options) (objstore.Bucket, error) {
	if err := onlyParameters(u, "endpoint", "anonymous", "ca_file", "credentials_dir"); err != nil {
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
	b, err := gcs.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return below(u, b)
}

func openAzblob(ctx context.Context, u *url.URL, o azblob.Options) (objstore.Bucket, error) {
	if err := onlyParameters(u, "storage_account", "endpoint", "ca_file", "credentials_dir"); err != nil {
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
	b, err := azblob.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return below(u, b)
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
