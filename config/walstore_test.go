// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

// adopted is the smallest WALStore there is.
const adopted = `
apiVersion: recovery.salvor.io/v1alpha1
kind: WALStore
metadata: {name: orders, namespace: default}
spec:
  root: {uri: "s3://stores/orders", credentials: {secretRef: {name: orders-root}}}
  workload: {statefulSetName: orders}
  audit: {keySecretRef: {name: orders-audit}}
`

const managed = `
apiVersion: recovery.salvor.io/v1alpha1
kind: WALStore
metadata: {name: orders, namespace: default}
spec:
  root: {uri: "s3://stores/orders", credentials: {secretRef: {name: orders-root}}}
  managed: {}
  audit: {keySecretRef: {name: orders-audit}}
`

// Every invalid WALStore is refused by a plain API server, with a sentence that
// says what to write instead.
func TestInvalidWALStoresAreRefused(t *testing.T) {
	contract.Row(t, 144, 163)
	s := server(t)
	a, m := parse(t, adopted), parse(t, managed)
	local := a.with("spec.root", map[string]any{"uri": "file:///var/lib/store"})
	account := map[string]any{"name": "orders", "roleARN": "arn:aws:iam::111122223333:role/orders"}
	tokens := a.with("spec.root.credentials", map[string]any{"serviceAccount": account})
	gs, az := a.with("spec.root.uri", "gs://stores/orders"), a.with("spec.root.uri", "azblob://stores/orders")
	google1, azure1 := byTokens(a)
	const (
		sa       = "spec.root.credentials.serviceAccount."
		others   = "roleARN belongs to s3:// roots, identityProvider and impersonate to gs://, tenantID and clientID to azblob://"
		scheme   = "the root must be s3://BUCKET/PREFIX"
		spelling = "a root has one spelling"
		bucket   = "an S3 root is s3:// and a bucket's name"
		query    = "a root's URI has no query"
		belong   = "credentials and endpoint belong to s3://, gs:// and azblob:// roots"
		onlyS3   = "region and pathStyle belong to s3:// roots"
		google   = "a root on Google Cloud Storage is gs:// and a bucket's name"
		azure    = "a root on Azure is azblob:// and a container's name"
		bare     = "the endpoint must be http:// or https:// with a host and perhaps a port, and nothing behind it"
		name     = "a WALStore's name has at most 52"
		one      = "set exactly one of workload (pods that are there already) and managed"
		endpoint = "the endpoint must be http:// or https:// with a host"
	)
	for _, c := range []struct {
		name string
		o    object
		says string
	}{
		{"a root on http", a.with("spec.root.uri", "https://stores/orders"), scheme},
		{"a root without a scheme", a.with("spec.root.uri", "stores/orders"), scheme},
		{"a root on a store that is not built", a.with("spec.root.uri", "az://stores/orders"), scheme},
		{"the scheme in capitals", a.with("spec.root.uri", "S3://stores/orders"), scheme},
		{"settings in a query", a.with("spec.root.uri", "s3://stores/orders?region=x"), query},
		{"a password in the URI", a.with("spec.root.uri", "s3://key:secret@stores/orders"), query},
		{"a slash at the end", a.with("spec.root.uri", "s3://stores/orders/"), spelling},
		{"an empty segment", a.with("spec.root.uri", "s3://stores//orders"), spelling},
		{"a way out", a.with("spec.root.uri", "s3://stores/a/../orders"), spelling},
		{"a way out at the end", a.with("spec.root.uri", "s3://stores/a/.."), spelling},
		{"a bucket's name in capitals", a.with("spec.root.uri", "s3://Stores/orders"), bucket},
		{"no bucket", a.with("spec.root.uri", "s3:///orders"), bucket},
		{"a space in the prefix", a.with("spec.root.uri", "s3://stores/or ders"), bucket},
		{"an escape in the prefix", a.with("spec.root.uri", "s3://stores/or%20ders"), bucket},
		{"no bucket at Google", gs.with("spec.root.uri", "gs:///orders"), google},
		{"a bucket at Google in capitals", gs.with("spec.root.uri", "gs://Stores/orders"), google},
		{"a short bucket at Google", gs.with("spec.root.uri", "gs://ab"), google},
		{"a space in a prefix at Google", gs.with("spec.root.uri", "gs://stores/or ders"), google},
		{"no container", az.with("spec.root.uri", "azblob:///orders"), azure},
		{"a container with a dot", az.with("spec.root.uri", "azblob://my.stores/orders"), azure},
		{"a container with two dashes", az.with("spec.root.uri", "azblob://my--stores/orders"), azure},
		{"a container that is too long", az.with("spec.root.uri", "azblob://"+strings.Repeat("x", 64)), azure},
		{"the account in the URI", az.with("spec.root.uri", "azblob://stores/orders?storage_account=ordersprod"), query},
		{"a segment that ends in a dot on Azure", az.with("spec.root.uri", "azblob://stores/a./b"), "a segment that ends in a dot"},
		{"a prefix that ends in a dot on Azure", az.with("spec.root.uri", "azblob://stores/a."), "a segment that ends in a dot"},
		{"an account of S3", a.with("spec.root.storageAccount", "ordersprod"), "storageAccount belongs to azblob:// roots"},
		{"an account of Google", gs.with("spec.root.storageAccount", "ordersprod"), "storageAccount belongs to azblob:// roots"},
		{"an account by its host", az.with("spec.root.storageAccount", "orders.blob.example"), "storageAccount is the account's name alone"},
		{"a region of Google", gs.with("spec.root.region", "europe-west1"), onlyS3},
		{"a region of Azure", az.with("spec.root.region", "westeurope"), onlyS3},
		{"pathStyle on Azure", az.with("spec.root.pathStyle", true), onlyS3},
		{"an account behind an S3 endpoint", a.with("spec.root.endpoint", "https://s3.example.net/bucket"), bare},
		{"an account behind an endpoint of Google", gs.with("spec.root.endpoint", "https://storage.example.net/bucket"), bare},
		{"two segments behind an endpoint of Azure", az.with("spec.root.endpoint", "https://h/account/container"), endpoint},
		{"the operator's identity for a tenant's server in the words of Google", gs.with("spec.root.credentials", nil).with("spec.root.endpoint", "https://storage.example.net"),
			"an endpoint needs credentials.secretRef or credentials.serviceAccount"},
		{"the operator's identity for a tenant's server in the words of Azure", az.with("spec.root.credentials", nil).with("spec.root.endpoint", "https://h/account"),
			"an endpoint needs credentials.secretRef or credentials.serviceAccount"},
		{"tokens for Google without a provider", google1.with(sa+"identityProvider", nil), "identityProvider is needed for a gs:// root"},
		{"a provider that is none", google1.with(sa+"identityProvider", "//iam.googleapis.com/projects/1"), "identityProvider must be like projects/NUMBER"},
		{"somebody who is no service account", google1.with(sa+"impersonate", "admin/x"), "impersonate must be a service account's e-mail address"},
		{"tokens for Azure without a tenant", azure1.with(sa+"tenantID", nil), "tenantID and clientID are needed for an azblob:// root"},
		{"tokens for Azure without a client", azure1.with(sa+"clientID", nil), "tenantID and clientID are needed for an azblob:// root"},
		{"tokens for Azure without an account", azure1.with("spec.root.storageAccount", nil), "storageAccount is needed beside credentials.serviceAccount"},
		{"tokens for Azure in clear", azure1.with("spec.root.endpoint", "http://h/ordersprod"), "tokens travel with TLS only"},
		{"tokens for Azure exchanged in clear", azure1.with(sa+"stsEndpoint", "http://h"), "tokens travel with TLS only"},
		{"a role at Google", google1.with(sa+"roleARN", "arn:aws:iam::1:role/x"), others},
		{"a tenant at Google", google1.with(sa+"tenantID", "t"), others},
		{"somebody to impersonate on Azure", azure1.with(sa+"impersonate", "a@b"), others},
		{"a client at AWS", tokens.with(sa+"clientID", "c"), others},
		{"a provider at AWS", tokens.with(sa+"identityProvider", "projects/1/locations/global/workloadIdentityPools/p/providers/q"), others},
		{"a token for the API server in the words of Google", google1.with(sa+"audience", "https://kubernetes.default.svc"), "never this cluster's own API server"},
		{"a relative directory", local.with("spec.root.uri", "file://lib/store"), "a directory root is file:// and an absolute path"},
		{"a memory root with a path", local.with("spec.root.uri", "mem://a/b"), "a memory root is mem:// and a name"},
		{"no root", a.with("spec.root.uri", nil), "spec.root.uri: Required value"},
		{"a root that is too long", a.with("spec.root.uri", "s3://stores/"+strings.Repeat("x", 512)), "Too long: may not be more than 512"},

		{"the operator's identity for a tenant's server", a.with("spec.root.credentials", nil).with("spec.root.endpoint", "https://s3.example.net"),
			"an endpoint needs credentials.secretRef or credentials.serviceAccount"},
		{"two kinds of credentials", a.with("spec.root.credentials.serviceAccount", account), "set exactly one of credentials.secretRef"},
		{"no kind of credentials", a.with("spec.root.credentials", map[string]any{}), "set exactly one of credentials.secretRef"},
		{"a ServiceAccount without a role", tokens.with("spec.root.credentials.serviceAccount.roleARN", nil), "roleARN is needed for an s3:// root"},
		{"a role that is none", tokens.with("spec.root.credentials.serviceAccount.roleARN", "admin"), "roleARN must be like arn:aws:iam::"},
		{"a ServiceAccount by a path", tokens.with("spec.root.credentials.serviceAccount.name", "kube-system/admin"), "serviceAccount.name in body should match"},
		{"a token for the API server", tokens.with("spec.root.credentials.serviceAccount.audience", "https://kubernetes.default.svc"), "never this cluster's own API server"},
		{"a token for nobody", tokens.with("spec.root.credentials.serviceAccount.audience", ""), "should be at least 1 chars long"},
		{"a token service with a path", tokens.with("spec.root.credentials.serviceAccount.stsEndpoint", "https://sts.example.net/x"), "stsEndpoint must be http:// or https://"},
		{"no time to connect", a.with("spec.root.requests.connectTimeout", "1ms"), "connectTimeout must be between 100ms and 1m"},
		{"an hour's pause", a.with("spec.root.requests.maxBackoff", "1h"), "maxBackoff must be between 10ms and 1m"},
		{"no attempt", a.with("spec.root.requests.readAttempts", int64(0)), "should be greater than or equal to 1"},
		{"attempts without end", a.with("spec.root.requests.readAttempts", int64(11)), "should be less than or equal to 10"},
		{"one connection", a.with("spec.root.requests.maxConnections", int64(1)), "should be greater than or equal to 2"},
		{"too many connections", a.with("spec.root.requests.maxConnections", int64(1025)), "should be less than or equal to 1024"},
		{"a directory with credentials", local.with("spec.root.credentials", map[string]any{"secretRef": map[string]any{"name": "x"}}), belong},
		{"a directory with an endpoint", local.with("spec.root.endpoint", "http://x"), belong},
		{"a directory with a region", local.with("spec.root.region", "x"), onlyS3},
		{"a directory with pathStyle", local.with("spec.root.pathStyle", true), onlyS3},
		{"a Secret without a name", a.with("spec.root.credentials.secretRef.name", ""), "should be at least 1 chars long"},
		{"an endpoint without a scheme", a.with("spec.root.endpoint", "s3.example.net"), endpoint},
		{"an endpoint with a path", a.with("spec.root.endpoint", "https://s3.example.net/a/bucket"), endpoint},
		{"an endpoint with a password", a.with("spec.root.endpoint", "https://u:p@s3.example.net"), endpoint},
		{"a region with a slash", a.with("spec.root.region", "a/b"), "spec.root.region in body should match"},
		{"no time for a request", a.with("spec.root.requestTimeout", "1ms"), "requestTimeout must be between 100ms and 5m"},
		{"a day for a request", a.with("spec.root.requestTimeout", "24h"), "requestTimeout must be between 100ms and 5m"},
		{"a timeout in words", a.with("spec.root.requestTimeout", "1 day"), "spec.root.requestTimeout in body should match"},

		{"no pods", a.with("spec.workload", nil), one},
		{"pods of both kinds", a.with("spec.managed", map[string]any{}), one},
		{"a workload without a name", a.with("spec.workload.statefulSetName", nil), "spec.workload.statefulSetName: Required value"},
		{"no replicas", m.with("spec.managed.replicas", int64(0)), "should be greater than or equal to 1"},
		{"too many replicas", m.with("spec.managed.replicas", int64(101)), "should be less than or equal to 100"},
		{"a hasty checkpoint", m.with("spec.managed.checkpointInterval", "1ms"), "checkpointInterval must be between 100ms and 1h"},
		{"an unknown way to sync", m.with("spec.managed.log", map[string]any{"sync": "Sometimes"}), `supported values: "Commit", "Interval", "None"`},
		{"an interval that is none", m.with("spec.managed.log", map[string]any{"sync": "Interval", "syncInterval": "2m"}), "log.syncInterval must be between 1ms and 1m"},
		{"an interval of another way", m.with("spec.managed.log", map[string]any{"sync": "None", "syncInterval": "1s"}), "log.syncInterval is for log.sync Interval"},
		{"an interval of no way", m.with("spec.managed.log", map[string]any{"syncInterval": "1s"}), "log.syncInterval is for log.sync Interval"},
		{"a hasty mirror", m.with("spec.managed.log", map[string]any{"mirrorInterval": "1ms"}), "log.mirrorInterval must be 0s (off), or between 100ms and 1h"},
		{"an unknown pull policy", m.with("spec.managed.imagePullPolicy", "Sometimes"), `supported values: "Always", "IfNotPresent", "Never"`},
		{"a size in words", m.with("spec.managed.storage.size", "big"), "spec.managed.storage.size in body should match"},
		{"a mode that is none", a.with("spec.recovery.mode", "Sometimes"), `supported values: "Automatic", "Plan"`},
		{"a policy that is none", a.with("spec.recovery.rollBack", "Sometimes"), `supported values: "Never", "OnApproval", "Automatic"`},
		{"an orphan at once", a.with("spec.recovery.orphanAfter", "0s"), "orphanAfter must be between 1s and 24h"},
		{"history shorter than readers count on", a.with("spec.retention.age", "59m"), "retention.age is at least 1h: readers count on that"},
		{"an age that is none", a.with("spec.retention.age", "a day"), "spec.retention.age in body should match"},
		{"no history at all", a.with("spec.retention.versions", int64(1)), "should be greater than or equal to 16"},
		{"a port beyond the last", a.with("spec.control.port", int64(65536)), "should be less than or equal to 65535"},
		{"no audit key", a.with("spec.audit", nil), "spec.audit: Required value"},

		{"a name that is no Service's", a.with("metadata.name", "9orders"), name},
		{"a name with a dot", a.with("metadata.name", "orders.eu"), name},
		{"a name that is too long for its pods", a.with("metadata.name", strings.Repeat("o", 53)), name},
	} {
		t.Run(c.name, func(t *testing.T) { refuses(t, s.create(t.Context(), c.o, client.DryRunAll), c.says) })
	}
}

