// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package rooturl opens the bucket that a root's URL names. It is what --root and
// the root of a WALStore take:
//
//	file:///var/lib/salvor        a directory; made when it is missing
//	file:./data                   one relative to the working directory
//	mem://name                    in this process; the same name is the same bucket
//	s3://bucket/prefix            a bucket of S3, or a prefix in one, with
//	  ?endpoint=http://host:port  a server that is not AWS
//	  &region=eu-central-1
//	  &path_style=true            host/bucket/key; the default where endpoint is set
//	  &ca_file=/path/ca.pem       certificates to trust besides those of the host
//	  &credentials_dir=/path      files AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
//	  &connect_timeout=5s         to find and reach the server
//	  &request_timeout=10s        from a request to the first byte of its answer
//	  &read_attempts=3            of a read or a listing; what writes is sent once
//	  &max_backoff=5s             the longest pause before another attempt
//	  &max_connections=64
//	                              (the last five hold for the clouds below, too)
//	gs://bucket/prefix            a bucket of Google Cloud Storage, with
//	  ?endpoint=http://host:port  a private endpoint, or an emulator
//	  &anonymous=true             no credentials
//	  &ca_file=/path/ca.pem
//	  &credentials_dir=/path      file GOOGLE_CREDENTIALS, the key of a service account
//	  &token_file=/path/token     a token that is exchanged at
//	  &identity_provider=projects/…/providers/…, and perhaps for the rights of
//	  &impersonate=name@project.iam.gserviceaccount.com
//	  &sts_endpoint=https://host  a server that stands for Google's
//	azblob://container/prefix     a container of Azure Blob Storage, with
//	  ?storage_account=name       unless the credentials or the environment name it
//	  &endpoint=http://host:port/account
//	  &ca_file=/path/ca.pem
//	  &credentials_dir=/path      files AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or
//	                              AZURE_STORAGE_CONNECTION_STRING
//	  &token_file=/path/token     a token that is exchanged for one of the identity
//	  &tenant_id=id&client_id=id  in Entra ID, of another cloud at
//	  &sts_endpoint=https://host
//
// Credentials are never in the URL: it stands in logs, process lists and resources.
package rooturl

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/azblob"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/objstore/gcs"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/s3"
)

// Schemes are the schemes that Open knows.
var Schemes = []string{"file", "mem", "s3", "gs", "azblob"}

// UnknownSchemeError says that no driver has the scheme.
type UnknownSchemeError struct{ Scheme string }

// Error implements error.
func (e *UnknownSchemeError) Error() string {
	return fmt.Sprintf("unknown scheme %q: a root begins with one of %s://", e.Scheme, strings.Join(Schemes, "://, "))
}

// ErrInvalid is wrapped when a URL has a scheme that is known and cannot be used.
var ErrInvalid = errors.New("invalid root URL")

// Options are given to the driver that the URL names. Where a URL says something
// too, the URL wins.
type Options struct {
	S3     s3.Options
	GCS    gcs.Options
	Azblob azblob.Options
	File   file.Options
	// Mem counts when a mem:// name is opened for the first time.
	Mem mem.Options
}

// Open returns the bucket that root names. Nothing is asked of a server yet.
// Errors: *UnknownSchemeError, ErrInvalid, and those of the drivers.
func Open(ctx context.Context, root string, o Options) (objstore.Bucket, error) {
	u, err := url.Parse(root)
	if err != nil {
		// The parser quotes what it was given, and that may hold a password.
		return nil, fmt.Errorf("%w: it cannot be parsed as scheme://name", ErrInvalid)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: credentials do not belong into the URL: use credentials_dir, or the environment", ErrInvalid)
	}
	if u.Fragment != "" {
		return nil, fmt.Errorf("%w: %q: '#' has no meaning here", ErrInvalid, root)
	}
	switch u.Scheme {
	case "file":
		return openFile(u, o.File)
	case "mem":
		return openMem(u, o.Mem)
	case "s3":
		return openS3(ctx, u, o.S3)
	case "gs":
		return openGCS(ctx, u, o.GCS)
	case "azblob":
		return openAzblob(ctx, u, o.Azblob)
	default:
		return nil, &UnknownSchemeError{Scheme: u.Scheme}
	}
}

func openFile(u *url.URL, o file.Options) (objstore.Bucket, error) {
	if err := onlyParameters(u); err != nil {
		return nil, err
	}
	if u.Host != "" {
		return nil, fmt.Errorf("%w: %q: a directory has three slashes, file:///path, or none, file:path", ErrInvalid, u)
	}
	path := u.Path
	if path == "" {
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil || path == "" {
			return nil, fmt.Errorf("%w: %q: no directory", ErrInvalid, u)
		}
	}
	b, err := file.Open(path, o)
	if err != nil {
		return nil, err // not a typed nil in an interface
	}
	return b, nil
}

var (
	memMu      sync.Mutex
	memBuckets = map[string]*mem.Bucket{}
)

func openMem(u *url.URL, o mem.Options) (objstore.Bucket, error) {
	if err := onlyParameters(u); err != nil {
		return nil, err
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%w: %q: a bucket in memory has a name, mem://name", ErrInvalid, u)
	}
	memMu.Lock()
	defer memMu.Unlock()
	b := memBuckets[u.Host]
	if b == nil {
		b = mem.New(o)
		memBuckets[u.Host] = b
	}
	return below(u, b)
}

// below returns the part of b that the path of the URL names.
func below(u *url.URL, b objstore.Bucket) (objstore.Bucket, error) {
	prefix := strings.Trim(u.Path, "/")
	if prefix == "" {
		return b, nil
	}
	if err := objstore.CheckKey(prefix); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %q: %w", ErrInvalid, u, err), b.Close())
	}
	return objstore.Prefix(b, prefix), nil
}

// onlyParameters refuses what would be silently ignored otherwise.
func onlyParameters(u *url.URL, known ...string) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrInvalid, u, err)
	}
	for name, values := range q {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return fmt.Errorf("%w: parameter %q: %s:// takes none", ErrInvalid, name, u.Scheme)
		case !slices.Contains(known, name):
			return fmt.Errorf("%w: parameter %q: %s:// takes %s", ErrInvalid, name, u.Scheme, strings.Join(known, ", "))
		case len(values) > 1:
			return fmt.Errorf("%w: parameter %q is given %d times", ErrInvalid, name, len(values))
		}
	}
	return nil
}
