// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/objstore"
)

// Access is what a WALStore's own namespace gives to open its root. The zero
// value is for roots that need nothing, or that may use the operator's own identity.
type Access struct {
	// Secret holds keys, and perhaps certificates.
	Secret map[string][]byte
	// Tokens are exchanged for credentials, as spec.root.credentials.serviceAccount says.
	Tokens objstore.TokenSource
	// Session names who exchanges them, in the logs of the other side.
	Session string
	// CA are certificates to trust besides those of the host; PEM.
	CA []byte
}

// own reports whether the namespace gave anything to prove who asks.
func (a Access) own() bool { return a.Secret != nil || a.Tokens != nil }

// entry is one of the Secret's, as a person may have written it to a file.
func (a Access) entry(name string) string { return strings.TrimSpace(string(a.Secret[name])) }

// credentials are what the WALStore's own namespace gives to open its root: the
// data of a Secret, or tokens of a ServiceAccount; nothing for a root that needs none.
func (o *opener) credentials(ctx context.Context, ws *v1alpha1.WALStore) (a Access, err error) {
	root := ws.Spec.Root
	switch {
	case isLocal(root.URI):
		if !o.opt.AllowLocalRoots {
			return a, found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootNotAllowed,
				"%s is on the operator's own machine, and this operator was not started with --allow-local-roots", root.URI).final()
		}
		return a, nil
	case root.Credentials == nil && root.Endpoint == "" && listed(o.opt.AmbientRoots, root):
		return a, nil
	case root.Credentials == nil:
		return a, found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonCredentialsMissing,
			"spec.root.credentials names no Secret and no ServiceAccount, and %s is not among --ambient-roots: the operator's own identity opens no tenant's root", root.URI).final()
	case root.Credentials.ServiceAccount != nil:
		a.Tokens, a.Session = o.tokens(ws), sessionName(ws)
		if name := root.Credentials.ServiceAccount.CASecretRef.Name; name != "" {
			data, err := o.entries(ctx, ws, name, v1alpha1.SecretCA)
			a.CA = data[v1alpha1.SecretCA]
			return a, err
		}
		return a, nil
	}
	name := root.Credentials.SecretRef.Name
	if a.Secret, err = o.entries(ctx, ws, name); err != nil {
		return a, err
	}
	a.CA = a.Secret[v1alpha1.SecretCA]
	if reason, what := unusable(root, a); what != "" {
		return a, found(v1alpha1.ConditionRootClaimed, reason, "Secret %s/%s %s", ws.Namespace, name, what).final()
	}
	return a, nil
}

// openFinding is why a bucket was not opened, before anything was asked of it: with
// credentials of the namespace it is those that cannot be used.
func openFinding(with Access, err error) *finding {
	if with.own() {
		return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonCredentialsInvalid, "%s", short(err)).final()
	}
	return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootUnreachable, "%s", short(err))
}

// entries are the data of a Secret that opens a root, with all of what is needed.
func (o *opener) entries(ctx context.Context, ws *v1alpha1.WALStore, name string, needed ...string) (map[string][]byte, error) {
	data, err := o.secret(ctx, ws.Namespace, name)
	if err != nil {
		return nil, secretFinding(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonCredentialsMissing, ws.Namespace, name, err)
	}
	for _, entry := range needed {
		if len(data[entry]) == 0 {
			return nil, found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonCredentialsMissing, "Secret %s/%s has no entry %s", ws.Namespace, name, entry).final()
		}
	}
	return data, nil
}

// keyring is the ring of audit keys of the WALStore's own namespace.
func (o *opener) keyring(ctx context.Context, ws *v1alpha1.WALStore) (*audit.Keyring, map[string][]byte, error) {
	name := ws.Spec.Audit.KeySecretRef.Name
	data, err := o.secret(ctx, ws.Namespace, name)
	if err != nil {
		return nil, nil, secretFinding(v1alpha1.ConditionAuditReady, v1alpha1.ReasonAuditKeyMissing, ws.Namespace, name, err)
	}
	keys, err := audit.NewKeyring(data)
	if err != nil {
		return nil, nil, found(v1alpha1.ConditionAuditReady, v1alpha1.ReasonAuditKeyInvalid, "Secret %s/%s: %v", ws.Namespace, name, err).final()
	}
	if _, err := keys.Current(); err != nil {
		return nil, nil, found(v1alpha1.ConditionAuditReady, v1alpha1.ReasonAuditKeyMissing, "Secret %s/%s: %v", ws.Namespace, name, err).final()
	}
	return keys, data, nil
}

func (o *opener) secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	var s corev1.Secret
	if err := o.secrets.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &s); err != nil {
		return nil, err
	}
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	return s.Data, nil
}

func secretFinding(condition, reason, namespace, name string, err error) *finding {
	if apierrors.IsNotFound(err) {
		return found(condition, reason, "Secret %s/%s does not exist", namespace, name).final()
	}
	return found(condition, reason, "Secret %s/%s could not be read: %v", namespace, name, err)
}
