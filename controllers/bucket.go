// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/objstore/s3"
)

// OpenBucket opens the bucket of a root by its scheme. secret is nil only for
// roots that need none, or that may use the operator's own identity.
func OpenBucket(ctx context.Context, root v1alpha1.Root, secret map[string][]byte) (objstore.Bucket, error) {
	scheme, rest, _ := strings.Cut(root.URI, "://")
	switch scheme {
	case "file", "mem":
		return rooturl.Open(ctx, root.URI, rooturl.Options{})
	case "s3":
		return openS3(ctx, root, rest, secret)
	default:
		return nil, fmt.Errorf("root %s: unknown scheme %q", root.URI, scheme)
	}
}

func openS3(ctx context.Context, root v1alpha1.Root, rest string, secret map[string][]byte) (objstore.Bucket, error) {
	bucket, prefix, _ := strings.Cut(rest, "/")
	region := root.Region
	if region == "" && secret != nil {
		region = "us-east-1" // else the SDK would look for one in the operator's own environment
	}
	entry := func(name string) string { return strings.TrimSpace(string(secret[name])) }
	o := s3.Options{
		Bucket: bucket, Endpoint: strings.TrimSuffix(root.Endpoint, "/"), Region: region, PathStyle: root.PathStyle,
		AccessKeyID:     entry(v1alpha1.SecretAccessKeyID),
		SecretAccessKey: entry(v1alpha1.SecretSecretAccessKey),
		SessionToken:    entry(v1alpha1.SecretSessionToken),
		CA:              secret[v1alpha1.SecretCA],
	}
	if t := root.RequestTimeout; t != nil {
		o.AnswerTimeout = t.Duration
	}
	if secret != nil && (o.AccessKeyID == "" || o.SecretAccessKey == "") {
		// Without a key the SDK would look for one of the operator's own.
		return nil, fmt.Errorf("root %s: the Secret lacks %s or %s", root.URI, v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey)
	}
	b, err := s3.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return objstore.Prefix(b, prefix), nil
}

// isLocal reports whether a root lives on this machine only.
func isLocal(uri string) bool {
	return strings.HasPrefix(uri, "file://") || strings.HasPrefix(uri, "mem://")
}

// listed reports whether uri is one of the roots, or lies below one that ends in
// a slash.
func listed(roots []string, uri string) bool {
	for _, r := range roots {
		if uri == strings.TrimSuffix(r, "/") || strings.HasSuffix(r, "/") && strings.HasPrefix(uri, r) {
			return true
		}
	}
	return false
}
