// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/test/contract"
)

var _ = contract.Uses("config/rbac/token/")

// tokenService exchanges a cluster's tokens for keys of an S3 server, as a cloud's
// does: it has the API server review each, for the audience that it is, and hands
// out keys to the subjects that the role's trust policy names.
type tokenService struct {
	*httptest.Server
	w       *world
	s3      *objstoretest.Server
	trusted map[string]bool
	life    time.Duration

	mu    sync.Mutex
	asked []string // "subject: answer"
}

const audience = "tokens.test"

func (w *world) tokenService(s3 *objstoretest.Server, trusted ...string) *tokenService {
	w.t.Helper()
	s := &tokenService{w: w, s3: s3, trusted: map[string]bool{}, life: time.Hour}
	for _, name := range trusted {
		s.trusted["system:serviceaccount:"+name] = true
	}
	s.Server = httptest.NewServer(s)
	w.t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	review := authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: r.FormValue("WebIdentityToken"), Audiences: []string{audience}}}
	err := s.w.client.Create(r.Context(), &review)
	who, answer := review.Status.User.Username, ""
	switch {
	case err != nil:
		answer = "InternalFailure"
		w.WriteHeader(http.StatusInternalServerError)
	case !review.Status.Authenticated || !slices.Contains(review.Status.Audiences, audience):
		answer = "InvalidIdentityToken"
		w.WriteHeader(http.StatusBadRequest)
	case !s.trusted[who]:
		answer = "AccessDenied"
		w.WriteHeader(http.StatusForbidden)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, who+": "+answer)
	if answer != "" {
		fmt.Fprintf(w, `<ErrorResponse><Error><Code>%s</Code><Message>said the token service</Message></Error></ErrorResponse>`, answer)
		return
	}
	fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey>`+
		`<SessionToken></SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
		s.s3.AccessKeyID, s.s3.SecretAccessKey, time.Now().Add(s.life).UTC().Format(time.RFC3339Nano))
}

func (s *tokenService) answers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// byTokens makes a WALStore whose root is a bucket of a real S3 server, opened by
// tokens of a ServiceAccount.
func (w *world) byTokens(name, account, bucket string, s *tokenService, change ...func(*v1alpha1.WALStore)) {
	w.t.Helper()
	w.opt.OpenBucket = nil // as it is shipped
	w.store(name, 0, append([]func(*v1alpha1.WALStore){func(ws *v1alpha1.WALStore) {
		ws.Spec.Root = v1alpha1.Root{
			URI: "s3://" + bucket + "/" + name, Endpoint: s.s3.Endpoint, Region: s.s3.Region, PathStyle: true,
			Credentials: &v1alpha1.Credentials{ServiceAccount: &v1alpha1.ServiceAccountCredentials{
				Name: account, RoleARN: "arn:aws:iam::111122223333:role/orders", STSEndpoint: s.URL, Audience: audience,
			}},
		}
	}}, change...)...)
}

func (w *world) account(namespace, name string) {
	w.t.Helper()
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

// A root on a real S3 server, opened with nothing but a token that a real API
// server made and reviewed; renewed when what it brought expires.
func TestTokensOfAServiceAccountOpenARoot(t *testing.T) {
	contract.Row(t, 163)
	w := newWorld(t)
	server := objstoretest.StartVersitygw(t)
	s := w.tokenService(server, w.namespace+":orders")
	s.life = 2 * time.Second
	w.opt.SweepEvery, w.opt.IdleSweepEvery = never, never
	// The ServiceAccount comes last: until then the store says what is missing.
	w.byTokens("ledger", "orders", server.NewBucket(t), s)
	w.opt.BackoffMost = never
	w.start()
	w.becomes("ledger", v1alpha1.ConditionReady, "False ServiceAccountMissing")
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionRootClaimed)
	if want := fmt.Sprintf("kubectl -n %s create serviceaccount orders", w.namespace); !strings.Contains(c.Message, want) {
		t.Errorf("it does not say %q: %s", want, c.Message)
	}
	if got := s.answers(); len(got) != 0 {
		t.Errorf("the token service was asked: %v", got)
	}
	w.account(w.namespace, "orders")
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "True ProbePassed")
	first := len(s.answers())
	eventually(t, "the credentials to be renewed, twice", func() bool { return len(s.answers()) > first+1 })
	for _, a := range s.answers() {
		if a != "system:serviceaccount:"+w.namespace+":orders: " {
			t.Errorf("the token service saw %q", a)
		}
	}
	if ready := w.condition("ledger", v1alpha1.ConditionRootClaimed); ready != "True Claimed" {
		t.Errorf("after the renewals RootClaimed is %s", ready)
	}
}

