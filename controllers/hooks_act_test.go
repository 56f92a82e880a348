// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/test/contract"
)

// shelf is a reader of what lies on it, as an API server's client is.
type shelf struct {
	client.Reader
	objects []client.Object
}

// Get implements client.Reader.
func (s shelf) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	for _, o := range s.objects {
		if o.GetName() != key.Name || o.GetNamespace() != key.Namespace {
			continue
		}
		switch to := into.(type) {
		case *corev1.Pod:
			if p, ok := o.(*corev1.Pod); ok {
				p.DeepCopyInto(to)
				return nil
			}
		case *corev1.Secret:
			if p, ok := o.(*corev1.Secret); ok {
				p.DeepCopyInto(to)
				return nil
			}
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// askedPod is a pod whose port is that of a server in this process.
func askedPod(t *testing.T, h http.HandlerFunc) (hookActor, *v1alpha1.HTTPAction) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	must(t, err)
	host, port, err := net.SplitHostPort(u.Host)
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	on := shelf{objects: []client.Object{
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db-0", Labels: map[string]string{v1alpha1.LabelStore: "db"}}, Status: corev1.PodStatus{PodIP: host}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "admin"}, Data: map[string][]byte{"token": []byte("Bearer s3cret\n"), "two": []byte("a\nb")}},
	}}
	return hookActor{pods: on, secrets: on}, &v1alpha1.HTTPAction{Scheme: "http", Port: int32(n), Path: "/pause?for=1h", Method: "POST"}
}

// hookRunOf is a record in which a step has just begun.
func hookRunOf(action *v1alpha1.HTTPAction, timeout time.Duration, s maintenance.HookStep) *v1alpha1.HookRun {
	a := v1alpha1.HookAction{HTTP: action, Timeout: patience(timeout)}
	run := &v1alpha1.HookRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db"},
		Spec:       v1alpha1.HookRunSpec{StoreRef: v1alpha1.LocalReference{Name: "db"}, Hooks: []v1alpha1.Hook{{Name: "pause", Prior: &a, Pre: a, Post: &a}}},
	}
	begin(run, []maintenance.HookStep{s}, time.Now())
	return run
}

// A request goes to the pod, says what it is told to, and to nobody else.
func TestARequestStaysWithThePod(t *testing.T) {
	contract.Row(t, 139)
	var elsewhere int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	t.Setenv("HTTP_PROXY", other.URL)
	var got string
	answer, length := http.StatusOK, 0
	a, action := askedPod(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%s %s %s %q %s", r.Method, r.URL, r.Header.Get("Authorization"), body, r.Header.Get("Content-Type"))
		w.Header().Set("Location", other.URL)
		w.WriteHeader(answer)
		_, _ = io.WriteString(w, strings.Repeat("x", length)+"the end")
	})
	prior := "was off"
	pre, post := maintenance.HookStep{Pod: "db-0", Hook: "pause", Part: maintenance.Pre}, maintenance.HookStep{Pod: "db-0", Hook: "pause", Part: maintenance.Post}
	ask := func(s maintenance.HookStep) *hookResult {
		return a.one(t.Context(), "ns", "db", s, &v1alpha1.HookAction{HTTP: action}, &prior)
	}
	if r := ask(pre); r.failed != "" || r.status != 200 || r.tail != "the end" || got != `POST /pause?for=1h  "" ` {
		t.Errorf("%+v: %s", r, got)
	}
	if r := ask(post); r.failed != "" || got != `POST /pause?for=1h  "was off" text/plain; charset=utf-8` {
		t.Errorf("%+v: %s", r, got)
	}
	action.Body, action.Header = `{"on":false}`, &v1alpha1.SecretHeader{Name: "Authorization", SecretName: "admin", Key: "token"}
	if r := ask(post); r.failed != "" || got != `POST /pause?for=1h Bearer s3cret "{\"on\":false}" application/json` {
		t.Errorf("%+v: %s", r, got)
	}
	length = 1 << 20
	if r := ask(pre); r.failed != "" || len(r.stdout) != priorMost+1 || len(r.tail) != outputMost {
		t.Errorf("%q, %d, %d", r.failed, len(r.stdout), len(r.tail))
	}
	length = 0
	for _, status := range []int{302, 307, 308} {
		answer = status
		if r := ask(pre); !strings.Contains(r.failed, "redirects are not followed") || int(r.status) != status {
			t.Errorf("%d: %+v", status, r)
		}
	}
	answer = http.StatusTeapot
	if r := ask(pre); r.failed != "HTTP status 418 I'm a teapot" || r.tail != "the end" {
		t.Errorf("%+v", r)
	}
	got = ""
	for name, change := range map[string]func(){
		"the Secret none does not exist":              func() { action.Header.SecretName = "none" },
		"the Secret admin has no entry none":          func() { action.Header.SecretName, action.Header.Key = "admin", "none" },
		"entry two of the Secret admin is no line":    func() { action.Header.SecretName, action.Header.Key = "admin", "two" },
		"does not begin with one slash":               func() { action.Header, action.Path = nil, "//"+strings.TrimPrefix(other.URL, "http://")+"/" },
		"does not carry the label recovery.salvor.io": nil,
	} {
		r := &hookResult{}
		if change != nil {
			change()
			r = ask(pre)
		} else {
			r = a.one(t.Context(), "ns", "orders", pre, &v1alpha1.HookAction{HTTP: action}, nil)
		}
		if !strings.Contains(r.failed, name) || got != "" {
			t.Errorf("%q: %+v, asked %q", name, r, got)
		}
		action.Path = "/"
		action.Header = &v1alpha1.SecretHeader{Name: "Authorization", SecretName: "admin", Key: "token"}
	}
	if elsewhere != 0 {
		t.Errorf("another host was asked %d times", elsewhere)
	}
}

