// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	coreac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// How the pods of a managed store reach the root: with the same settings as the
// operator, and with what their own namespace gives.

// podTokenSeconds is how long a pod's token lasts; the kubelet renews it in time.
const podTokenSeconds = 3600

func serviceAccount(ws *v1alpha1.WALStore) *v1alpha1.ServiceAccountCredentials {
	if c := ws.Spec.Root.Credentials; c != nil {
		return c.ServiceAccount
	}
	return nil
}

// rootVolumes are the Secret of the root, named root, and the token that is
// exchanged for credentials, named token; those that there are.
func rootVolumes(ws *v1alpha1.WALStore) (out []*coreac.VolumeApplyConfiguration) {
	secret, account := "", serviceAccount(ws)
	switch {
	case account != nil:
		secret = account.CASecretRef.Name
	case ws.Spec.Root.Credentials != nil:
		secret = ws.Spec.Root.Credentials.SecretRef.Name
	}
	if secret != "" {
		out = append(out, coreac.Volume().WithName("root").WithSecret(coreac.SecretVolumeSource().WithSecretName(secret).WithDefaultMode(0o440)))
	}
	if account != nil {
		out = append(out, coreac.Volume().WithName("token").WithProjected(coreac.ProjectedVolumeSource().WithDefaultMode(0o440).
			WithSources(coreac.VolumeProjection().WithServiceAccountToken(coreac.ServiceAccountTokenProjection().
				WithAudience(audienceOf(ws.Spec.Root)).WithExpirationSeconds(podTokenSeconds).WithPath(tokenFile)))))
	}
	return out
}

// tokenEnvironment is what the SDK of S3 looks for in its chain.
func tokenEnvironment(ws *v1alpha1.WALStore) (out []*coreac.EnvVarApplyConfiguration) {
	account := serviceAccount(ws)
	if account == nil || !strings.HasPrefix(ws.Spec.Root.URI, "s3://") {
		return nil
	}
	set := func(name, value string) { out = append(out, coreac.EnvVar().WithName(name).WithValue(value)) }
	set("AWS_ROLE_ARN", account.RoleARN)
	set("AWS_WEB_IDENTITY_TOKEN_FILE", tokenDir+"/"+tokenFile)
	set("AWS_ROLE_SESSION_NAME", sessionName(ws))
	if account.STSEndpoint != "" {
		set("AWS_ENDPOINT_URL_STS", strings.TrimSuffix(account.STSEndpoint, "/"))
	}
	if account.CASecretRef.Name != "" {
		set("AWS_CA_BUNDLE", secretDir+"/"+v1alpha1.SecretCA)
	}
	return out
}

// federation adds whom the mounted token is shown to, and for whose rights.
func federation(q url.Values, account *v1alpha1.ServiceAccountCredentials) {
	q.Set("token_file", tokenDir+"/"+tokenFile)
	for name, value := range map[string]string{
		"identity_provider": account.IdentityProvider, "impersonate": account.Impersonate,
		"tenant_id": account.TenantID, "client_id": account.ClientID, "sts_endpoint": strings.TrimSuffix(account.STSEndpoint, "/"),
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
}

// addressing adds what only S3 asks for: whether the bucket stands in the path, and
// its region.
func addressing(q url.Values, root v1alpha1.Root) {
	if root.Endpoint != "" || root.PathStyle {
		q.Set("path_style", strconv.FormatBool(root.PathStyle))
	}
	if root.Region != "" {
		q.Set("region", root.Region)
	} else if root.Credentials != nil && root.Endpoint == "" {
		q.Set("region", "us-east-1")
	}
}

// tune adds the settings that are not as every store has them: what says the same
// in other words would restart the pods.
func tune(q url.Values, root v1alpha1.Root) {
	for name, d := range map[string]struct{ is, usual time.Duration }{
		"connect_timeout": {given(root.Requests.ConnectTimeout, v1alpha1.DefaultConnectTimeout), v1alpha1.DefaultConnectTimeout},
		"request_timeout": {given(root.RequestTimeout, v1alpha1.DefaultRequestTimeout), v1alpha1.DefaultRequestTimeout},
		"max_backoff":     {given(root.Requests.MaxBackoff, v1alpha1.DefaultMaxBackoff), v1alpha1.DefaultMaxBackoff},
	} {
		if d.is != d.usual {
			q.Set(name, d.is.String())
		}
	}
	for name, n := range map[string]struct{ is, usual int32 }{
		"read_attempts":   {root.Requests.ReadAttempts, v1alpha1.DefaultReadAttempts},
		"max_connections": {root.Requests.MaxConnections, v1alpha1.DefaultMaxConnections},
	} {
		if n.is != 0 && n.is != n.usual {
			q.Set(name, strconv.Itoa(int(n.is)))
		}
	}
}
