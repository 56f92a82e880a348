// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Suspension is somebody's wish that the operator leave a store alone for a while. It
// ends by itself.
type Suspension struct {
	// By is the user name of who suspends. Where config/admission is installed it has to
	// be the user who sets it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	By string `json:"by"`

	// Reason is told to everybody who looks.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`

	// Until is when the operator goes on, by its own clock, whether anybody is there to
	// resume or not.
	// +required
	Until metav1.Time `json:"until"`
}

// Holds reports whether the suspension is there and not over.
func (s *Suspension) Holds(now time.Time) bool {
	return s != nil && now.Before(s.Until.Time)
}

// String says who, until when and why.
func (s *Suspension) String() string {
	return fmt.Sprintf("suspended by %s until %s: %s", s.By, s.Until.UTC().Format(time.RFC3339), s.Reason)
}

// UnmarshalJSON reads also what spec.suspend was before a suspension had an end: true
// holds until somebody says more, so that one old object neither wakes a store nor
// keeps the operator from reading all others.
func (s *Suspension) UnmarshalJSON(raw []byte) error {
	var was bool
	if json.Unmarshal(raw, &was) == nil {
		*s = Suspension{By: "nobody", Reason: "spec.suspend was true or false once: set who, why and until, or remove it"}
		if was {
			s.Until = metav1.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
		}
		return nil
	}
	type plain Suspension
	return json.Unmarshal(raw, (*plain)(s))
}
