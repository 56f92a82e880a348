// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// The entries of a Secret and of its mounted directory, and the variables that
// the az command reads.
const (
	SecretAccount          = "AZURE_STORAGE_ACCOUNT"
	SecretKey              = "AZURE_STORAGE_KEY"
	SecretConnectionString = "AZURE_STORAGE_CONNECTION_STRING"
)

// given are credentials as they stand in options, files or the environment.
type given struct{ account, key, connection string }

// credentials returns what is given now. With credentials given nothing else is
// asked: a tenant's container is never opened with the identity of this process.
func (o Options) credentials() (given, error) {
	g := given{account: o.Account, key: o.AccountKey, connection: o.ConnectionString}
	if g.key != "" || g.connection != "" {
		return g, nil
	}
	if o.Federation != nil && o.CredentialsDir == "" {
		return g, nil
	}
	look := func(name string) (string, error) { return os.Getenv(name), nil }
	if o.CredentialsDir != "" {
		look = func(name string) (string, error) {
			b, err := os.ReadFile(filepath.Join(o.CredentialsDir, name))
			if errors.Is(err, fs.ErrNotExist) {
				return "", nil
			}
			return strings.TrimSpace(string(b)), err
		}
	}
	fields := []struct {
		name string
		to   *string
	}{{SecretAccount, &g.account}, {SecretKey, &g.key}, {SecretConnectionString, &g.connection}}
	if o.CredentialsDir == "" && (o.Account != "" || o.Endpoint != "") {
		// A connection string of the environment would win over what is named here.
		fields = fields[:2]
	}
	for _, field := range fields {
		value, err := look(field.name)
		if err != nil {
			return g, fmt.Errorf("read credentials: %w", err)
		}
		if *field.to == "" {
			*field.to = value
		}
	}
	if o.CredentialsDir != "" && g.key == "" && g.connection == "" {
		return g, fmt.Errorf("read credentials: %s has neither %s nor %s: %w", o.CredentialsDir, SecretKey, SecretConnectionString, fs.ErrNotExist)
	}
	return g, nil
}

// url is that of the container.
func (o Options) url(g given) (string, error) {
	switch {
	case o.Endpoint != "":
		return o.Endpoint + "/" + o.Container, nil
	case g.account != "":
		return "https://" + g.account + ".blob.core.windows.net/" + o.Container, nil
	default:
		return "", fmt.Errorf("no storage account named: give it, an endpoint, or %s", SecretAccount)
	}
}

// open returns a client of the SDK for what is given.
func (o Options) open(g given, co *container.ClientOptions, identity func() (azcore.TokenCredential, error)) (*container.Client, error) {
	if g.connection != "" {
		return container.NewClientFromConnectionString(g.connection, o.Container, co)
	}
	url, err := o.url(g)
	if err != nil {
		return nil, err
	}
	if g.key == "" {
		as, err := identity()
		if err != nil {
			return nil, err
		}
		return container.NewClient(url, as, co)
	}
	if g.account == "" {
		return nil, fmt.Errorf("an account key, and no account: give it, or %s", SecretAccount)
	}
	key, err := container.NewSharedKeyCredential(g.account, g.key)
	if err != nil {
		return nil, fmt.Errorf("the account key is no base64: %w", err)
	}
	return container.NewClientWithSharedKeyCredential(url, key, co)
}
