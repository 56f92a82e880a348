// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/logging"
)

// config returns the SDK's configuration. With credentials given nothing else is
// asked: a tenant's bucket is never opened with the identity of this process.
func (o Options) config(ctx context.Context, client *http.Client) (aws.Config, error) {
	var given aws.CredentialsProvider
	switch {
	case o.AccessKeyID != "":
		given = credentials.NewStaticCredentialsProvider(o.AccessKeyID, o.SecretAccessKey, o.SessionToken)
	case o.CredentialsDir != "":
		given = aws.NewCredentialsCache(dirCredentials{o.CredentialsDir})
	case o.WebIdentity != nil:
		given = o.WebIdentity.provider(o.Region, client, o)
	}
	if given != nil && o.Region != "" {
		return aws.Config{Region: o.Region, Credentials: given}, nil
	}
	load := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // a library returns, it does not log
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if given != nil {
		load = append(load, config.WithCredentialsProvider(given))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return cfg, fmt.Errorf("s3: load the configuration of the SDK: %w", err)
	}
	if cfg.Region == "" {
		return cfg, errors.New("s3: no region: set it, or AWS_REGION")
	}
	return cfg, nil
}

// credentialsAge is how long what was read from a directory is used.
const credentialsAge = time.Minute

// dirCredentials reads credentials from a mounted Secret.
type dirCredentials struct{ dir string }

// Retrieve implements aws.CredentialsProvider.
func (d dirCredentials) Retrieve(context.Context) (aws.Credentials, error) {
	var read [3]string
	for i, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		b, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil && !(i == 2 && errors.Is(err, os.ErrNotExist)) {
			return aws.Credentials{}, fmt.Errorf("read credentials: %w", err)
		}
		read[i] = strings.TrimSpace(string(b))
	}
	return aws.Credentials{
		AccessKeyID: read[0], SecretAccessKey: read[1], SessionToken: read[2], Source: d.dir,
		CanExpire: true, Expires: time.Now().Add(credentialsAge),
	}, nil
}
