// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build failpoint

package main

import (
	"net/http"

	"github.com/salvor-io/salvor/internal/failpoint"
)

// mountFailpoints lets a test park this process, on the control listener.
func mountFailpoints(mux *http.ServeMux) { mux.Handle("/failpoint/v1/", failpoint.Handler()) }
