// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob

import (
	"errors"
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/objstore/httpx"
)

// Options says where the container is and who asks. Container and an account are
// needed; the account may come with the credentials.
type Options struct {
	// Container is the container's name.
	Container string
	// Account is the storage account. Empty: AZURE_STORAGE_ACCOUNT of the credentials.
	Account string
	// Endpoint is the base URL of the account where it is not
	// https://ACCOUNT.blob.core.windows.net: another cloud, a private endpoint, or an
	// emulator, as in "http://127.0.0.1:10000/devstoreaccount1".
	Endpoint string

	// Credentials come from the first of these that is set. None: the variables
	// AZURE_STORAGE_CONNECTION_STRING (where neither Account nor Endpoint names another)
	// or AZURE_STORAGE_KEY that the az command reads, and else the chain of Azure's libraries (AZURE_CLIENT_ID and so on, workload
	// identity, managed identity, az login).
	//
	// AccountKey is a key of the account, in base64.
	AccountKey string
	// ConnectionString names the endpoint, the account, and a key or a shared access
	// signature. It wins over Account and Endpoint.
	ConnectionString string
	// CredentialsDir is a directory with the files AZURE_STORAGE_CONNECTION_STRING, or
	// AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY: a mounted Secret. They are read
	// again for each request, so that rotated ones are taken up.
	CredentialsDir string

	// Federation exchanges tokens of another issuer. Account or Endpoint is needed.
	Federation *Federation

	// CA is a bundle of PEM certificates to trust besides those of the host.
	CA []byte
	// Limits bound what one call costs.
	httpx.Limits
}

// withDefaults returns o with every zero filled in, or why it cannot be used.
func (o Options) withDefaults() (Options, error) {
	if o.Container == "" {
		return o, errors.New("azblob: no container named")
	}
	if strings.Contains(o.Container, "/") {
		return o, fmt.Errorf("azblob: %q is no container's name", o.Container)
	}
	if o.Endpoint != "" {
		if err := httpx.CheckEndpoint(o.Endpoint); err != nil {
			return o, fmt.Errorf("azblob: %w", err)
		}
		o.Endpoint = strings.TrimSuffix(o.Endpoint, "/")
	}
	if o.Federation != nil {
		if err := o.Federation.check(); err != nil {
			return o, err
		}
	}
	var err error
	if o.Limits, err = o.Limits.WithDefaults(); err != nil {
		return o, fmt.Errorf("azblob: %w", err)
	}
	return o, nil
}
