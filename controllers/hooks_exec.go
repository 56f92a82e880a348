// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// execer runs commands in containers, by way of the API server.
type execer struct {
	config *rest.Config
	core   rest.Interface
}

func newExecer(config *rest.Config) (*execer, error) {
	k, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &execer{config: config, core: k.CoreV1().RESTClient()}, nil
}

// run runs a command to its end: over a websocket, or over SPDY where something in
// between takes none.
func (e *execer) run(ctx context.Context, pod *corev1.Pod, a *v1alpha1.ExecAction, stdin *string) *hookResult {
	req := e.core.Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").VersionedParams(&corev1.PodExecOptions{
		Container: containerOf(pod, a), Command: a.Command, Stdin: stdin != nil, Stdout: true, Stderr: true,
	}, scheme.ParameterCodec)
	socket, err := remotecommand.NewWebSocketExecutor(e.config, "GET", req.URL().String())
	if err != nil {
		return &hookResult{failed: short(err)}
	}
	spdy, err := remotecommand.NewSPDYExecutor(e.config, "POST", req.URL())
	if err != nil {
		return &hookResult{failed: short(err)}
	}
	either, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return &hookResult{failed: short(err)}
	}
	var p printed
	stdout, stderr := p.outputs()
	o := remotecommand.StreamOptions{Stdout: stdout, Stderr: stderr}
	if stdin != nil {
		o.Stdin = strings.NewReader(*stdin)
	}
	err = either.StreamWithContext(ctx, o)
	r := p.into(&hookResult{})
	var code exec.CodeExitError
	switch {
	case err == nil:
		r.code = new(int32(0))
	case errors.As(err, &code):
		r.code = new(int32(code.Code))
		r.failed = fmt.Sprintf("exit code %d", code.Code)
	case strings.Contains(err.Error(), "pods/exec") && strings.Contains(err.Error(), "forbidden"):
		r.failed = "the operator may not run commands here any more: `" + hookCommand(pod.Namespace) + "`"
	default:
		r.failed = short(err)
	}
	return r
}

// forbidden asks the API server whether this operator may run commands in the pods of
// a namespace; it returns what to do where it may not.
func forbidden(ctx context.Context, c client.Client, m *v1alpha1.StoreMaintenance) (*finding, error) {
	if !runsCommands(m.Spec.Hooks) {
		return nil, nil
	}
	for _, verb := range []string{"create", "get"} { // SPDY asks for the one, a websocket for the other
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: m.Namespace, Verb: verb, Resource: "pods", Subresource: "exec"},
		}}
		if err := c.Create(ctx, review); err != nil {
			return nil, fmt.Errorf("ask whether commands may be run in pods: %w", err)
		}
		if !review.Status.Allowed {
			return found(v1alpha1.ConditionAccepted, v1alpha1.ReasonHookNotPermitted,
				"the operator may not %s pods/exec in namespace %s, which hooks of kind exec need: `%s`, with the operator's own ServiceAccount where it is another one; it is looked at again until spec.until",
				verb, m.Namespace, hookCommand(m.Namespace)), nil
		}
	}
	return nil, nil
}

func runsCommands(hooks []v1alpha1.Hook) bool {
	for _, h := range hooks {
		for _, a := range []*v1alpha1.HookAction{h.Prior, &h.Pre, h.Post} {
			if a != nil && a.Exec != nil {
				return true
			}
		}
	}
	return false
}

// hookCommand is the one command that lets the operator run commands in a namespace.
func hookCommand(namespace string) string {
	return fmt.Sprintf("kubectl -n %s create rolebinding salvor-hook-runner --clusterrole salvor-hook-runner --serviceaccount salvor-system:salvor-operator", namespace)
}
