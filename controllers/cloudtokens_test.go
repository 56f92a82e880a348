// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

// exchanging is a cloud with its token service, over TLS: it has the API server
// review each token for the audience that it is, and gives in exchange one that says
// whose it was.
type exchanging struct {
	*cloud
	w *world
}

const identityProvider = "projects/1/locations/global/workloadIdentityPools/p/providers/q"

func (w *world) exchanging(owner string) *exchanging {
	w.t.Helper()
	e := &exchanging{w: w, cloud: &cloud{bucket: w.root, owner: owner, asked: map[string]int{}}}
	e.Server = httptest.NewTLSServer(e)
	w.t.Cleanup(e.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw})
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ca"}, StringData: map[string]string{v1alpha1.SecretCA: string(ca)}})
	return e
}

// ServeHTTP implements http.Handler.
func (e *exchanging) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/token":
		e.exchange(w, r, r.FormValue("subject_token"), "https://iam.googleapis.com/"+identityProvider)
	case "/directory/oauth2/v2.0/token":
		e.exchange(w, r, r.FormValue("client_assertion"), v1alpha1.DefaultAudienceAzure)
	case "/directory/v2.0/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"token_endpoint":"%[1]s/directory/oauth2/v2.0/token","authorization_endpoint":"%[1]s/directory/authorize","issuer":"%[1]s/directory/v2.0"}`, e.URL)
	default:
		e.cloud.ServeHTTP(w, r)
	}
}

func (e *exchanging) exchange(w http.ResponseWriter, r *http.Request, token, audience string) {
	w.Header().Set("Content-Type", "application/json")
	review := authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	err := e.w.client.Create(r.Context(), &review)
	who := "token " + review.Status.User.Username
	if err != nil || !review.Status.Authenticated || !slices.Contains(review.Status.Audiences, audience) || who != e.owner {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"nobody trusts this token"}`)
		return
	}
	fmt.Fprintf(w, `{"access_token":%q,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`, review.Status.User.Username)
}

// byExchange makes a WALStore whose root is opened by tokens of a ServiceAccount.
func (w *world) byExchange(e *exchanging, root v1alpha1.Root, account string) {
	w.t.Helper()
	w.opt.OpenBucket, w.opt.BackoffMost = nil, never
	root.Endpoint = e.URL
	sa := &v1alpha1.ServiceAccountCredentials{Name: account, STSEndpoint: e.URL, CASecretRef: v1alpha1.LocalReference{Name: "ca"}}
	if strings.HasPrefix(root.URI, "gs://") {
		sa.IdentityProvider = identityProvider
	} else {
		root.Endpoint, root.StorageAccount = e.URL+"/tenant", "tenant"
		sa.TenantID, sa.ClientID = "directory", "client"
	}
	root.Credentials = &v1alpha1.Credentials{ServiceAccount: sa}
	w.store("ledger", 0, func(ws *v1alpha1.WALStore) { ws.Spec.Root = root })
}

// A root at each cloud, opened with nothing but a token that a real API server made
// and reviewed, whatever identity the operator has; and by no other ServiceAccount.
func TestTokensOfAServiceAccountOpenARootOnACloud(t *testing.T) {
	contract.Row(t, 163)
	operatorsIdentity(t)
	for _, uri := range []string{"gs://bucket/orders", "azblob://box/orders"} {
		t.Run(uri, func(t *testing.T) {
			w := newWorld(t)
			e := w.exchanging("token system:serviceaccount:" + w.namespace + ":orders")
			w.byExchange(e, v1alpha1.Root{URI: uri}, "orders")
			w.start()
			// The ServiceAccount comes last: until then the store says what is missing.
			w.becomes("ledger", v1alpha1.ConditionReady, "False ServiceAccountMissing")
			w.account(w.namespace, "orders")
			w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
			w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "True ProbePassed")
			if got := e.callers(); got != e.owner {
				t.Errorf("the server was asked by %s; want %s alone", got, e.owner)
			}
		})
		t.Run(uri+", another ServiceAccount", func(t *testing.T) {
			w := newWorld(t)
			e := w.exchanging("token system:serviceaccount:" + w.namespace + ":orders")
			w.account(w.namespace, "other")
			w.byExchange(e, v1alpha1.Root{URI: uri}, "other")
			w.start()
			w.becomes("ledger", v1alpha1.ConditionRootClaimed, "False AccessDenied")
			c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionRootClaimed)
			if !strings.Contains(c.Message, "nobody trusts this token") || !strings.Contains(c.Message, "must name") {
				t.Errorf("it says: %s", c.Message)
			}
			if got := e.callers(); got != "" {
				t.Errorf("the store was asked by %s", got)
			}
		})
	}
}

// The pods of a managed store exchange the same token, mounted.
func TestPodsOnACloudExchangeTheMountedToken(t *testing.T) {
	ws := &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Name: "orders", Namespace: "shop"}, Spec: v1alpha1.WALStoreSpec{Managed: &v1alpha1.ManagedStore{Replicas: 1}}}
	const token = "token_file=%2Fvar%2Frun%2Fsecrets%2Fsalvor-token%2Ftoken"
	for _, c := range []struct {
		root           v1alpha1.Root
		sa             v1alpha1.ServiceAccountCredentials
		want, audience string
	}{
		{v1alpha1.Root{URI: "gs://bucket/orders"}, v1alpha1.ServiceAccountCredentials{Name: "orders", IdentityProvider: "projects/1/x", Impersonate: "w@p"},
			"gs://bucket/orders?identity_provider=projects%2F1%2Fx&impersonate=w%40p&" + token, "https://iam.googleapis.com/projects/1/x"},
		{v1alpha1.Root{URI: "azblob://box/orders", StorageAccount: "tenant"}, v1alpha1.ServiceAccountCredentials{Name: "orders", TenantID: "t", ClientID: "c", STSEndpoint: "https://h/"},
			"azblob://box/orders?client_id=c&storage_account=tenant&sts_endpoint=https%3A%2F%2Fh&tenant_id=t&" + token, "api://AzureADTokenExchange"},
	} {
		ws.Spec.Root = c.root
		ws.Spec.Root.Credentials = &v1alpha1.Credentials{ServiceAccount: &c.sa}
		got := storeRoot(ws, false)
		if got != c.want {
			t.Errorf("the pods' root is\n%s, want\n%s", got, c.want)
		}
		opensAsURL(t, got)
		pod := storeSet(ws, "image", shape{replicas: 1}, false).Spec.Template.Spec
		if len(pod.Volumes) != 1 || *pod.Volumes[0].Projected.Sources[0].ServiceAccountToken.Audience != c.audience || *pod.ServiceAccountName != "orders" || *pod.AutomountServiceAccountToken {
			t.Errorf("the pod is %+v", pod)
		}
		if env := pod.Containers[0].Env; len(env) != 1 {
			t.Errorf("environment: %+v", env)
		}
	}
}