// An attempt has its time from when it was written down: no answer is waited for beyond
// that, and who wakes after it sends nothing.
func TestAnAttemptHasItsTime(t *testing.T) {
	contract.Row(t, 139)
	asked := make(chan bool, 9)
	a, action := askedPod(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- true
		<-r.Context().Done()
	})
	s := maintenance.HookStep{Pod: "db-0", On: "u/0", Hook: "pause", Part: maintenance.Pre}
	run := hookRunOf(action, 300*time.Millisecond, s)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	res := a.all(ctx, run, []maintenance.HookStep{s}, Options{}.withDefaults())
	if res[0] == nil || !strings.HasPrefix(res[0].failed, "not done within 300ms") {
		t.Fatalf("%+v", res[0])
	}
	<-asked
	res = a.all(t.Context(), run, []maintenance.HookStep{s}, Options{}.withDefaults()) // asleep since
	if res[0] != nil || len(asked) != 0 {
		t.Errorf("it was sent after its time: %+v", res[0])
	}
}

// What prior has printed is kept once and for all, and only when it can be put back.
func TestAPriorIsKeptOnce(t *testing.T) {
	contract.Row(t, 139)
	s := maintenance.HookStep{Pod: "db-0", On: "u/0", Hook: "pause", Part: maintenance.Prior}
	run := hookRunOf(&v1alpha1.HTTPAction{}, time.Second, s)
	for _, c := range []struct{ printed, fails string }{
		{strings.Repeat("x", priorMost+1), "printed more than 4096 bytes"},
		{"\xff", "no text in UTF-8"},
		{"a\x00b", "no text in UTF-8"},
		{"off", ""},
		{"on", ""}, // by a hook that has run since
	} {
		begin(run, []maintenance.HookStep{s}, time.Now())
		end(run, s, hookResult{stdout: c.printed, tail: c.printed}, time.Now())
		h := run.Status.Pods[0].Hooks[0]
		if !strings.Contains(h.ReadPrior.Message, c.fails) || (h.ReadPrior.Result == v1alpha1.HookFailed) != (c.fails != "") || (h.Prior != nil) != (c.fails == "") {
			t.Errorf("%.10q: %+v", c.printed, h.ReadPrior)
		}
	}
	if h := run.Status.Pods[0].Hooks[0]; *h.Prior != "off" || h.ReadPrior.Attempts != 6 || *priorOf(run, "db-0", "pause") != "off" {
		t.Errorf("%q after %+v", *h.Prior, h.ReadPrior)
	}
}

// What a spec says of failures reaches whoever decides.
func TestHooksInTheWordsOfThoseWhoDecide(t *testing.T) {
	contract.Row(t, 139)
	action := func(on v1alpha1.OnHookError) *v1alpha1.HookAction { return &v1alpha1.HookAction{OnError: on} }
	run := &v1alpha1.HookRun{Spec: v1alpha1.HookRunSpec{Hooks: []v1alpha1.Hook{
		{Name: "a", Prior: action(v1alpha1.HookFail), Pre: *action(v1alpha1.HookFail), Post: action(v1alpha1.HookContinue)},
		{Name: "b", Pre: *action(v1alpha1.HookContinue), Post: action(v1alpha1.HookFail)},
		{Name: "c", Pre: *action("")},
	}}}
	there, may := maintenance.HookAction{There: true}, maintenance.HookAction{There: true, Continue: true}
	want := []maintenance.Hook{{Name: "a", Prior: there, Pre: there, Post: may}, {Name: "b", Pre: may, Post: there}, {Name: "c", Pre: there}}
	for i, h := range hookTerms(run, false, Options{}.withDefaults()).Hooks {
		if h != want[i] {
			t.Errorf("got %+v, want %+v", h, want[i])
		}
	}
}
