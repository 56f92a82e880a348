// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
)

// tokenSeconds is the least life that the API server gives a token: one is
// exchanged at once and then forgotten.
const tokenSeconds = 600

// tokens is the source of the tokens that open a WALStore's root: those of a
// ServiceAccount of its own namespace, whatever its spec says. The ServiceAccount
// itself is not read, and the operator's own is never asked.
func (o *opener) tokens(ws *v1alpha1.WALStore) objstore.TokenSource {
	namespace, account := ws.Namespace, ws.Spec.Root.Credentials.ServiceAccount
	name, audience := account.Name, audienceOf(ws.Spec.Root)
	return objstore.TokenFunc(func(ctx context.Context) (objstore.Token, error) {
		seconds := int64(tokenSeconds)
		request := authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &seconds}}
		of := corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if err := o.requester.SubResource("token").Create(ctx, &of, &request); err != nil {
			return objstore.Token{}, tokenFinding(namespace, name, err)
		}
		if issuer(request.Status.Token) == audience {
			return objstore.Token{}, found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonTokenForbidden,
				"audience %s is the cluster's own API server: whoever is shown such a token can act as ServiceAccount %s/%s; name the token service's audience",
				audience, namespace, name).final()
		}
		return objstore.Token{Value: request.Status.Token, Expires: request.Status.ExpirationTimestamp.Time}, nil
	})
}

// audienceOf is whom the tokens that open root are made for; never empty, which would
// be the API server itself.
func audienceOf(root v1alpha1.Root) string {
	account := root.Credentials.ServiceAccount
	switch {
	case account.Audience != "":
		return account.Audience
	case strings.HasPrefix(root.URI, "gs://"):
		return "https://iam.googleapis.com/" + account.IdentityProvider
	case strings.HasPrefix(root.URI, "azblob://"):
		return v1alpha1.DefaultAudienceAzure
	default:
		return v1alpha1.DefaultAudience
	}
}

// issuer is who a token says has made it; an API server takes tokens that are made
// for their own issuer. "" when it cannot be told.
func issuer(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

// tokenFinding says why there is no token, and what to do.
func tokenFinding(namespace, name string, err error) error {
	const claimed = v1alpha1.ConditionRootClaimed
	switch {
	case apierrors.IsNotFound(err):
		return found(claimed, v1alpha1.ReasonServiceAccountMissing,
			"ServiceAccount %s/%s does not exist: make it with `kubectl -n %s create serviceaccount %s`", namespace, name, namespace, name).final()
	case apierrors.IsForbidden(err):
		return found(claimed, v1alpha1.ReasonTokenForbidden,
			"the operator may not ask for a token of ServiceAccount %s/%s: `%s`, with the operator's own ServiceAccount where it is another one",
			namespace, name, tokenCommand(namespace)).final()
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return found(claimed, v1alpha1.ReasonTokenForbidden, "the API server makes no such token of ServiceAccount %s/%s: %v", namespace, name, err).final()
	}
	return fmt.Errorf("ask for a token of ServiceAccount %s/%s: %w", namespace, name, err)
}

// tokenCommand is the one command that lets the operator ask for tokens in a namespace.
func tokenCommand(namespace string) string {
	return fmt.Sprintf("kubectl -n %s create rolebinding salvor-token-requester --clusterrole salvor-token-requester --serviceaccount salvor-system:salvor-operator", namespace)
}

// requester makes token requests; a client without rights of its own.
type requester interface {
	SubResource(subResource string) client.SubResourceClient
}
