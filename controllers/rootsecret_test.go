// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

// What a Secret has to hold, by the scheme of the root. hunter2 stands for what is
// secret: no sentence says it.
func TestWhatASecretHasToHold(t *testing.T) {
	contract.Row(t, 163)
	const (
		s3, gs, az = "s3://bucket/x", "gs://bucket/x", "azblob://box/x"
		id, secret = v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey
		google     = v1alpha1.SecretGoogleCredentials
		key        = v1alpha1.SecretStorageKey
		account    = v1alpha1.SecretStorageAccount
		connection = v1alpha1.SecretConnectionString
		missing    = v1alpha1.ReasonCredentialsMissing
		bad        = v1alpha1.ReasonCredentialsInvalid
		whole      = `{"type":"service_account","client_email":"e","private_key":"hunter2"}`
		base64     = "aHVudGVyMg=="
	)
	type data = map[string]string
	for _, c := range []struct {
		name         string
		root         v1alpha1.Root
		data         data
		reason, says string
	}{
		{"S3, both keys", v1alpha1.Root{URI: s3}, data{id: "a", secret: "hunter2"}, "", ""},
		{"S3, no id", v1alpha1.Root{URI: s3}, data{secret: "hunter2"}, missing, "has no entry " + id},
		{"S3, a blank key", v1alpha1.Root{URI: s3}, data{id: "a", secret: " \n"}, missing, "has no entry " + secret},
		{"S3, keys of another cloud", v1alpha1.Root{URI: s3}, data{google: whole, key: base64}, missing, "has no entry " + id},

		{"Google, a key", v1alpha1.Root{URI: gs}, data{google: whole + "\n"}, "", ""},
		{"Google, nothing", v1alpha1.Root{URI: gs}, data{}, missing, "has no entry " + google},
		{"Google, blank", v1alpha1.Root{URI: gs}, data{google: "\n"}, missing, "has no entry " + google},
		{"Google, no JSON", v1alpha1.Root{URI: gs}, data{google: "hunter2"}, bad, "that is no JSON"},
		{"Google, a user", v1alpha1.Root{URI: gs}, data{google: `{"type":"authorized_user","refresh_token":"hunter2"}`}, bad, `of type "authorized_user": only service_account`},
		{"Google, no type", v1alpha1.Root{URI: gs}, data{google: `{"client_secret":"hunter2"}`}, bad, `of type ""`},
		{"Google, half a key", v1alpha1.Root{URI: gs}, data{google: `{"type":"service_account","private_key":"hunter2"}`}, bad, "without client_email or private_key"},

		{"Azure, account and key", v1alpha1.Root{URI: az}, data{account: "me", key: base64 + "\n"}, "", ""},
		{"Azure, the account in the spec", v1alpha1.Root{URI: az, StorageAccount: "me"}, data{key: base64}, "", ""},
		{"Azure, the account in both", v1alpha1.Root{URI: az, StorageAccount: "me"}, data{account: "me", key: base64}, "", ""},
		{"Azure, two accounts", v1alpha1.Root{URI: az, StorageAccount: "me"}, data{account: "you", key: base64}, bad, `"you", and spec.root.storageAccount is "me"`},
		{"Azure, no account", v1alpha1.Root{URI: az}, data{key: base64}, missing, "has no entry " + account},
		{"Azure, no key", v1alpha1.Root{URI: az}, data{account: "me"}, missing, "has neither entry " + key},
		{"Azure, a key that is none", v1alpha1.Root{URI: az}, data{account: "me", key: "hunter2!"}, bad, "no base64"},
		{"Azure, a connection string with a key", v1alpha1.Root{URI: az}, data{connection: "AccountName=me;AccountKey=hunter2"}, "", ""},
		{"Azure, a connection string with a signature", v1alpha1.Root{URI: az}, data{connection: "BlobEndpoint=https://h/;SharedAccessSignature=sig=hunter2"}, "", ""},
		{"Azure, a connection string of nobody", v1alpha1.Root{URI: az}, data{connection: "BlobEndpoint=https://h/"}, bad, "neither AccountKey nor SharedAccessSignature"},
		{"Azure, a connection string and a key", v1alpha1.Root{URI: az}, data{connection: "AccountName=me;AccountKey=hunter2", key: base64}, bad, "stands alone"},
		{"Azure, a connection string and an account", v1alpha1.Root{URI: az}, data{connection: "AccountName=me;AccountKey=hunter2", account: "me"}, bad, "stands alone"},
		{"Azure, a connection string and the spec's account", v1alpha1.Root{URI: az, StorageAccount: "you"}, data{connection: "AccountName=me;AccountKey=hunter2"}, bad, "leave spec.root.storageAccount"},
		{"Azure, a connection string and an endpoint", v1alpha1.Root{URI: az, Endpoint: "https://h"}, data{connection: "AccountName=me;AccountKey=hunter2"}, bad, "leave spec.root.storageAccount"},
	} {
		with := Access{Secret: map[string][]byte{}}
		for name, value := range c.data {
			with.Secret[name] = []byte(value)
		}
		reason, what := unusable(c.root, with)
		if reason != c.reason || !strings.Contains(what, c.says) || (what == "") != (reason == "") || strings.Contains(what, "hunter2") || strings.Contains(what, base64) {
			t.Errorf("%s: %s: %q", c.name, reason, what)
		}
	}
}
