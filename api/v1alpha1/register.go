// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every kind here.
const Group = "recovery.salvor.io"

// Category makes `kubectl get salvor -A` list every kind of the group.
const Category = "salvor"

// The kinds.
const (
	KindWALStore         = "WALStore"
	KindRecoverySidecar  = "RecoverySidecar"
	KindStoreMaintenance = "StoreMaintenance"
	KindHookRun          = "HookRun"
)

// SchemeGroupVersion is the group and version of the types here.
var SchemeGroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(func(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion,
		&WALStore{}, &WALStoreList{},
		&RecoverySidecar{}, &RecoverySidecarList{},
		&StoreMaintenance{}, &StoreMaintenanceList{},
		&HookRun{}, &HookRunList{},
	)
	metav1.AddToGroupVersion(s, SchemeGroupVersion)
	return nil
})

// AddToScheme makes the kinds known to a scheme.
var AddToScheme = schemeBuilder.AddToScheme
