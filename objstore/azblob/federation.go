// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/salvor-io/salvor/objstore"
)

// Federation exchanges tokens of another issuer for those of an application or a
// managed identity in Entra ID that trusts them by a federated credential. What
// comes back is kept until shortly before it expires, and is never sent without TLS.
type Federation struct {
	// Tokens are shown to Entra ID.
	Tokens objstore.TokenSource
	// TenantID and ClientID name the identity in Entra ID.
	TenantID, ClientID string
	// Authority is the base URL, with https, of another cloud's Entra ID, or of a
	// server that stands for it. Empty: https://login.microsoftonline.com.
	Authority string
}

func (f *Federation) check() error {
	switch {
	case f.Tokens == nil:
		return errors.New("azblob: federation without a source of tokens")
	case f.TenantID == "" || f.ClientID == "":
		return errors.New("azblob: federation wants the tenant's and the client's id")
	case f.Authority != "" && !strings.HasPrefix(f.Authority, "https://"):
		return fmt.Errorf("azblob: federation: %q must begin with https://", f.Authority)
	}
	return nil
}

// federated is the credential for the SDK, which asks it for each request.
type federated struct {
	exchange *azidentity.ClientAssertionCredential
}

// refusedKey is where the source of tokens leaves its error: the SDK makes text of it.
type refusedKey struct{}

func (f *Federation) credential(client *http.Client) (azcore.TokenCredential, error) {
	authority := f.Authority
	if authority == "" {
		authority = cloud.AzurePublic.ActiveDirectoryAuthorityHost
	}
	exchange, err := azidentity.NewClientAssertionCredential(f.TenantID, f.ClientID, func(ctx context.Context) (string, error) {
		token, err := f.Tokens.Token(ctx)
		if to, ok := ctx.Value(refusedKey{}).(*error); ok && err != nil {
			*to = err
		}
		return token.Value, err
	}, &azidentity.ClientAssertionCredentialOptions{
		ClientOptions: azcore.ClientOptions{
			Transport: client, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: authority}, Retry: policy.RetryOptions{MaxRetries: -1},
		},
		DisableInstanceDiscovery: true, // the authority is given, by us or by who names it
	})
	if err != nil {
		return nil, err
	}
	return federated{exchange}, nil
}

const hintFederation = "Entra ID refuses the token: a federated credential of this client id must name the issuer of these tokens, their audience and their subject (system:serviceaccount:NAMESPACE:NAME)"

// GetToken implements azcore.TokenCredential.
func (f federated) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	var source error
	token, err := f.exchange.GetToken(context.WithValue(ctx, refusedKey{}, &source), o)
	var failed *azidentity.AuthenticationFailedError
	switch {
	case err == nil:
		return token, nil
	case source != nil:
		return token, fmt.Errorf("get a token to exchange: %w", source)
	case errors.As(err, &failed) && failed.RawResponse != nil && failed.RawResponse.StatusCode/100 == 4 && failed.RawResponse.StatusCode != http.StatusTooManyRequests:
		var said struct {
			Description string `json:"error_description"`
		}
		if raw, err := runtime.Payload(failed.RawResponse); err == nil {
			_ = json.Unmarshal(raw, &said)
		}
		line, _, _ := strings.Cut(said.Description, "\n")
		return token, fmt.Errorf("%w: %s: %d %.300s", objstore.ErrAccessDenied, hintFederation, failed.RawResponse.StatusCode, strings.TrimSpace(line))
	}
	return token, err
}
