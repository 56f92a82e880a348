// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// unusable says what keeps a Secret from opening root: a reason, and what follows
// the Secret's name in a sentence. Both are empty when nothing does. It never quotes
// what could be secret.
//
// What would be ignored is refused, too: of two accounts or two keys one would win,
// and the other may be the one that somebody rotates.
func unusable(root v1alpha1.Root, with Access) (reason, what string) {
	scheme, _, _ := strings.Cut(root.URI, "://")
	switch scheme {
	case "s3":
		return unusableS3(with)
	case "gs":
		return unusableGCS(with)
	case "azblob":
		return unusableAzure(root, with)
	}
	return "", ""
}

func lacks(format string, args ...any) (reason, what string) {
	return v1alpha1.ReasonCredentialsMissing, fmt.Sprintf(format, args...)
}

func invalid(format string, args ...any) (reason, what string) {
	return v1alpha1.ReasonCredentialsInvalid, fmt.Sprintf(format, args...)
}

func unusableS3(with Access) (reason, what string) {
	for _, name := range []string{v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey} {
		if with.entry(name) == "" {
			return lacks("has no entry %s", name)
		}
	}
	return "", ""
}

func unusableGCS(with Access) (reason, what string) {
	const name = v1alpha1.SecretGoogleCredentials
	if with.entry(name) == "" {
		return lacks("has no entry %s: the JSON key of a service account", name)
	}
	var file struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
	}
	switch err := json.Unmarshal(with.Secret[name], &file); {
	case err != nil:
		return invalid("has an entry %s that is no JSON: it is the key of a service account, as `gcloud iam service-accounts keys create` writes it", name)
	case file.Type != "service_account":
		return invalid("has an entry %s of type %.40q: only service_account is taken, other kinds name programs, files or addresses that the operator would have to trust", name, file.Type)
	case file.Email == "" || file.Key == "":
		return invalid("has an entry %s without client_email or private_key", name)
	}
	return "", ""
}

func unusableAzure(root v1alpha1.Root, with Access) (reason, what string) {
	const connection = v1alpha1.SecretConnectionString
	whole, key, account := with.entry(connection), with.entry(v1alpha1.SecretStorageKey), with.entry(v1alpha1.SecretStorageAccount)
	if whole != "" {
		switch {
		case key != "" || account != "":
			return invalid("has %s, which stands alone, beside %s or %s: leave one out", connection, v1alpha1.SecretStorageAccount, v1alpha1.SecretStorageKey)
		case root.StorageAccount != "" || root.Endpoint != "":
			return invalid("has %s, which names account and endpoint itself: leave spec.root.storageAccount and spec.root.endpoint out", connection)
		case !strings.Contains(whole, "AccountKey=") && !strings.Contains(whole, "SharedAccessSignature="):
			return invalid("has %s with neither AccountKey nor SharedAccessSignature", connection)
		}
		return "", ""
	}
	switch _, err := base64.StdEncoding.DecodeString(key); {
	case key == "":
		return lacks("has neither entry %s nor %s", v1alpha1.SecretStorageKey, connection)
	case err != nil:
		return invalid("has an entry %s that is no base64", v1alpha1.SecretStorageKey)
	case account == "" && root.StorageAccount == "":
		return lacks("has no entry %s, and spec.root.storageAccount does not say it either", v1alpha1.SecretStorageAccount)
	case account != "" && root.StorageAccount != "" && account != root.StorageAccount:
		return invalid("has %s %.40q, and spec.root.storageAccount is %q", v1alpha1.SecretStorageAccount, account, root.StorageAccount)
	}
	return "", ""
}
