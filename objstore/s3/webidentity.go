// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/salvor-io/salvor/objstore"
)

// WebIdentity exchanges tokens for credentials of a role, by
// AssumeRoleWithWebIdentity, whenever the last ones are about to expire.
type WebIdentity struct {
	// Tokens are shown to the token service.
	Tokens objstore.TokenSource
	// RoleARN is the role to assume.
	RoleARN string
	// SessionName tells this session from others in the service's own log; at most 64
	// of letters, digits and =,.@_-. Default "salvor".
	SessionName string
	// Endpoint of the token service. Empty: that of AWS in the bucket's region.
	Endpoint string
}

func (w *WebIdentity) check(region string) error {
	switch {
	case w.Tokens == nil:
		return errors.New("s3: web identity without a source of tokens")
	case w.RoleARN == "":
		return errors.New("s3: web identity without a role to assume")
	case region == "":
		return errors.New("s3: web identity without a region: set the bucket's")
	}
	return checkEndpoint("token service", w.Endpoint)
}

const hintTrust = "the token service refuses the token for this role: the role's trust policy must name the issuer of these tokens, their audience and their subject (system:serviceaccount:NAMESPACE:NAME)"

// exchange is a provider of credentials for the SDK, which caches them.
type exchange struct {
	of     WebIdentity
	client *sts.Client
}

func (w *WebIdentity) provider(region string, client *http.Client, o Options) aws.CredentialsProvider {
	e := exchange{of: *w}
	setDefault(&e.of.SessionName, "salvor")
	e.client = sts.New(sts.Options{
		Region: region, Credentials: aws.AnonymousCredentials{}, HTTPClient: client, Logger: logging.Nop{},
		Retryer: o.retryer(), // asking again only makes another session
	}, func(so *sts.Options) {
		if w.Endpoint != "" {
			so.BaseEndpoint = aws.String(w.Endpoint)
		}
	})
	return aws.NewCredentialsCache(e)
}

// Retrieve implements aws.CredentialsProvider.
func (e exchange) Retrieve(ctx context.Context) (aws.Credentials, error) {
	token, err := e.of.Tokens.Token(ctx)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("get a token for role %s: %w", e.of.RoleARN, err)
	}
	asked := time.Now()
	out, err := e.client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &e.of.RoleARN, RoleSessionName: &e.of.SessionName, WebIdentityToken: &token.Value,
	})
	if err != nil {
		var api smithy.APIError
		if errors.As(err, &api) && refusals[api.ErrorCode()] {
			err = fmt.Errorf("%w: %s: %w", objstore.ErrAccessDenied, hintTrust, err)
		}
		return aws.Credentials{}, fmt.Errorf("assume role %s: %w", e.of.RoleARN, err)
	}
	c := out.Credentials
	if c == nil || aws.ToString(c.AccessKeyId) == "" || aws.ToString(c.SecretAccessKey) == "" {
		return aws.Credentials{}, fmt.Errorf("assume role %s: the token service answered without credentials", e.of.RoleARN)
	}
	got := aws.Credentials{
		AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: aws.ToString(c.SessionToken), Source: "AssumeRoleWithWebIdentity",
	}
	if c.Expiration != nil {
		// A tenth of their life early, so that no call goes out with what ends on its way.
		got.CanExpire, got.Expires = true, c.Expiration.Add(-c.Expiration.Sub(asked)/10)
	}
	return got, nil
}

// refusals are answers of a token service that asking again does not change.
var refusals = map[string]bool{
	"AccessDenied": true, "InvalidIdentityToken": true, "ExpiredTokenException": true, "IDPRejectedClaim": true,
	"ValidationError": true, "InvalidParameterValue": true,
}
