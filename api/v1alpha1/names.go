// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "time"

// LabelStore on a pod names the WALStore, in the pod's namespace, whose writer
// the pod is. The operator sees no pod without it.
const LabelStore = Group + "/store"

// AnnotationTemplate on a managed store's StatefulSet tells one wanted pod template
// from another: while it is the wanted one, spec.updateStrategy.rollingUpdate.partition
// says how far the pods have been replaced.
const AnnotationTemplate = Group + "/template"

// LabelFreeze is shared by the StoreMaintenances that one freeze of several
// namespaces has made; AnnotationAskedBy is who asked, as their own machine says.
const (
	LabelFreeze       = Group + "/freeze"
	AnnotationAskedBy = Group + "/asked-by"
)

// The entries of a credentials Secret, named like the variables that each cloud's
// tools read, so that a pod can take the Secret as its environment, and like the
// files that the store's --root reads where the Secret is mounted.
const (
	SecretAccessKeyID     = "AWS_ACCESS_KEY_ID"
	SecretSecretAccessKey = "AWS_SECRET_ACCESS_KEY"
	// SecretSessionToken is optional.
	SecretSessionToken = "AWS_SESSION_TOKEN"

	// SecretGoogleCredentials is the JSON key of a service account.
	SecretGoogleCredentials = "GOOGLE_CREDENTIALS"

	// SecretStorageAccount is optional where spec.root.storageAccount says it.
	SecretStorageAccount = "AZURE_STORAGE_ACCOUNT"
	SecretStorageKey     = "AZURE_STORAGE_KEY"
	// SecretConnectionString names the account, and a key or a shared access
	// signature; it stands alone.
	SecretConnectionString = "AZURE_STORAGE_CONNECTION_STRING"

	// SecretCA is optional: certificates, PEM, that sign the endpoint's.
	SecretCA = "ca.crt"
)

// SecretCurrentAuditKey is the entry of an audit key Secret that names the key
// to sign with; every other entry is a key under its id.
const SecretCurrentAuditKey = "current"

// What a field is when the spec does not say. The schema fills these in; they
// are here for code that makes objects without an API server.
const (
	DefaultControlPort        int32 = 8411
	DefaultReplicas           int32 = 3
	DefaultCheckpointInterval       = 10 * time.Second
	DefaultDrainOfPod               = 30 * time.Second
	DefaultOrphanAfter              = 5 * time.Minute
	DefaultRetainVersions           = 1024
	DefaultRetainAge                = 24 * time.Hour
	DefaultRequestTimeout           = 10 * time.Second
	DefaultConnectTimeout           = 5 * time.Second
	DefaultReadAttempts       int32 = 3
	DefaultMaxBackoff               = 5 * time.Second
	DefaultMaxConnections     int32 = 64
	DefaultDrainTimeout             = 5 * time.Minute
	DefaultHookTimeout              = 30 * time.Second
	DefaultCPURequest               = "10m"
	DefaultMemoryRequest            = "32Mi"
	DefaultAudience                 = "sts.amazonaws.com"
	DefaultAudienceAzure            = "api://AzureADTokenExchange"
)

// MaxTables is how many of an operation's tables a RecoverySidecar lists; its
// tableCount counts them all.
const MaxTables = 50
