// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build failpoint

package main

import (
	"net"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/salvor-io/salvor/internal/failpoint"
)

// failpointAddress is where a test parks an operator.
const failpointAddress = ":8412"

// mountFailpoints lets a test park this process, on the control listener.
func mountFailpoints(mux *http.ServeMux) { mux.Handle("/failpoint/v1/", failpoint.Handler()) }

// serveFailpoints lets a test park the operator, on a port of its own, whether it
// is elected or not.
func serveFailpoints(mgr manager.Manager) error {
	l, err := net.Listen("tcp", failpointAddress)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mountFailpoints(mux)
	return mgr.Add(&manager.Server{
		Name: "failpoints", Listener: l,
		Server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
	})
}
