// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package test starts real clusters and compares the machine before and after.
//
// The tests need root and half a minute each, so they hide behind a build tag:
//
//	go test -tags cluster ./test
//
// They run in network and mount name spaces of their own, beside a cluster
// that may be running; with SALVOR_TEST_HOST=1 they run on the machine itself,
// which must then be without a cluster.
package test
