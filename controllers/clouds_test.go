// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/test/contract"
)

// googleKey is the JSON key of a service account. Nobody asks its token server.
func googleKey(t *testing.T, email string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	raw, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": email, "private_key_id": "k1", "token_uri": "http://token.invalid/",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	must(t, err)
	return string(raw)
}

// cloudRoot is a root on a cloud, and what its namespace's Secret holds.
type cloudRoot struct {
	root   v1alpha1.Root
	owner  string // whom the server lets in
	secret map[string]string
}

// cloudRoots are the ways to open a root on Google Cloud Storage and on Azure.
func cloudRoots(t *testing.T) map[string]cloudRoot {
	return map[string]cloudRoot{
		"Google, a service account": {v1alpha1.Root{URI: "gs://bucket/orders"}, "tenant@p",
			map[string]string{v1alpha1.SecretGoogleCredentials: googleKey(t, "tenant@p")}},
		"Azure, a key, the account in the spec": {v1alpha1.Root{URI: "azblob://box/orders", StorageAccount: "tenant"}, "tenant",
			map[string]string{v1alpha1.SecretStorageKey: "dGVuYW50\n"}},
		"Azure, a key, the account in the Secret": {v1alpha1.Root{URI: "azblob://box/orders"}, "tenant",
			map[string]string{v1alpha1.SecretStorageKey: "dGVuYW50", v1alpha1.SecretStorageAccount: "tenant"}},
		"Azure, a connection string": {v1alpha1.Root{URI: "azblob://box/orders"}, "signature tenant's", nil},
	}
}

// at points the root to a server.
func (c cloudRoot) at(s *cloud) cloudRoot {
	switch {
	case c.secret == nil:
		c.secret = map[string]string{v1alpha1.SecretConnectionString: s.connection("tenant's")}
	case strings.HasPrefix(c.root.URI, "gs://"):
		c.root.Endpoint = s.URL
	default:
		c.root.Endpoint = s.URL + "/tenant"
	}
	return c
}

// onCloud makes a WALStore with that root, opened as it is shipped.
func (w *world) onCloud(c cloudRoot) {
	w.t.Helper()
	w.opt.OpenBucket = nil
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "creds"}, StringData: c.secret})
	w.store("ledger", 0, func(ws *v1alpha1.WALStore) {
		ws.Spec.Root = c.root
		ws.Spec.Root.Credentials = &v1alpha1.Credentials{SecretRef: v1alpha1.LocalReference{Name: "creds"}}
	})
}

// operatorsIdentity gives this process an identity of its own at every cloud.
func operatorsIdentity(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.json")
	must(t, os.WriteFile(file, []byte(googleKey(t, "operator@p")), 0o600))
	for name, value := range map[string]string{
		"GOOGLE_APPLICATION_CREDENTIALS": file, "AZURE_STORAGE_ACCOUNT": "operator", "AZURE_STORAGE_KEY": "b3BlcmF0b3I=",
		"AZURE_STORAGE_CONNECTION_STRING": "", "AZURE_CLIENT_ID": "", "AZURE_TENANT_ID": "", "AZURE_CLIENT_SECRET": "",
	} {
		t.Setenv(name, value)
	}
}

// A root on each cloud is probed, claimed and used with what the Secret of its own
// namespace holds, and by nobody else, whatever identity the operator has.
func TestTheSecretOfANamespaceOpensItsRootOnACloud(t *testing.T) {
	contract.Row(t, 163)
	operatorsIdentity(t)
	for name, c := range cloudRoots(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := startCloud(t, w.root, c.owner)
			w.onCloud(c.at(s))
			w.start()
			w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
			w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "True ProbePassed")
			if got := s.callers(); got != c.owner {
				t.Errorf("the server was asked by %s; want %s alone", got, c.owner)
			}
			for _, key := range w.keys("") {
				if !strings.HasPrefix(key, "orders/") {
					t.Errorf("%s is not below the root's prefix", key)
				}
			}
		})
	}
}

// The probe keeps a store from being used on these clouds, too.
func TestACloudWithoutPromisesIsNeverPublishedTo(t *testing.T) {
	contract.Row(t, 124)
	for name, c := range cloudRoots(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.onCloud(c.at(startCloud(t, fault.IgnoresIfAbsent(w.disk), c.owner)))
			w.start()
			w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "False ConditionalWritesNotEnforced")
			if got := w.condition("ledger", v1alpha1.ConditionReady); got != "False ConditionalWritesNotEnforced" {
				t.Errorf("Ready is %s", got)
			}
			for _, key := range w.keys("") {
				if !strings.HasPrefix(key, "orders/probe/") {
					t.Errorf("there is %s", key)
				}
			}
		})
	}
}

