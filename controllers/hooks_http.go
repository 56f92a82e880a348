// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// answerMost bounds what is read of an answer, in bytes.
const answerMost = 64 << 10

// ask sends a request to a pod's own address: no name is looked up, no proxy and no
// redirect leads anywhere else.
func (a hookActor) ask(ctx context.Context, pod *corev1.Pod, h *v1alpha1.HTTPAction, prior *string) *hookResult {
	req, err := a.request(ctx, pod, h, prior)
	if err != nil {
		return &hookResult{failed: short(err)}
	}
	transport := &http.Transport{
		Proxy: nil, DisableKeepAlives: true, MaxResponseHeaderBytes: answerMost,
		DialContext: (&net.Dialer{Timeout: hookDialTimeout}).DialContext,
		// A pod has no name that a certificate could be for; kubelet's probes do the same.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // see above
	}
	c := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(req)
	if err != nil {
		return &hookResult{failed: short(plainly(err))}
	}
	defer res.Body.Close()
	var p printed
	stdout, _ := p.outputs()
	_, err = io.Copy(stdout, io.LimitReader(res.Body, answerMost))
	r := p.into(&hookResult{status: int32(res.StatusCode)})
	switch {
	case res.StatusCode/100 == 3:
		r.failed = fmt.Sprintf("HTTP status %s: redirects are not followed", res.Status)
	case res.StatusCode/100 != 2:
		r.failed = fmt.Sprintf("HTTP status %s", res.Status)
	case err != nil:
		r.failed = "read the answer: " + short(err)
	}
	return r
}

func (a hookActor) request(ctx context.Context, pod *corev1.Pod, h *v1alpha1.HTTPAction, prior *string) (*http.Request, error) {
	if pod.Status.PodIP == "" {
		return nil, errors.New("the pod has no address")
	}
	at, err := url.Parse(h.Path)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", h.Path, err)
	}
	u := url.URL{
		Scheme: h.Scheme, Host: net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(h.Port))),
		Path: at.Path, RawPath: at.RawPath, RawQuery: at.RawQuery,
	}
	if u.Path == "" || !strings.HasPrefix(h.Path, "/") || strings.HasPrefix(h.Path, "//") {
		return nil, fmt.Errorf("path %q does not begin with one slash", h.Path)
	}
	body := h.Body
	if body == "" && prior != nil {
		body = *prior
	}
	req, err := http.NewRequestWithContext(ctx, h.Method, u.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
		if json.Valid([]byte(body)) {
			req.Header.Set("Content-Type", "application/json")
		}
	}
	req.Header.Set("User-Agent", "salvor")
	if s := h.Header; s != nil {
		value, err := a.secret(ctx, pod.Namespace, s)
		if err != nil {
			return nil, err
		}
		req.Header.Set(s.Name, value)
	}
	return req, nil
}

// secret reads the entry of a Secret that a header carries. It is never quoted.
func (a hookActor) secret(ctx context.Context, namespace string, h *v1alpha1.SecretHeader) (string, error) {
	var s corev1.Secret
	switch err := a.secrets.Get(ctx, client.ObjectKey{Namespace: namespace, Name: h.SecretName}, &s); {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("the Secret %s does not exist", h.SecretName)
	case err != nil:
		return "", fmt.Errorf("get the Secret %s: %w", h.SecretName, err)
	}
	value := strings.TrimSpace(string(s.Data[h.Key]))
	switch {
	case value == "":
		return "", fmt.Errorf("the Secret %s has no entry %s", h.SecretName, h.Key)
	case strings.ContainsAny(value, "\r\n\x00"):
		return "", fmt.Errorf("the entry %s of the Secret %s is no line of text", h.Key, h.SecretName)
	}
	return value, nil
}

// plainly is an error of a request without its address, which says nothing new.
func plainly(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}