// A ServiceAccount of that name in another namespace, which the role trusts, opens
// nothing for this one; and what the API server's audience is for is never asked.
func TestATokenIsOfTheStoresOwnNamespace(t *testing.T) {
	contract.Row(t, 163)
	w, other := newWorld(t), newWorld(t)
	server := objstoretest.StartVersitygw(t)
	s := w.tokenService(server, other.namespace+":orders")
	w.account(other.namespace, "orders")
	w.byTokens("missing", "orders", server.NewBucket(t), s)
	w.start()
	w.becomes("missing", v1alpha1.ConditionReady, "False ServiceAccountMissing")
	if got := s.answers(); len(got) != 0 {
		t.Errorf("the token service was asked: %v", got)
	}
	w.account(w.namespace, "own")
	w.byTokens("refused", "own", server.NewBucket(t), s)
	w.becomes("refused", v1alpha1.ConditionReady, "False AccessDenied")
	c, _ := find(w.get("refused").Status.Conditions, v1alpha1.ConditionRootClaimed)
	if !strings.Contains(c.Message, "trust policy") {
		t.Errorf("it says: %s", c.Message)
	}
	for _, a := range s.answers() {
		if a != "system:serviceaccount:"+w.namespace+":own: AccessDenied" {
			t.Errorf("the token service saw %q", a)
		}
	}
	w.byTokens("elsewhere", "own", server.NewBucket(t), s, func(ws *v1alpha1.WALStore) {
		ws.Spec.Root.Credentials.ServiceAccount.Audience = "somebody else"
	})
	w.becomes("elsewhere", v1alpha1.ConditionReady, "False AccessDenied")
	if got := s.answers(); !slices.Contains(got, ": InvalidIdentityToken") {
		t.Errorf("a token for another audience was taken: %v", got)
	}
}

// A token that the API server itself would take is shown to nobody, whatever the
// audience is called there.
func TestATokenForTheAPIServerIsShownToNobody(t *testing.T) {
	contract.Row(t, 163)
	w := newWorld(t)
	w.account(w.namespace, "orders")
	ws := &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ledger"}}
	account := &v1alpha1.ServiceAccountCredentials{Name: "orders", Audience: audience}
	ws.Spec.Root.Credentials = &v1alpha1.Credentials{ServiceAccount: account}
	o := &opener{requester: w.client}
	token, err := o.tokens(ws).Token(w.ctx)
	must(t, err)
	account.Audience = issuer(token.Value)
	if account.Audience == "" {
		t.Fatal("the token names no issuer")
	}
	review := authenticationv1.TokenReview{}
	if token, err = o.tokens(ws).Token(w.ctx); token.Value != "" {
		review.Spec.Token = token.Value
		must(t, w.client.Create(w.ctx, &review))
	}
	var f *finding
	if !errors.As(err, &f) || f.Reason != v1alpha1.ReasonTokenForbidden || review.Status.Authenticated {
		t.Errorf("%v, and the API server takes it: %t", err, review.Status.Authenticated)
	}
}

// With the operator's own rules alone no token can be asked for; the store says
// which binding is missing, and with it it opens.
func TestTokensAreAskedForOnlyWhereThatIsAllowed(t *testing.T) {
	contract.Row(t, 149, 163)
	w := newWorld(t)
	server := objstoretest.StartVersitygw(t)
	s := w.tokenService(server, w.namespace+":orders")
	w.account(w.namespace, "orders")
	w.user = "operator-of-" + w.namespace
	bind := func(name string, rules []rbacv1.PolicyRule) {
		meta := metav1.ObjectMeta{Namespace: w.namespace, Name: name}
		w.create(&rbacv1.Role{ObjectMeta: meta, Rules: rules})
		w.create(&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: w.user}}})
	}
	bind("operator", shippedRules(t))
	w.byTokens("ledger", "orders", server.NewBucket(t), s)
	w.opt.BackoffMost = never
	w.start()
	w.becomes("ledger", v1alpha1.ConditionReady, "False TokenForbidden")
	ws := w.get("ledger")
	c, _ := find(ws.Status.Conditions, v1alpha1.ConditionRootClaimed)
	if !strings.Contains(c.Message, "kubectl -n "+w.namespace+" create rolebinding salvor-token-requester --clusterrole salvor-token-requester") {
		t.Errorf("it says: %s", c.Message)
	}
	if !holds(ws.Status.Conditions, v1alpha1.ConditionStalled) {
		t.Error("it is not Stalled, and a person has to act")
	}
	bind("tokens", tokenRules(t))
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	for _, line := range w.api.since(0) {
		if strings.Contains(line, "serviceaccounts") && line != "POST /api/v1/namespaces/"+w.namespace+"/serviceaccounts/orders/token" {
			t.Errorf("it asked for %s", line)
		}
	}
}