// byTokens are a root on each of the two clouds that is opened by tokens.
func byTokens(a object) (google, azure object) {
	google = a.with("spec.root.uri", "gs://stores/orders").with("spec.root.credentials", map[string]any{"serviceAccount": map[string]any{
		"name": "orders", "identityProvider": "projects/1/locations/global/workloadIdentityPools/p-1/providers/q"}})
	azure = a.with("spec.root.uri", "azblob://stores/orders").with("spec.root.storageAccount", "ordersprod").with("spec.root.credentials", map[string]any{"serviceAccount": map[string]any{
		"name": "orders", "tenantID": "8a6f1f3e-0000-4000-8000-000000000001", "clientID": "8a6f1f3e-0000-4000-8000-000000000002"}})
	return google, azure
}

// What is built later is not in the schema: a field of it is an unknown field.
func TestWhatIsNotBuiltIsNoField(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	a := parse(t, adopted)
	for _, path := range []string{
		"spec.recovery.policy", "spec.hooks", "spec.workload.selector",
		"spec.root.credentials.serviceAccountName", "spec.audit.archive",
		// Credentials are of the WALStore's own namespace: there is no way to say another.
		"spec.root.credentials.secretRef.namespace", "spec.root.credentials.serviceAccount.namespace",
	} {
		err := s.create(t.Context(), a.with(path, "x"), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), `unknown field "`+path+`"`) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// Every spelling that should do is accepted.
func TestValidWALStoresAreAccepted(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	a, m := parse(t, adopted), parse(t, managed)
	google1, azure1 := byTokens(a)
	local := a.with("spec.root", map[string]any{"uri": "file:///var/lib/store"})
	for name, o := range map[string]object{
		"the smallest":                           a,
		"the smallest managed":                   m,
		"a bucket without a prefix":              a.with("spec.root.uri", "s3://stores"),
		"dots in the bucket":                     a.with("spec.root.uri", "s3://my.stores-1/a/b_c.d=e+f,g~h"),
		"hidden directories":                     a.with("spec.root.uri", "s3://stores/.a/..b/c."),
		"tokens for Google":                      google1,
		"tokens for a service account of Google": google1.with("spec.root.credentials.serviceAccount.impersonate", "writer@p-1.iam.gserviceaccount.com"),
		"tokens for Azure":                       azure1.with("spec.root.endpoint", "https://h/ordersprod").with("spec.root.credentials.serviceAccount.stsEndpoint", "https://login.microsoftonline.us"),
		"a bucket at Google":                     a.with("spec.root.uri", "gs://my_stores.example-1/orders"),
		"an endpoint of Google":                  a.with("spec.root.uri", "gs://stores").with("spec.root.endpoint", "https://storage-orders.p.googleapis.com"),
		"an ambient root at Google":              a.with("spec.root.uri", "gs://stores/orders").with("spec.root.credentials", nil),
		"a container":                            a.with("spec.root.uri", "azblob://my-stores/a.b/orders").with("spec.root.storageAccount", "ordersprod"),
		"an account in the Secret":               a.with("spec.root.uri", "azblob://stores"),
		"an account's endpoint":                  a.with("spec.root.uri", "azblob://stores").with("spec.root.endpoint", "http://10.0.0.1:10000/devstoreaccount1"),
		"an ambient container":                   a.with("spec.root.uri", "azblob://stores").with("spec.root.credentials", nil).with("spec.root.storageAccount", "ordersprod"),
		"an endpoint with a port":                a.with("spec.root.endpoint", "http://10.0.0.1:7070"),
		"an endpoint on IPv6":                    a.with("spec.root.endpoint", "http://[fd00::1]:7070"),
		"tokens":                                 a.with("spec.root.credentials", map[string]any{"serviceAccount": map[string]any{"name": "orders", "roleARN": "arn:aws:iam::111122223333:role/eu/orders"}}),
		"tokens for another server": a.with("spec.root.credentials", map[string]any{"serviceAccount": map[string]any{
			"name": "orders.eu", "roleARN": "arn:minio:iam:::role/a-b_c", "stsEndpoint": "https://minio.storage.svc:9000", "audience": "minio", "caSecretRef": map[string]any{"name": "ca"}}}),
		"other requests": a.with("spec.root.requests", map[string]any{
			"connectTimeout": "500ms", "readAttempts": int64(5), "maxBackoff": "1m", "maxConnections": int64(8)}),
		"an endpoint with its slash": a.with("spec.root.endpoint", "https://s3.example.net/"),
		"an ambient root":            a.with("spec.root.credentials", nil),
		"a directory":                local,
		"memory":                     local.with("spec.root.uri", "mem://test"),
		"a timeout in two units":     a.with("spec.root.requestTimeout", "1m30s"),
		"half a second":              a.with("spec.root.requestTimeout", "0.5s"),
		"a suspended store":          a.with("spec.suspend", pause("admin", "the root moves", "2030-01-01T00:00:00Z")),
		"plans only":                 a.with("spec.recovery.mode", "Plan"),
		"roll-backs by themselves":   a.with("spec.recovery.rollBack", "Automatic"),
		"no restarts":                a.with("spec.recovery.restartPoisoned", "Never"),
		"no roll-backs":              a.with("spec.recovery.rollBack", "Never"),
		"the longest name":           a.with("metadata.name", strings.Repeat("o", 52)),
		"a name of one letter":       a.with("metadata.name", "o"),
		"a log for speed":            m.with("spec.managed.log", map[string]any{"sync": "Interval", "syncInterval": "100ms", "mirrorInterval": "0s"}),
		"an amount without a unit":   m.with("spec.managed.storage.size", int64(1<<30)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.create(t.Context(), o, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a user leaves out is written into the object, so that everybody reads the
// same; and it is what the constants of the package say.
func TestWALStoreDefaults(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	u := parse(t, managed).unstructured()
	if err := s.Create(t.Context(), u, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(u.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"audit":{"keySecretRef":{"name":"orders-audit"}},"control":{"port":8411},` +
		`"managed":{"checkpointInterval":"10s","drainTimeout":"30s","replicas":3,"resources":{"requests":{"cpu":"10m","memory":"32Mi"}},"storage":{"size":"1Gi"}},"recovery":{"mode":"Automatic","orphanAfter":"5m","restartPoisoned":"Automatic","rollBack":"OnApproval"},"retention":{"age":"24h","versions":1024},` +
		`"root":{"credentials":{"secretRef":{"name":"orders-root"}},"requestTimeout":"10s","requests":{"connectTimeout":"5s","maxBackoff":"5s","maxConnections":64,"readAttempts":3},"uri":"s3://stores/orders"}}`
	if string(got) != want {
		t.Errorf("defaults:\n got %s\nwant %s", got, want)
	}

	var store v1alpha1.WALStore
	fill(t, u, &store)
	asked := store.Spec.Managed.Resources.Requests
	if asked.CPU.String() != v1alpha1.DefaultCPURequest || asked.Memory.String() != v1alpha1.DefaultMemoryRequest ||
		store.Spec.Control.Port != v1alpha1.DefaultControlPort || store.Spec.Managed.Replicas != v1alpha1.DefaultReplicas ||
		store.Spec.Managed.CheckpointInterval.Duration != v1alpha1.DefaultCheckpointInterval ||
		store.Spec.Recovery.OrphanAfter.Duration != v1alpha1.DefaultOrphanAfter ||
		store.Spec.Retention.Versions != v1alpha1.DefaultRetainVersions || store.Spec.Retention.Age.Duration != v1alpha1.DefaultRetainAge ||
		store.Spec.Root.RequestTimeout.Duration != v1alpha1.DefaultRequestTimeout ||
		store.Spec.Root.Requests.ConnectTimeout.Duration != v1alpha1.DefaultConnectTimeout ||
		store.Spec.Root.Requests.ReadAttempts != v1alpha1.DefaultReadAttempts ||
		store.Spec.Root.Requests.MaxBackoff.Duration != v1alpha1.DefaultMaxBackoff ||
		store.Spec.Root.Requests.MaxConnections != v1alpha1.DefaultMaxConnections {
		t.Errorf("the constants of names.go differ from the schema's defaults: %+v", store.Spec)
	}
}

func fill(t *testing.T, u *unstructured.Unstructured, into any) {
	t.Helper()
	raw, err := u.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
