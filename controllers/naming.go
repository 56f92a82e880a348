// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// annotationDetected says when the operator first saw that the operation of a
// RecoverySidecar was left behind.
const annotationDetected = v1alpha1.Group + "/detected-at"

// slugMost bounds the readable part of a name.
const slugMost = 64

// sidecarName is the name of the RecoverySidecar for an object: the same one each
// time, another one for each object of each root, and a name whatever the object
// is called.
func sidecarName(store, root, key string) string {
	slug := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		case c >= 'A' && c <= 'Z':
			return c + ('a' - 'A')
		default:
			return '-'
		}
	}, strings.TrimPrefix(key, recovery.Prefix))
	slug = strings.Trim(slug[:min(len(slug), slugMost)], "-")
	if slug == "" {
		slug = "object"
	}
	sum := sha256.Sum256([]byte(root + "\x00" + key))
	return store + "-" + slug + "-" + hex.EncodeToString(sum[:4])
}

// newSidecar is the RecoverySidecar for the object at key in the root of a store.
func newSidecar(root *Root, key string, detected time.Time) *v1alpha1.RecoverySidecar {
	s := &v1alpha1.RecoverySidecar{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: root.Store.Namespace,
			Name:      sidecarName(root.Store.Name, root.ID(), key),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: v1alpha1.KindWALStore,
				Name: root.Store.Name, UID: root.UID, Controller: new(true),
			}},
		},
		Spec: v1alpha1.RecoverySidecarSpec{StoreRef: v1alpha1.LocalReference{Name: root.Store.Name}, Key: key},
	}
	if op := manifest.OperationID(strings.TrimPrefix(key, recovery.Prefix)); op.Validate() == nil {
		s.Spec.OperationID = string(op)
	}
	if !detected.IsZero() {
		s.Annotations = map[string]string{annotationDetected: detected.UTC().Format(time.RFC3339Nano)}
	}
	return s
}

// detectedAt is when the operator first saw the operation of s.
func detectedAt(s *v1alpha1.RecoverySidecar) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, s.Annotations[annotationDetected]); err == nil {
		return t
	}
	return s.CreationTimestamp.Time
}

// indexKey is the cache index that finds the RecoverySidecars of one object;
// indexStore those of one store.
const (
	indexKey   = "salvor.key"
	indexStore = "salvor.store"
)

func keyIndex(store, key string) string { return store + "\x00" + key }

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
