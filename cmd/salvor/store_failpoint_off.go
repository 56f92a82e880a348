// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !failpoint

package main

import "net/http"

// mountFailpoints does nothing in this build.
func mountFailpoints(*http.ServeMux) {}
