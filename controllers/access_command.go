// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
)

// OpenRoot opens the root of a WALStore as the operator would, for a person who has
// to do without it: by the Secret of the store's own namespace, read with the
// caller's rights. Nothing is asked of the object store yet.
func OpenRoot(ctx context.Context, c client.Client, ws *v1alpha1.WALStore) (objstore.Bucket, error) {
	o := &opener{opt: Options{AllowLocalRoots: true, AmbientRoots: []string{ws.Spec.Root.URI}}.withDefaults(), secrets: c, requester: c}
	access, err := o.credentials(ctx, ws)
	if err != nil {
		return nil, err
	}
	return OpenBucket(ctx, ws.Spec.Root, access)
}

// MaintenanceOwner returns the owner of the locks of a StoreMaintenance.
func MaintenanceOwner(m *v1alpha1.StoreMaintenance) string { return lockOwner(m) }
