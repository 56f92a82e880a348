// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/azblob"
	"github.com/salvor-io/salvor/objstore/gcs"
	"github.com/salvor-io/salvor/objstore/httpx"
)

func openGCS(ctx context.Context, root v1alpha1.Root, rest string, with Access) (objstore.Bucket, error) {
	bucket, prefix, _ := strings.Cut(rest, "/")
	o := gcs.Options{
		Bucket: bucket, Endpoint: strings.TrimSuffix(root.Endpoint, "/"), CA: with.CA, Limits: limits(root),
		CredentialsJSON: with.Secret[v1alpha1.SecretGoogleCredentials],
	}
	if with.Tokens != nil {
		a := root.Credentials.ServiceAccount
		o.Federation = &gcs.Federation{Tokens: with.Tokens, Provider: a.IdentityProvider, Impersonate: a.Impersonate, Endpoint: strings.TrimSuffix(a.STSEndpoint, "/")}
	}
	b, err := gcs.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return objstore.Prefix(b, prefix), nil
}

func openAzure(ctx context.Context, root v1alpha1.Root, rest string, with Access) (objstore.Bucket, error) {
	container, prefix, _ := strings.Cut(rest, "/")
	o := azblob.Options{
		Container: container, Account: root.StorageAccount, Endpoint: strings.TrimSuffix(root.Endpoint, "/"), CA: with.CA, Limits: limits(root),
		AccountKey: with.entry(v1alpha1.SecretStorageKey), ConnectionString: with.entry(v1alpha1.SecretConnectionString),
	}
	if with.Tokens != nil {
		a := root.Credentials.ServiceAccount
		o.Federation = &azblob.Federation{Tokens: with.Tokens, TenantID: a.TenantID, ClientID: a.ClientID, Authority: strings.TrimSuffix(a.STSEndpoint, "/")}
	}
	if o.Account == "" {
		o.Account = with.entry(v1alpha1.SecretStorageAccount)
	}
	b, err := azblob.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return objstore.Prefix(b, prefix), nil
}

// limits are a root's settings in the words of these drivers, which have their own
// defaults for what is not set.
func limits(root v1alpha1.Root) httpx.Limits {
	return httpx.Limits{
		DialTimeout:   given(root.Requests.ConnectTimeout, v1alpha1.DefaultConnectTimeout),
		AnswerTimeout: given(root.RequestTimeout, v1alpha1.DefaultRequestTimeout),
		MaxBackoff:    given(root.Requests.MaxBackoff, v1alpha1.DefaultMaxBackoff),
		ReadAttempts:  int(root.Requests.ReadAttempts),
		MaxConns:      int(root.Requests.MaxConnections),
	}
}
