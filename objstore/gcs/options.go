// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/objstore/httpx"
)

// defaultEndpoint is Google's.
const defaultEndpoint = "https://storage.googleapis.com"

// Options says where the bucket is and who asks. Only Bucket is needed on Google
// Cloud.
type Options struct {
	// Bucket is the bucket's name.
	Bucket string
	// Endpoint is the base URL of a server that is not storage.googleapis.com: a
	// private endpoint, or an emulator, as in "http://127.0.0.1:4443". It has to
	// serve the JSON API below /storage/v1/ and the XML API below /.
	Endpoint string

	// Credentials come from the first of these that is set. None: the chain of
	// Google's libraries (GOOGLE_APPLICATION_CREDENTIALS, the file of gcloud, the
	// metadata server, which is also where GKE's workload identity is served).
	//
	// CredentialsJSON is the key of a service account, as JSON.
	CredentialsJSON []byte
	// CredentialsDir is a directory with the file GOOGLE_CREDENTIALS, the key of a
	// service account: a mounted Secret. It is read again for each request, so
	// that a rotated one is taken up.
	CredentialsDir string
	// Federation exchanges tokens of another issuer.
	Federation *Federation
	// Anonymous sends no credentials: for public buckets and emulators.
	Anonymous bool

	// CA is a bundle of PEM certificates to trust besides those of the host.
	CA []byte
	// Limits bound what one call costs.
	httpx.Limits
}

// withDefaults returns o with every zero filled in, or why it cannot be used.
func (o Options) withDefaults() (Options, error) {
	if o.Bucket == "" {
		return o, errors.New("gcs: no bucket named")
	}
	if strings.Contains(o.Bucket, "/") {
		return o, fmt.Errorf("gcs: %q is no bucket's name", o.Bucket)
	}
	if o.Endpoint == "" {
		o.Endpoint = defaultEndpoint
	}
	if err := httpx.CheckEndpoint(o.Endpoint); err != nil {
		return o, fmt.Errorf("gcs: %w", err)
	}
	o.Endpoint = strings.TrimSuffix(o.Endpoint, "/")
	if o.Federation != nil {
		if err := o.Federation.check(); err != nil {
			return o, err
		}
	}
	var err error
	if o.Limits, err = o.Limits.WithDefaults(); err != nil {
		return o, fmt.Errorf("gcs: %w", err)
	}
	return o, nil
}
