// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !failpoint

package main

import (
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// mountFailpoints does nothing in this build.
func mountFailpoints(*http.ServeMux) {}

// serveFailpoints does nothing in this build.
func serveFailpoints(manager.Manager) error { return nil }
