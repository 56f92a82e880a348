// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Requests tune how an object store is asked, by the operator and by the pods of a
// managed store. The defaults are good for a store in the same region.
//
// What creates an object is sent once, whatever stands here: sent again, it could
// meet itself and report a conflict that nobody made. A lost answer is settled by
// reading. A read or a listing gives up after readAttempts times the sum of
// connectTimeout, root.requestTimeout and maxBackoff.
type Requests struct {
	// ConnectTimeout bounds finding and connecting to the server.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('1m')",message="connectTimeout must be between 100ms and 1m"
	ConnectTimeout *metav1.Duration `json:"connectTimeout,omitempty"`

	// ReadAttempts is how often a read or a listing is tried before it fails.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	ReadAttempts int32 `json:"readAttempts,omitempty"`

	// MaxBackoff bounds the pause before each further try; the pauses double, and each
	// is random below its bound, so that clients that failed together spread.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10ms') && duration(self) <= duration('1m')",message="maxBackoff must be between 10ms and 1m"
	MaxBackoff *metav1.Duration `json:"maxBackoff,omitempty"`

	// MaxConnections bounds the connections of each process to the server; what finds
	// none free waits for one.
	// +optional
	// +kubebuilder:default=64
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1024
	MaxConnections int32 `json:"maxConnections,omitempty"`
}
