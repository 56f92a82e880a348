// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WALStoreSpec says which root is operated, by whose credentials, and which pods
// write it.
//
// +kubebuilder:validation:XValidation:rule="has(self.workload) != has(self.managed)",message="set exactly one of workload (pods that are there already) and managed (pods that the operator runs)"
// +kubebuilder:validation:XValidation:rule="has(self.managed) == has(oldSelf.managed)",message="who runs the pods is decided once: workload cannot become managed, nor managed workload; make a new WALStore after this one is deleted (deleting it deletes nothing in the root)"
type WALStoreSpec struct {
	// Root is where the store's manifest, tables, sidecars and audit trail live.
	// +required
	Root Root `json:"root"`

	// Workload names pods that are there already: the operator watches them and
	// changes nothing about them.
	// +optional
	Workload *Workload `json:"workload,omitempty"`

	// Managed makes the operator run the reference store as a StatefulSet with the
	// name of this WALStore.
	// +optional
	Managed *ManagedStore `json:"managed,omitempty"`

	// Control is where each pod of the store answers the operator.
	// +kubebuilder:default={}
	// +optional
	Control Control `json:"control,omitzero"`

	// Recovery tunes when the operator steps in.
	// +kubebuilder:default={}
	// +optional
	Recovery RecoveryPolicy `json:"recovery,omitzero"`

	// Retention is how much of the root's history is kept.
	// +kubebuilder:default={}
	// +optional
	Retention Retention `json:"retention,omitzero"`

	// Audit is how the audit trail is signed.
	// +required
	Audit Audit `json:"audit"`

	// Windows are when work is done that may wait: automatic roll-backs, and changes of
	// the pods of a managed store. What was approved does not wait, nor does going
	// forward. No windows: at any time.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Windows []Window `json:"windows,omitempty"`

	// Suspend stops the operator from acting on this store until a time: nothing is
	// recovered, fenced or published, and the pods are left as they are. What it sees
	// still shows in the status. Deleting the WALStore waits for no suspension.
	// +optional
	Suspend *Suspension `json:"suspend,omitempty"`
}

