// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// fieldManager owns what this operator applies.
const fieldManager = client.FieldOwner("salvor")

// applyStatus writes the whole status of an object, in one request. The uid goes
// with it, so that the status of one object never lands on its successor of the
// same name. An object that is gone needs no status.
func applyStatus(ctx context.Context, c client.Client, kind string, o client.Object, status any) error {
	raw, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode the status of %s %s: %w", kind, client.ObjectKeyFromObject(o), err)
	}
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil {
		return fmt.Errorf("encode the status of %s %s: %w", kind, client.ObjectKeyFromObject(o), err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(),
		"kind":       kind,
		"metadata":   map[string]any{"name": o.GetName(), "namespace": o.GetNamespace(), "uid": string(o.GetUID())},
		"status":     body,
	}}
	err = c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), fieldManager, client.ForceOwnership)
	if apierrors.IsNotFound(err) || isOtherUID(err) {
		return nil
	}
	return err
}

// isOtherUID: the object was deleted and made again meanwhile.
func isOtherUID(err error) bool { return apierrors.IsConflict(err) }
