// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the resources of recovery.salvor.io, all of them in the
// category "salvor":
//
//	WALStore         wals  which root in object storage is operated, which pods write it, and is it safe now
//	RecoverySidecar  rsc   a window on one operation that its writer left unfinished, and what became of it
//
// A resource here is never the truth. The truth is the root: what its manifest
// says. Deleting a resource deletes no object in the root, no kind has a
// finalizer, and a resource that is missing comes back while its object is there.
//
// Conditions say what was observed, with the words of conditions.go; there is no
// state machine. Every condition of a kind is written as Unknown at first sight,
// and observedGeneration is written with the last word about that generation.
//
// The package imports none of salvor's others: what users write must not change
// because the library does.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=recovery.salvor.io
package v1alpha1
