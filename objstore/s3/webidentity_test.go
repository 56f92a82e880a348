// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/s3"
)

// exchanger is a token service: it answers AssumeRoleWithWebIdentity.
type exchanger struct {
	*httptest.Server
	mu    sync.Mutex
	asked []map[string]string
	// life of what it hands out; refuse: the code of a refusal.
	life   time.Duration
	refuse string
}

func exchanges(t *testing.T) *exchanger {
	e := &exchanger{life: time.Hour}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got := map[string]string{"Authorization": r.Header.Get("Authorization")}
		for k := range r.Form {
			got[k] = r.Form.Get(k)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.asked = append(e.asked, got)
		if e.refuse != "" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error></ErrorResponse>`, e.refuse)
			return
		}
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>key-%d</AccessKeyId>`+
			`<SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
			len(e.asked), time.Now().Add(e.life).UTC().Format(time.RFC3339Nano))
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *exchanger) options(s *script, tokens objstore.TokenSource) s3.Options {
	o := s.options()
	o.AccessKeyID, o.SecretAccessKey, o.MaxBackoff = "", "", time.Millisecond
	o.WebIdentity = &s3.WebIdentity{Tokens: tokens, RoleARN: "arn:aws:iam::1:role/orders", SessionName: "salvor.shop.orders", Endpoint: e.URL}
	return o
}

func tokensOf(n *int) objstore.TokenSource {
	return objstore.TokenFunc(func(context.Context) (objstore.Token, error) {
		*n++
		return objstore.Token{Value: fmt.Sprint("token-", *n)}, nil
	})
}

// One exchange serves all calls until what it brought is about to expire; each
// brings a fresh token, and the environment of this process counts for nothing.
func TestTokensAreExchangedWhenCredentialsExpire(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "operator")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "operator")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/does/not/exist")
	s, e, n := serve(t, func(int, http.ResponseWriter, *http.Request) {}), exchanges(t), 0
	b := open(t, e.options(s, tokensOf(&n)))
	for range 3 {
		if r, err := b.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
	}
	if len(e.asked) != 1 || n != 1 {
		t.Fatalf("%d exchanges, %d tokens", len(e.asked), n)
	}
	for name, want := range map[string]string{
		"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "token-1", "RoleArn": "arn:aws:iam::1:role/orders",
		"RoleSessionName": "salvor.shop.orders", "Authorization": "",
	} {
		if got := e.asked[0][name]; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	q := s.seen()[0]
	if auth := q.Header.Get("Authorization"); !strings.Contains(auth, "Credential=key-1/") || q.Header.Get("X-Amz-Security-Token") != "session" {
		t.Errorf("signed as %s", auth)
	}
	// What has expired already is renewed before each call.
	e.life = -time.Second
	again := open(t, e.options(s, tokensOf(&n)))
	for range 2 {
		if r, err := again.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
	}
	if len(e.asked) != 3 || e.asked[2]["WebIdentityToken"] != "token-3" {
		t.Errorf("%d exchanges: %v", len(e.asked), e.asked)
	}
}

// Without a token, or refused, nothing is sent to the store, and a put is known
// not to have landed.
func TestWithoutCredentialsNothingIsSent(t *testing.T) {
	s, e := serve(t, func(int, http.ResponseWriter, *http.Request) {}), exchanges(t)
	gone := errors.New("the ServiceAccount is gone")
	b := open(t, e.options(s, objstore.TokenFunc(func(context.Context) (objstore.Token, error) { return objstore.Token{}, gone })))
	if r, err := b.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Retry || !errors.Is(err, gone) {
		t.Errorf("%v, %v; want Retry and why there is no token", r.Outcome, err)
	}
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, gone) {
		t.Error(err)
	}
	for code, denied := range map[string]bool{"AccessDenied": true, "InvalidIdentityToken": true, "ExpiredTokenException": true, "ServiceUnavailable": false} {
		e.refuse = code
		n := 0
		b := open(t, e.options(s, tokensOf(&n)))
		r, err := b.PutIfAbsent(t.Context(), "k", nil, "a")
		if r.Outcome != objstore.Retry || err == nil || errors.Is(err, objstore.ErrAccessDenied) != denied {
			t.Errorf("%s: %v, %v; want Retry, denied %t", code, r.Outcome, err, denied)
		}
		if denied && !strings.Contains(err.Error(), "trust policy") {
			t.Errorf("%s: it does not say what to do: %v", code, err)
		}
	}
	if seen := s.seen(); len(seen) != 0 {
		t.Errorf("the store was asked: %s %s", seen[0].Method, seen[0].URL)
	}
}

// A pod has the token in a file that the kubelet renews, and the rest in its
// environment: the SDK's own chain finds it.
func TestTheChainExchangesAMountedToken(t *testing.T) {
	s, e := serve(t, func(int, http.ResponseWriter, *http.Request) {}), exchanges(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("mounted"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	for name, value := range map[string]string{
		"AWS_ROLE_ARN": "arn:aws:iam::1:role/orders", "AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_ROLE_SESSION_NAME": "salvor.shop.orders",
		"AWS_ENDPOINT_URL_STS": e.URL, "HOME": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	o := s.options()
	o.AccessKeyID, o.SecretAccessKey, o.Region = "", "", "us-east-1"
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if len(e.asked) != 1 || e.asked[0]["WebIdentityToken"] != "mounted" || e.asked[0]["RoleSessionName"] != "salvor.shop.orders" {
		t.Errorf("the token service was asked %v", e.asked)
	}
	if auth := s.seen()[0].Header.Get("Authorization"); !strings.Contains(auth, "Credential=key-1/") {
		t.Errorf("signed as %s", auth)
	}
}

func TestWebIdentityThatCannotWork(t *testing.T) {
	n := 0
	good := s3.WebIdentity{Tokens: tokensOf(&n), RoleARN: "arn:aws:iam::1:role/r"}
	for name, change := range map[string]func(*s3.Options, *s3.WebIdentity){
		"no tokens": func(_ *s3.Options, w *s3.WebIdentity) { w.Tokens = nil },
		"no role":   func(_ *s3.Options, w *s3.WebIdentity) { w.RoleARN = "" },
		"no URL":    func(_ *s3.Options, w *s3.WebIdentity) { w.Endpoint = "sts.example" },
		"no region": func(o *s3.Options, _ *s3.WebIdentity) { o.Region = "" },
	} {
		o, w := s3.Options{Bucket: "b", Region: "us-east-1"}, good
		change(&o, &w)
		o.WebIdentity = &w
		if _, err := s3.Open(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
