// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Credentials come from the WALStore's own namespace, always.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.serviceAccount)",message="set exactly one of credentials.secretRef (keys in a Secret) and credentials.serviceAccount (tokens of a ServiceAccount)"
type Credentials struct {
	// SecretRef names a Secret of this namespace. For s3:// it holds AWS_ACCESS_KEY_ID,
	// AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN; for gs://
	// GOOGLE_CREDENTIALS, the JSON key of a service account; for azblob://
	// AZURE_STORAGE_KEY, with AZURE_STORAGE_ACCOUNT unless spec.root.storageAccount says
	// it, or AZURE_STORAGE_CONNECTION_STRING alone. ca.crt in it holds certificates (PEM)
	// for an endpoint that no public authority signs. It is read when it is needed and
	// never cached.
	// +optional
	SecretRef LocalReference `json:"secretRef,omitzero"`

	// ServiceAccount exchanges tokens of a ServiceAccount of this namespace for
	// credentials that last an hour or so: no key is stored anywhere.
	// +optional
	ServiceAccount *ServiceAccountCredentials `json:"serviceAccount,omitempty"`
}

// ServiceAccountCredentials say whose tokens are shown to whom.
type ServiceAccountCredentials struct {
	// Name of a ServiceAccount of this namespace. The operator asks the API server
	// for a token of it, and may only where somebody allowed it: bind the ClusterRole
	// salvor-token-requester in this namespace. Pods of a managed store run under it;
	// pods of your own are yours to set up.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`

	// RoleARN is the role whose credentials are asked for, by
	// AssumeRoleWithWebIdentity. Its trust policy names this cluster's issuer and
	// system:serviceaccount:NAMESPACE:NAME. Needed for s3:// roots.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^arn:[a-z0-9-]+:iam::[A-Za-z0-9_-]*:role/[A-Za-z0-9/_+=,.@-]+$')",message="roleARN must be like arn:aws:iam::111122223333:role/NAME"
	RoleARN string `json:"roleARN,omitempty"`

	// IdentityProvider is who vouches for this cluster's tokens at Google: a provider of
	// a workload identity pool, by its whole name. Needed for gs:// roots.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+$')",message="identityProvider must be like projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
	IdentityProvider string `json:"identityProvider,omitempty"`

	// Impersonate is a service account at Google whose rights are used, by its e-mail
	// address; the ServiceAccount's principal needs roles/iam.workloadIdentityUser on
	// it. Empty: the rights of the principal itself.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9.-]+@[a-z0-9.-]+$')",message="impersonate must be a service account's e-mail address, NAME@PROJECT.iam.gserviceaccount.com"
	Impersonate string `json:"impersonate,omitempty"`

	// TenantID is the directory of Entra ID in which ClientID is. Needed for azblob://
	// roots.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9.-]+$`
	TenantID string `json:"tenantID,omitempty"`

	// ClientID is an application or a managed identity in Entra ID, with a federated
	// credential that names this cluster's issuer and system:serviceaccount:NAMESPACE:NAME.
	// Needed for azblob:// roots.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	ClientID string `json:"clientID,omitempty"`

	// STSEndpoint of a server that exchanges tokens and is not the cloud's own, such as
	// https://sts.example.net; on Azure, the authority of another cloud. Empty: AWS's of
	// root.region, Google's, https://login.microsoftonline.com.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@]+/?$')",message="stsEndpoint must be http:// or https:// with a host and perhaps a port, and nothing behind it"
	STSEndpoint string `json:"stsEndpoint,omitempty"`

	// Audience that the tokens are made for: what the other side expects in them. Empty:
	// sts.amazonaws.com, https://iam.googleapis.com/ and the identityProvider, or
	// api://AzureADTokenExchange.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.matches('kubernetes[.]default')",message="the audience must be the token service's, never this cluster's own API server: a token for that would let the other side act as the ServiceAccount"
	Audience string `json:"audience,omitempty"`

	// CASecretRef names a Secret of this namespace whose ca.crt holds certificates
	// (PEM) for the endpoint and the stsEndpoint, where no public authority signs them.
	// +optional
	CASecretRef LocalReference `json:"caSecretRef,omitzero"`
}