// Root is a place in object storage, and how to reach it.
//
// +kubebuilder:validation:XValidation:rule="!self.uri.matches('^(s3|gs|azblob)://') || has(self.credentials) || !has(self.endpoint)",message="an endpoint needs credentials.secretRef or credentials.serviceAccount: the operator shows an identity of its own to no server that a tenant names"
// +kubebuilder:validation:XValidation:rule="self.uri.matches('^(s3|gs|azblob)://') || !(has(self.credentials) || has(self.endpoint))",message="credentials and endpoint belong to s3://, gs:// and azblob:// roots"
// +kubebuilder:validation:XValidation:rule="self.uri.startsWith('s3://') || !(has(self.region) || has(self.pathStyle))",message="region and pathStyle belong to s3:// roots"
// +kubebuilder:validation:XValidation:rule="self.uri.startsWith('azblob://') || !has(self.storageAccount)",message="storageAccount belongs to azblob:// roots"
// +kubebuilder:validation:XValidation:rule="self.uri.startsWith('azblob://') || !has(self.endpoint) || self.endpoint.matches('^https?://[^/?#@]+/?$')",message="the endpoint must be http:// or https:// with a host and perhaps a port, and nothing behind it"
// +kubebuilder:validation:XValidation:rule="!self.uri.startsWith('s3://') || !has(self.credentials) || !has(self.credentials.serviceAccount) || has(self.credentials.serviceAccount.roleARN)",message="credentials.serviceAccount.roleARN is needed for an s3:// root: the role that the ServiceAccount's token is exchanged for"
// +kubebuilder:validation:XValidation:rule="!self.uri.startsWith('gs://') || !has(self.credentials) || !has(self.credentials.serviceAccount) || has(self.credentials.serviceAccount.identityProvider)",message="credentials.serviceAccount.identityProvider is needed for a gs:// root: the workload identity provider that vouches for this cluster's tokens"
// +kubebuilder:validation:XValidation:rule="!self.uri.startsWith('azblob://') || !has(self.credentials) || !has(self.credentials.serviceAccount) || (has(self.credentials.serviceAccount.tenantID) && has(self.credentials.serviceAccount.clientID))",message="credentials.serviceAccount.tenantID and clientID are needed for an azblob:// root: the identity that the ServiceAccount's token is exchanged for"
// +kubebuilder:validation:XValidation:rule="!self.uri.startsWith('azblob://') || !has(self.credentials) || !has(self.credentials.serviceAccount) || has(self.storageAccount)",message="storageAccount is needed beside credentials.serviceAccount: no Secret names it"
// +kubebuilder:validation:XValidation:rule="!self.uri.startsWith('azblob://') || !has(self.credentials) || !has(self.credentials.serviceAccount) || ((!has(self.endpoint) || self.endpoint.startsWith('https://')) && (!has(self.credentials.serviceAccount.stsEndpoint) || self.credentials.serviceAccount.stsEndpoint.startsWith('https://')))",message="tokens travel with TLS only: endpoint and stsEndpoint of an azblob:// root with credentials.serviceAccount begin with https://"
// +kubebuilder:validation:XValidation:rule="!has(self.credentials) || !has(self.credentials.serviceAccount) || ((self.uri.startsWith('s3://') || !has(self.credentials.serviceAccount.roleARN)) && (self.uri.startsWith('gs://') || !(has(self.credentials.serviceAccount.identityProvider) || has(self.credentials.serviceAccount.impersonate))) && (self.uri.startsWith('azblob://') || !(has(self.credentials.serviceAccount.tenantID) || has(self.credentials.serviceAccount.clientID))))",message="in credentials.serviceAccount, roleARN belongs to s3:// roots, identityProvider and impersonate to gs://, tenantID and clientID to azblob://"
type Root struct {
	// URI of the root: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX (Google Cloud Storage) or
	// azblob://CONTAINER/PREFIX (Azure Blob Storage); the prefix may be left out.
	// file:///DIRECTORY and mem://NAME are taken only from an operator that was started with
	// --allow-local-roots; any other reports RootNotAllowed. Settings such as the
	// endpoint are the fields beside it, never a query. The URI may change until
	// the root was claimed (status.root.uid), then no more.
	// +required
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(s3|gs|azblob|file|mem)://')",message="the root must be s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or azblob://CONTAINER/PREFIX (or, where the operator allows local roots, file:///DIRECTORY or mem://NAME)"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[?#@]')",message="a root's URI has no query, fragment or user: endpoint, region, pathStyle, storageAccount and credentials are fields beside it"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('/') && !self.matches('[^:/]//|/[.]{1,2}(/|$)')",message="a root has one spelling: no slash at the end, no empty, '.' or '..' segment"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('s3://') || self.matches('^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9/._~=+,-]+)?$')",message="an S3 root is s3:// and a bucket's name (3 to 63 of a-z, 0-9, '.' and '-'), then perhaps a prefix of letters, digits and / . _ ~ = + , -"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('gs://') || self.matches('^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[A-Za-z0-9/._~=+,-]+)?$')",message="a root on Google Cloud Storage is gs:// and a bucket's name (3 to 222 of a-z, 0-9, '.', '_' and '-'), then perhaps a prefix of letters, digits and / . _ ~ = + , -"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('azblob://') || self.matches('^azblob://[a-z0-9][a-z0-9-]{1,61}[a-z0-9](/[A-Za-z0-9/._~=+,-]+)?$') && !self.matches('^azblob://[^/]*--')",message="a root on Azure is azblob:// and a container's name (3 to 63 of a-z, 0-9 and single '-'), then perhaps a prefix of letters, digits and / . _ ~ = + , -; the account is spec.root.storageAccount"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('azblob://') || !self.matches('[.](/|$)')",message="Azure keeps no name with a segment that ends in a dot"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('file:') || self.matches('^file:///[A-Za-z0-9/._~=+,-]+$')",message="a directory root is file:// and an absolute path of letters, digits and / . _ ~ = + , -, such as file:///var/lib/store"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('mem:') || self.matches('^mem://[A-Za-z0-9._-]+$')",message="a memory root is mem:// and a name"
	URI string `json:"uri"`

	// Endpoint of another server than the cloud's own: an S3-compatible one, such as
	// https://s3.example.net, or a private endpoint. For Azure it is the account's, and
	// where the server wants it so, ends in the account: http://host:10000/ACCOUNT.
	// Empty: the public endpoint.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@]+(/[a-z0-9]{3,24})?/?$')",message="the endpoint must be http:// or https:// with a host and perhaps a port, and nothing behind it (for an azblob:// root perhaps the account)"
	Endpoint string `json:"endpoint,omitempty"`

	// Region of the bucket, on S3. Empty: us-east-1, which servers without regions take.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	Region string `json:"region,omitempty"`

	// StorageAccount holds the container of an azblob:// root. Empty: the one that the
	// Secret names.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]+$')",message="storageAccount is the account's name alone (3 to 24 of a-z and 0-9), such as ordersprod, without .blob.core.windows.net"
	StorageAccount string `json:"storageAccount,omitempty"`

	// PathStyle puts the bucket into the path (https://host/bucket) instead of the
	// host name, as most servers other than AWS want it.
	// +optional
	PathStyle bool `json:"pathStyle,omitempty"`

	// Credentials for the root. One in object storage without them reports
	// CredentialsMissing, unless the operator was started with --ambient-roots for
	// it: its own cloud identity opens no other root.
	// +optional
	Credentials *Credentials `json:"credentials,omitempty"`

	// RequestTimeout bounds the wait for the answer to one request to the object
	// store, from when it was sent.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('5m')",message="requestTimeout must be between 100ms and 5m"
	RequestTimeout *metav1.Duration `json:"requestTimeout,omitempty"`

	// Requests tune how the object store is asked.
	// +kubebuilder:default={}
	// +optional
	Requests Requests `json:"requests,omitzero"`
}

