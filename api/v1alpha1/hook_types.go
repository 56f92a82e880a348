// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Hook quiesces a pod that does not speak control, and undoes that. All that it does
// may be done more than once: an operator that died in between begins again.
//
// +kubebuilder:validation:XValidation:rule="!has(self.prior) || has(self.post)",message="prior is read for post: a hook without post has no use for it"
// +kubebuilder:validation:XValidation:rule="!has(self.prior) || !has(self.prior.onError) || self.prior.onError == 'Fail'",message="prior.onError can only be Fail: what could not be read cannot be restored"
type Hook struct {
	// Name tells the hook from the others of this maintenance.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a hook's name is made of a-z, 0-9 and '-', such as read-only"
	Name string `json:"name"`

	// Prior changes nothing, and prints what pre is about to change: at most 4,096 bytes
	// of text. It is kept before pre is run for the first time in a pod of this name,
	// never read again, and handed to post: to a command as its standard input, to a URL
	// as its body where http.body is not set.
	// +optional
	Prior *HookAction `json:"prior,omitempty"`

	// Pre quiesces a pod, once the lock is Draining and before it is Frozen; again in each
	// container that starts while the store is held.
	// +required
	Pre HookAction `json:"pre"`

	// Post undoes pre, in each pod in which pre may have begun: before the lock is
	// released, and also when the freeze was given up or its time was over. It is tried
	// until 15 minutes after spec.until.
	// +optional
	Post *HookAction `json:"post,omitempty"`
}

// HookAction is one thing that a hook does in one pod.
//
// +kubebuilder:validation:XValidation:rule="has(self.exec) != has(self.http)",message="set exactly one of exec (a command in a container) and http (a request to the pod itself)"
type HookAction struct {
	// Exec runs a command in a container of the pod. The operator may do that only where
	// the Role salvor-hook-runner was bound to it.
	// +optional
	Exec *ExecAction `json:"exec,omitempty"`

	// HTTP asks the pod itself.
	// +optional
	HTTP *HTTPAction `json:"http,omitempty"`

	// Timeout of one attempt. A command is not killed at its end: let it end by itself.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('10m')",message="a hook's timeout must be between 100ms and 10m"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// OnError of pre: Fail gives the freeze up after five attempts in one container (once
	// the store is held it is tried on instead), Continue goes on without. Of post: Fail
	// keeps the lock until it is undone or spec.until is over, Continue releases it after
	// one attempt, and tries on.
	// +optional
	// +kubebuilder:default=Fail
	OnError OnHookError `json:"onError,omitempty"`
}

// OnHookError says what becomes of a freeze whose hook fails.
//
// +kubebuilder:validation:Enum=Fail;Continue
type OnHookError string

// The choices when a hook fails.
const (
	HookFail     OnHookError = "Fail"
	HookContinue OnHookError = "Continue"
)

// ExecAction is a command in a container. It succeeds with exit code 0.
type ExecAction struct {
	// Container of the pod. Empty: its first one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`

	// Command with its arguments. No shell is in between: where one is wanted, it is the
	// command.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=8192
	Command []string `json:"command"`
}

// HTTPAction is a request to the address of a pod. It succeeds with a status of 2xx;
// redirects are not followed, and no proxy is in between.
type HTTPAction struct {
	// Scheme http or https. Of https the certificate is not verified, as in a probe: pods
	// have no names.
	// +optional
	// +kubebuilder:default=http
	// +kubebuilder:validation:Enum=http;https
	Scheme string `json:"scheme,omitempty"`

	// Port of the pod.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`

	// Path, perhaps with a query.
	// +optional
	// +kubebuilder:default="/"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[!-~]*$') && !self.contains('#')",message="path begins with / and has no space and no fragment: the host is always the pod's own"
	Path string `json:"path,omitempty"`

	// Method of the request.
	// +optional
	// +kubebuilder:default=POST
	// +kubebuilder:validation:Enum=GET;POST;PUT;PATCH;DELETE
	Method string `json:"method,omitempty"`

	// Body of the request. Empty: that of post is what prior has read.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Body string `json:"body,omitempty"`

	// Header whose value is in a Secret of this namespace.
	// +optional
	Header *SecretHeader `json:"header,omitempty"`
}

// SecretHeader is a header of a request, such as Authorization.
type SecretHeader struct {
	// Name of the header.
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9-]*$') && !(self.lowerAscii() in ['host', 'content-length', 'transfer-encoding', 'connection'])",message="a header's name is made of letters, digits and '-', and is none that the request itself sets"
	Name string `json:"name"`

	// SecretName names a Secret of this namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`

	// Key of the entry whose text is the header's value.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}
