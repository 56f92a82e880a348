// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// finding says why a condition does not hold: what readiness.go and report.go
// turn into words for people.
type finding struct {
	// Condition that it belongs to.
	Condition string
	Reason    string
	Message   string
	// Final: nothing will change until a person does something.
	Final bool
}

// Error implements error.
func (f *finding) Error() string { return f.Reason + ": " + f.Message }

func found(condition, reason, format string, args ...any) *finding {
	return &finding{Condition: condition, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func (f *finding) final() *finding {
	f.Final = true
	return f
}

// rootFinding is what a failure to work with a root says about it.
func rootFinding(err error) *finding {
	var f *finding
	var id *manifest.IdentityError
	var newer *envelope.FormatError
	var object *manifest.ObjectError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &id):
		return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootSwapped, "%v", id).final()
	case errors.As(err, &newer):
		return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootNewerFormat, "%v", err).final()
	case errors.As(err, &object):
		return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootUnreadable, "%v", err).final()
	case errors.Is(err, manifest.ErrNoStore):
		return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootEmptied, "%v", err).final()
	default:
		return found(v1alpha1.ConditionRootClaimed, requestReason(err), "%s", short(err))
	}
}

// requestReason tells apart why requests to an object store fail.
func requestReason(err error) string {
	switch {
	case errors.Is(err, objstore.ErrAccessDenied):
		return v1alpha1.ReasonAccessDenied
	case errors.Is(err, objstore.ErrNoSuchBucket):
		return v1alpha1.ReasonNoSuchBucket
	default:
		return v1alpha1.ReasonRootUnreachable
	}
}

// auditFinding is what a failure to read or append to the trail says about it.
func auditFinding(err error) *finding {
	var f *finding
	var broken *audit.Break
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &broken) && (broken.Why == audit.CutTail || broken.Why == audit.Missing):
		return found(v1alpha1.ConditionAuditReady, v1alpha1.ReasonAuditChainCut, "%v", err).final()
	case errors.As(err, &broken):
		return found(v1alpha1.ConditionAuditReady, v1alpha1.ReasonAuditChainBroken, "%v", err).final()
	case errors.Is(err, audit.ErrNoCurrentKey):
		return found(v1alpha1.ConditionAuditReady, v1alpha1.ReasonAuditKeyMissing, "%v", err).final()
	default:
		return found(v1alpha1.ConditionAuditReady, v1alpha1.ReasonAuditUnreadable, "%s", short(err))
	}
}

// isAudit reports whether err comes from the trail itself and not from a request.
func isAudit(err error) bool {
	var broken *audit.Break
	var conflict *audit.ConflictError
	return errors.As(err, &broken) || errors.As(err, &conflict) || errors.Is(err, audit.ErrNoCurrentKey) || errors.Is(err, audit.ErrInvalidRow)
}

// isAway reports whether err says that the object store does not answer us, so
// that every operation of the store would fail alike.
func isAway(err error) bool {
	if err == nil || isAudit(err) || errors.Is(err, context.Canceled) {
		return false
	}
	var id *manifest.IdentityError
	var object *manifest.ObjectError
	var newer *envelope.FormatError
	return !errors.As(err, &id) && !errors.As(err, &object) && !errors.As(err, &newer)
}

// messageMost bounds messages, in bytes: a condition takes 32 KiB, an event 1 KiB.
const messageMost = 900

// short is an error's text, bounded.
func short(err error) string {
	s := err.Error()
	if len(s) <= messageMost {
		return s
	}
	return s[:messageMost] + " ..."
}