// Whatever is missing from a Secret is not made up for by the operator's own
// identity, whose server would let it in: the condition says what to correct.
func TestASecretThatOpensNothingIsNotMadeUpFor(t *testing.T) {
	contract.Row(t, 163)
	operatorsIdentity(t)
	for name, c := range map[string]struct {
		root         v1alpha1.Root
		owner        string
		secret       map[string]string
		reason, says string
	}{
		"no key of a service account": {v1alpha1.Root{URI: "gs://bucket/orders"}, "operator@p", map[string]string{"x": "y"},
			v1alpha1.ReasonCredentialsMissing, "has no entry GOOGLE_CREDENTIALS"},
		"an empty key of a service account": {v1alpha1.Root{URI: "gs://bucket/orders"}, "operator@p", map[string]string{v1alpha1.SecretGoogleCredentials: ""},
			v1alpha1.ReasonCredentialsMissing, "has no entry GOOGLE_CREDENTIALS"},
		"a credentials file of another kind": {v1alpha1.Root{URI: "gs://bucket/orders"}, "operator@p",
			map[string]string{v1alpha1.SecretGoogleCredentials: `{"type":"external_account","credential_source":{"file":"/var/run/secrets/kubernetes.io/serviceaccount/token"}}`},
			v1alpha1.ReasonCredentialsInvalid, `of type "external_account": only service_account is taken`},
		"a key that signs nothing": {v1alpha1.Root{URI: "gs://bucket/orders"}, "operator@p",
			map[string]string{v1alpha1.SecretGoogleCredentials: `{"type":"service_account","client_email":"tenant@p","private_key":"none"}`},
			v1alpha1.ReasonCredentialsInvalid, "private key"},
		"no key of an account": {v1alpha1.Root{URI: "azblob://box/orders", StorageAccount: "operator"}, "operator", map[string]string{"x": "y"},
			v1alpha1.ReasonCredentialsMissing, "has neither entry AZURE_STORAGE_KEY nor AZURE_STORAGE_CONNECTION_STRING"},
		"no account": {v1alpha1.Root{URI: "azblob://box/orders"}, "operator", map[string]string{v1alpha1.SecretStorageKey: "a2V5"},
			v1alpha1.ReasonCredentialsMissing, "spec.root.storageAccount does not say it either"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := startCloud(t, w.root, c.owner)
			w.onCloud(cloudRoot{root: c.root, owner: c.owner, secret: c.secret}.at(s))
			w.start()
			w.becomes("ledger", v1alpha1.ConditionRootClaimed, "False "+c.reason)
			got, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionRootClaimed)
			if !strings.Contains(got.Message, c.says) {
				t.Errorf("it says: %s", got.Message)
			}
			if !holds(w.get("ledger").Status.Conditions, v1alpha1.ConditionStalled) {
				t.Error("it is not Stalled")
			}
			if by := s.callers(); by != "" {
				t.Errorf("the server was asked by %s", by)
			}
		})
	}
}

// opensAsURL shows that a store takes every word of its root.
func opensAsURL(t *testing.T, root string) {
	t.Helper()
	u, err := url.Parse(root)
	must(t, err)
	q := u.Query()
	q.Del("ca_file") // that file is in the pod
	u.RawQuery = q.Encode()
	b, err := rooturl.Open(t.Context(), u.String(), rooturl.Options{})
	if err != nil {
		t.Errorf("%s: %v", root, err)
		return
	}
	_ = b.Close()
}

// The pods of a managed store read the same Secret, mounted, with the same settings.
func TestPodsOnACloudReadTheMountedSecret(t *testing.T) {
	ws := &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Name: "orders", Namespace: "shop"}, Spec: v1alpha1.WALStoreSpec{Managed: &v1alpha1.ManagedStore{Replicas: 1}}}
	credentials := &v1alpha1.Credentials{SecretRef: v1alpha1.LocalReference{Name: "creds"}}
	const mounted = "credentials_dir=%2Fvar%2Frun%2Fsecrets%2Fsalvor-root"
	for _, c := range []struct {
		root v1alpha1.Root
		ca   bool
		want string
	}{
		{v1alpha1.Root{URI: "gs://bucket/orders"}, false, "gs://bucket/orders?" + mounted},
		{v1alpha1.Root{URI: "gs://bucket/orders", Endpoint: "https://g", Requests: v1alpha1.Requests{MaxBackoff: &metav1.Duration{Duration: time.Second}}}, true,
			"gs://bucket/orders?ca_file=%2Fvar%2Frun%2Fsecrets%2Fsalvor-root%2Fca.crt&" + mounted + "&endpoint=https%3A%2F%2Fg&max_backoff=1s"},
		{v1alpha1.Root{URI: "azblob://box/orders", StorageAccount: "tenant"}, false, "azblob://box/orders?" + mounted + "&storage_account=tenant"},
		{v1alpha1.Root{URI: "azblob://box/orders", Endpoint: "http://h/tenant"}, false, "azblob://box/orders?" + mounted + "&endpoint=http%3A%2F%2Fh%2Ftenant"},
	} {
		ws.Spec.Root = c.root
		ws.Spec.Root.Credentials = credentials
		got := storeRoot(ws, c.ca)
		if got != c.want {
			t.Errorf("the pods' root is\n%s, want\n%s", got, c.want)
		}
		if v := storeSet(ws, "image", shape{replicas: 1}, c.ca).Spec.Template.Spec.Volumes; len(v) != 1 || *v[0].Secret.SecretName != "creds" {
			t.Errorf("volumes: %+v", v)
		}
		opensAsURL(t, got)
	}
	ws.Spec.Root = v1alpha1.Root{URI: "gs://bucket/orders"}
	if got := storeRoot(ws, false); got != "gs://bucket/orders" {
		t.Errorf("an ambient root of pods is %s", got)
	}
}

// A door that is opened without credentials of a namespace is the operator's own,
// and only of the roots that it lists: TestAmbientRootsAreExact.
func TestOpenBucketNeverFallsBackToTheOperatorsIdentity(t *testing.T) {
	contract.Row(t, 163)
	operatorsIdentity(t)
	for _, uri := range []string{"s3://bucket/orders", "gs://bucket/orders", "azblob://box/orders"} {
		b, err := OpenBucket(t.Context(), v1alpha1.Root{URI: uri, Region: "eu"}, Access{Secret: map[string][]byte{}})
		if b != nil || err == nil || !strings.Contains(err.Error(), "the Secret has n") {
			t.Errorf("%s with an empty Secret: %v, %v", uri, b, err)
		}
	}
}
