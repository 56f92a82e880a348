// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/objstore/s3"
)

// OpenBucket opens the bucket of a root by its scheme. Nothing is asked of its
// server yet.
func OpenBucket(ctx context.Context, root v1alpha1.Root, with Access) (objstore.Bucket, error) {
	if with.Secret != nil {
		// Without a key a driver would look for one of the operator's own.
		if _, what := unusable(root, with); what != "" {
			return nil, fmt.Errorf("root %s: the Secret %s", root.URI, what)
		}
	}
	scheme, rest, _ := strings.Cut(root.URI, "://")
	switch scheme {
	case "file", "mem":
		return rooturl.Open(ctx, root.URI, rooturl.Options{})
	case "s3":
		return openS3(ctx, root, rest, with)
	case "gs":
		return openGCS(ctx, root, rest, with)
	case "azblob":
		return openAzure(ctx, root, rest, with)
	default:
		return nil, fmt.Errorf("root %s: unknown scheme %q", root.URI, scheme)
	}
}

func openS3(ctx context.Context, root v1alpha1.Root, rest string, with Access) (objstore.Bucket, error) {
	bucket, prefix, _ := strings.Cut(rest, "/")
	o := s3Options(root)
	o.Bucket, o.CA = bucket, with.CA
	if o.Region == "" && with.own() {
		o.Region = "us-east-1" // else the SDK would look for one in the operator's own environment
	}
	switch {
	case with.Tokens != nil:
		account := root.Credentials.ServiceAccount
		o.WebIdentity = &s3.WebIdentity{
			Tokens: with.Tokens, SessionName: with.Session, RoleARN: account.RoleARN, Endpoint: strings.TrimSuffix(account.STSEndpoint, "/"),
		}
	case with.Secret != nil:
		o.AccessKeyID = with.entry(v1alpha1.SecretAccessKeyID)
		o.SecretAccessKey = with.entry(v1alpha1.SecretSecretAccessKey)
		o.SessionToken = with.entry(v1alpha1.SecretSessionToken)
	}
	b, err := s3.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return objstore.Prefix(b, prefix), nil
}

// s3Options are a root's settings in the words of the driver, which has its own
// defaults for what is not set.
func s3Options(root v1alpha1.Root) s3.Options {
	return s3.Options{
		Endpoint: strings.TrimSuffix(root.Endpoint, "/"), Region: root.Region, PathStyle: root.PathStyle,
		DialTimeout:   given(root.Requests.ConnectTimeout, v1alpha1.DefaultConnectTimeout),
		AnswerTimeout: given(root.RequestTimeout, v1alpha1.DefaultRequestTimeout),
		MaxBackoff:    given(root.Requests.MaxBackoff, v1alpha1.DefaultMaxBackoff),
		ReadAttempts:  int(root.Requests.ReadAttempts),
		MaxConns:      int(root.Requests.MaxConnections),
	}
}

// given is what a spec says, or what holds otherwise.
func given(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

// sessionName tells the sessions of stores apart, within what STS allows: 64 of
// letters, digits and some signs, which names of Kubernetes keep to.
func sessionName(ws *v1alpha1.WALStore) string {
	name := "salvor." + ws.Namespace + "." + ws.Name
	return name[:min(len(name), 64)]
}

// isLocal reports whether a root lives on this machine only.
func isLocal(uri string) bool {
	return strings.HasPrefix(uri, "file://") || strings.HasPrefix(uri, "mem://")
}

// listed reports whether root is one of the roots, or lies below one that ends in
// a slash. Containers of Azure are told apart by their account, which a tenant could
// name: azblob://CONTAINER/PREFIX?storage_account=ACCOUNT.
func listed(roots []string, root v1alpha1.Root) bool {
	uri := root.URI
	for _, r := range roots {
		r, account, _ := strings.Cut(r, "?storage_account=")
		if account != root.StorageAccount {
			continue
		}
		if uri == strings.TrimSuffix(r, "/") || strings.HasSuffix(r, "/") && strings.HasPrefix(uri, r) {
			return true
		}
	}
	return false
}