// LocalReference names an object of the same namespace.
type LocalReference struct {
	// Name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Workload is a StatefulSet that somebody else made and keeps.
type Workload struct {
	// StatefulSetName names the StatefulSet whose pods write the root. Its pod
	// template must carry the label recovery.salvor.io/store with the name of this
	// WALStore; while it does not, Ready is False and its message is the patch to
	// apply. A pod's name is its writer id.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StatefulSetName string `json:"statefulSetName"`
}

// Control is where a pod serves status, stream and refresh.
type Control struct {
	// Port on the pod's own address.
	// +optional
	// +kubebuilder:default=8411
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// RollBackPolicy says who may undo what readers can see.
//
// +kubebuilder:validation:Enum=Never;OnApproval;Automatic
type RollBackPolicy string

// The policies of roll-backs.
const (
	RollBackNever      RollBackPolicy = "Never"
	RollBackOnApproval RollBackPolicy = "OnApproval"
	RollBackAutomatic  RollBackPolicy = "Automatic"
)

// RecoveryMode says whether recovery acts or only says what it would do.
//
// +kubebuilder:validation:Enum=Automatic;Plan
type RecoveryMode string

// The modes of recovery.
const (
	RecoveryAutomatic RecoveryMode = "Automatic"
	RecoveryPlan      RecoveryMode = "Plan"
)

// RestartPolicy says whether the operator restarts a pod whose log has failed.
//
// +kubebuilder:validation:Enum=Automatic;Never
type RestartPolicy string

// The policies of restarts.
const (
	RestartAutomatic RestartPolicy = "Automatic"
	RestartNever     RestartPolicy = "Never"
)

// RecoveryPolicy tunes recovery. Going forward, and closing what nobody could
// see, are automatic; undoing something that readers can see is a policy of its own.
type RecoveryPolicy struct {
	// Mode Plan writes nothing to the root: each RecoverySidecar says what would be
	// done.
	// +optional
	// +kubebuilder:default=Automatic
	Mode RecoveryMode `json:"mode,omitempty"`

	// RollBack says what becomes of an operation that has to be undone although
	// readers can see it: Never undoes nothing, OnApproval undoes what somebody has
	// approved in spec.approval of its RecoverySidecar, Automatic undoes it at once.
	// +optional
	// +kubebuilder:default=OnApproval
	RollBack RollBackPolicy `json:"rollBack,omitempty"`

	// RestartPoisoned says what becomes of a pod whose log has failed, so that it takes no
	// more writes until it is restarted: Automatic evicts it, under the disruption budgets
	// of its namespace, when its operations are settled, and at most three times in an
	// hour; Never leaves it to somebody who wants to look at the disk first. Whatever it
	// says, a full volume is reported, and no pod is restarted while its volume is full.
	// With mode Plan nothing is evicted.
	// +optional
	// +kubebuilder:default=Automatic
	RestartPoisoned RestartPolicy `json:"restartPoisoned,omitempty"`

	// OrphanAfter is how long a registered writer may be without a pod before its
	// epoch is ended and its operations are recovered.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="orphanAfter must be between 1s and 24h"
	OrphanAfter *metav1.Duration `json:"orphanAfter,omitempty"`
}

// Window is a time that comes again.
type Window struct {
	// Schedule is when it opens, as cron has it: minute, hour, day of the month, month,
	// day of the week. "0 2 * * 6" is Saturday at two.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^ @]+( [^ ]+){4}$')",message="schedule has five fields, as cron has them: minute, hour, day of the month, month, day of the week"
	Schedule string `json:"schedule"`
	// Duration is how long it stays open: one minute to seven days.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="duration must be between 1m and 168h"
	Duration metav1.Duration `json:"duration"`
	// TimeZone by its name in the IANA database, such as Europe/Berlin.
	// +optional
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// Retention says how much of a root's history is kept at least. Kept in any case is
// what a pending operation or an open reader needs, and the last hour.
type Retention struct {
	// Versions is how many of the newest versions of the manifest are kept.
	// +optional
	// +kubebuilder:default=1024
	// +kubebuilder:validation:Minimum=16
	Versions int64 `json:"versions,omitempty"`
	// Age is how long a version of the manifest is kept, with the table versions that
	// it names.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="retention.age is at least 1h: readers count on that"
	Age *metav1.Duration `json:"age,omitempty"`
}

// Audit says how rows of the audit trail are signed.
type Audit struct {
	// KeySecretRef names a Secret of this namespace: a key of at least 16 random
	// bytes under each key id, and under "current" the id of the one that signs. To
	// rotate, add a key and then name it current; keep the old ones, or the rows
	// that they signed cannot be verified.
	// +required
	KeySecretRef LocalReference `json:"keySecretRef"`
}

// WALStore is a store that pods write through their own write-ahead logs into one
// root in object storage, and that the operator heals when one of them crashes.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=walstores,singular=walstore,shortName=wals,categories=salvor,scope=Namespaced
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.pendingSidecars`,description="operations that wait for their writer or for recovery"
// +kubebuilder:printcolumn:name="Writers",type=string,JSONPath=`.status.writers.summary`,description="writers that report / pods expected"
// +kubebuilder:printcolumn:name="Manifest",type=integer,JSONPath=`.status.root.manifestVersion`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Recovering",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Recovering")].status`
// +kubebuilder:printcolumn:name="Stalled",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Stalled")].status`
// +kubebuilder:printcolumn:name="Isolated",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Isolated")].status`
// +kubebuilder:printcolumn:name="Suspended-Until",type=string,priority=1,JSONPath=`.spec.suspend.until`
// +kubebuilder:printcolumn:name="Suspended-By",type=string,priority=1,JSONPath=`.spec.suspend.by`
// +kubebuilder:printcolumn:name="Root",type=string,priority=1,JSONPath=`.spec.root.uri`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$')",message="a WALStore's name has at most 52 of a-z, 0-9 and '-', begins with a letter and does not end with '-': its pods, Service and labels carry it"
// +kubebuilder:validation:XValidation:rule="self.spec.root.uri == oldSelf.spec.root.uri || !has(oldSelf.status) || !has(oldSelf.status.root)",message="spec.root.uri is immutable once the root is claimed (status.root.uid); to move a store, copy its root, make a new WALStore for the copy and adopt it"
type WALStore struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +required
	Spec WALStoreSpec `json:"spec"`
	// +optional
	Status WALStoreStatus `json:"status,omitzero"`
}

// WALStoreList is a list of WALStores.
//
// +kubebuilder:object:root=true
type WALStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []WALStore `json:"items"`
}