// tokenRules are the rules of the role that a namespace binds.
func tokenRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "config", "rbac", "token", "role.yaml"))
	must(t, err)
	var role rbacv1.ClusterRole
	must(t, yaml.UnmarshalStrict(raw, &role))
	return role.Rules
}

// Pods of a managed store get a token of their own, for that audience only, and the
// settings that the operator has.
func TestPodsOfAManagedStoreReachTheRootAsTheOperatorDoes(t *testing.T) {
	contract.Row(t, 146, 163)
	ws := &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}}
	ws.Spec.Managed = &v1alpha1.ManagedStore{Replicas: 1}
	ws.Spec.Root = v1alpha1.Root{
		URI: "s3://bucket/orders", Endpoint: "http://[fd00::1]:7070", Region: "eu", PathStyle: true,
		RequestTimeout: &metav1.Duration{Duration: 20 * time.Second},
		Requests: v1alpha1.Requests{
			ConnectTimeout: &metav1.Duration{Duration: time.Second}, ReadAttempts: 5,
			MaxBackoff: &metav1.Duration{Duration: 50 * time.Millisecond}, MaxConnections: 8,
		},
		Credentials: &v1alpha1.Credentials{ServiceAccount: &v1alpha1.ServiceAccountCredentials{
			Name: "orders-writer", RoleARN: "arn:aws:iam::1:role/orders", STSEndpoint: "https://sts.example/", CASecretRef: v1alpha1.LocalReference{Name: "ca"},
		}},
	}
	const want = "s3://bucket/orders?ca_file=%2Fvar%2Frun%2Fsecrets%2Fsalvor-root%2Fca.crt&connect_timeout=1s&endpoint=http%3A%2F%2F%5Bfd00%3A%3A1%5D%3A7070" +
		"&max_backoff=50ms&max_connections=8&path_style=true&read_attempts=5&region=eu&request_timeout=20s"
	if got := storeRoot(ws, true); got != want {
		t.Errorf("the pods' root is\n%s, want\n%s", got, want)
	}
	pod := storeSet(ws, "image", shape{replicas: 1}, true).Spec.Template.Spec
	if *pod.ServiceAccountName != "orders-writer" || *pod.AutomountServiceAccountToken {
		t.Errorf("it runs as %s, with a token for the API server: %t", *pod.ServiceAccountName, *pod.AutomountServiceAccountToken)
	}
	token := pod.Volumes[1].Projected.Sources[0].ServiceAccountToken
	if *pod.Volumes[0].Secret.SecretName != "ca" || *token.Audience != v1alpha1.DefaultAudience || *token.Path != "token" {
		t.Errorf("volumes: %+v", pod.Volumes)
	}
	env := map[string]string{}
	for _, v := range pod.Containers[0].Env {
		if v.Value != nil {
			env[*v.Name] = *v.Value
		}
	}
	for name, want := range map[string]string{
		"AWS_ROLE_ARN": "arn:aws:iam::1:role/orders", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/salvor-token/token",
		"AWS_ENDPOINT_URL_STS": "https://sts.example", "AWS_ROLE_SESSION_NAME": "salvor.shop.orders", "AWS_CA_BUNDLE": "/var/run/secrets/salvor-root/ca.crt",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	// What is as everywhere is not said: it would restart the pods of an upgrade.
	ws.Spec.Root = v1alpha1.Root{URI: "s3://bucket/orders", Region: "eu", RequestTimeout: &metav1.Duration{Duration: v1alpha1.DefaultRequestTimeout},
		Requests:    v1alpha1.Requests{ReadAttempts: v1alpha1.DefaultReadAttempts, MaxConnections: v1alpha1.DefaultMaxConnections},
		Credentials: &v1alpha1.Credentials{SecretRef: v1alpha1.LocalReference{Name: "creds"}}}
	if got, want := storeRoot(ws, false), "s3://bucket/orders?credentials_dir=%2Fvar%2Frun%2Fsecrets%2Fsalvor-root&region=eu"; got != want {
		t.Errorf("the pods' root is %s, want %s", got, want)
	}
}
