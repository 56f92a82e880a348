// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	authzv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/salvor-io/salvor/controllers"
	"github.com/salvor-io/salvor/test/contract"
)

// The command as it is installed: elected, probed, and with metrics for those who
// may have them.
func TestOperatorCommand(t *testing.T) {
	contract.Row(t, 149, 152)
	c, kubeconfig := operatorServer(t)
	metrics, health := freeAddr(t), freeAddr(t)
	run := func() (stop func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := newRootCommand()
		cmd.SetArgs([]string{"operator", "--kubeconfig", kubeconfig, "--leader-election-namespace", "default", "--log-level", "error",
			"--metrics-bind-address", metrics, "--health-probe-bind-address", health})
		done := make(chan error, 1)
		go func() { done <- cmd.ExecuteContext(ctx) }()
		return func() error { cancel(); return <-done }
	}
	stop := run()
	await(t, "the probe to answer", func() bool { return get(t, "http://"+health+"/readyz", "") == http.StatusOK })
	await(t, "the Lease to be held", func() bool { return holder(t, c) != "" })
	await(t, "the metrics to be served", func() bool { return get(t, "https://"+metrics+"/metrics", "") != 0 })
	if code := get(t, "https://"+metrics+"/metrics", ""); code != http.StatusUnauthorized {
		t.Errorf("metrics without a token: HTTP %d", code)
	}
	// Two accounts: an answer of "no" is remembered for 30 s.
	if code := get(t, "https://"+metrics+"/metrics", serviceAccountToken(t, c, "stranger")); code != http.StatusForbidden {
		t.Errorf("metrics with a token that may not: HTTP %d", code)
	}
	grant(t, c, "scraper")
	token := serviceAccountToken(t, c, "scraper")
	await(t, "the role to be in the API server's cache", func() bool { return mayScrape(t, c, "scraper") })
	await(t, "the metrics with a token that may", func() bool { return get(t, "https://"+metrics+"/metrics", token) == http.StatusOK })
	if err := stop(); err != nil {
		t.Errorf("the operator ended with %v", err)
	}
	if h := holder(t, c); h != "" {
		t.Errorf("the Lease is still held by %s: the next operator would wait for it", h)
	}

	// One of this name was killed just now. A Lease of an hour: nobody else would get it.
	died := holds(t, c, "operator-0_uid", time.Hour)
	successor := command(t, "", "operator", "--kubeconfig", kubeconfig, "--leader-election-namespace", "default", "--leader-election-identity", "operator-0_uid",
		"--metrics-bind-address", "0", "--health-probe-bind-address", "0")
	if err := successor.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the successor of the same name to renew the Lease", func() bool {
		l := lease(t, c)
		return holder(t, c) == "operator-0_uid" && l.Spec.RenewTime.After(died) && *l.Spec.LeaseTransitions == 7
	})
	if err := errors.Join(successor.Process.Signal(syscall.SIGTERM), successor.Wait()); err != nil {
		t.Errorf("the successor ended with %v", err)
	}
}

// holds makes somebody the holder of the Lease, and returns when it was renewed.
func holds(t *testing.T, c client.Client, identity string, lasts time.Duration) time.Time {
	t.Helper()
	l := lease(t, c)
	now := metav1.NowMicro()
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.LeaseTransitions = &identity, new(int32(lasts.Seconds())), new(int32(7))
	l.Spec.AcquireTime, l.Spec.RenewTime = &now, &now
	if err := c.Update(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	return now.Time
}

func lease(t *testing.T, c client.Client) *coordinationv1.Lease {
	t.Helper()
	var l coordinationv1.Lease
	if err := c.Get(context.WithoutCancel(t.Context()), client.ObjectKey{Namespace: "default", Name: leaseName}, &l); err != nil {
		t.Fatal(err)
	}
	return &l
}

func TestOperatorHelpShowsExamples(t *testing.T) {
	var out strings.Builder
	cmd := newRootCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"operator", "--help"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"Examples:", "--leader-elect", "--namespaces", "--max-streams", "--ambient-roots", "--allow-local-roots", "--sweep-interval", "--orphan-after", "--concurrency"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("no %s in the help", word)
		}
	}
}

func TestOperatorRefusesAWrongLogFormat(t *testing.T) {
	cmd := newRootCommand()
	cmd.SetArgs([]string{"operator", "--log-format", "xml"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "json or text") {
		t.Errorf("got %v", err)
	}
}

// operatorServer is a kube-apiserver with the definitions.
func operatorServer(t *testing.T) (client.Client, string) {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		const how = "KUBEBUILDER_ASSETS is unset; set it to what `go -C hack/cluster run . envtest-assets DIR` prints"
		if os.Getenv("REQUIRE_NODE") == "1" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	env := &envtest.Environment{ControlPlaneStartTimeout: 3 * time.Minute, CRDDirectoryPaths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	cfg, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme, err := controllers.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	user, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", name) // the command sets it: this puts it back
	return c, name
}

func serviceAccountToken(t *testing.T, c client.Client, name string) string {
	t.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if err := c.Create(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	token := &authv1.TokenRequest{}
	if err := c.SubResource("token").Create(t.Context(), sa, token); err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// grant lets a ServiceAccount read metrics, with the rules that config/ ships.
func grant(t *testing.T, c client.Client, account string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: "metrics-reader"}
	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: account}},
	}
	for _, o := range []client.Object{role, binding} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// mayScrape asks the API server what it thinks of an account: the operator asks it
// too, and remembers a "no".
func mayScrape(t *testing.T, c client.Client, account string) bool {
	t.Helper()
	review := &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{
		User:                  "system:serviceaccount:default:" + account,
		NonResourceAttributes: &authzv1.NonResourceAttributes{Path: "/metrics", Verb: "get"},
	}}
	if err := c.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func holder(t *testing.T, c client.Client) string {
	t.Helper()
	var l coordinationv1.Lease
	err := c.Get(context.WithoutCancel(t.Context()), client.ObjectKey{Namespace: "default", Name: leaseName}, &l)
	if err != nil || l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func get(t *testing.T, url, token string) int {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	h := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	r, err := h.Do(q)
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body)
	return r.StatusCode
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func await(t *testing.T, reason string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited 30 s for %s", reason)
		}
	}
}
