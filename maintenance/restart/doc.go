// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package restart decides whether a pod whose log has failed is restarted.
//
// A log that has failed takes nothing any more, and only a process that opens it again,
// and so reads the disk, can tell what is there. So a restart is the cure, where the
// cause is gone with it:
//
//	IO, ReadOnlyFilesystem, Misuse, Other    a restart may help: three in an hour for one pod
//	DiskFull                                 it does not: a person makes the volume larger;
//	                                         when there is room, a restart, out of the same budget
//	the store does not say                   a person looks
//
// # The life of one restart
//
//	poisoned ── its operations are settled ── Record ── Evict ── the pod is away ── it serves
//	                                            │         └ refused by a budget: again after a while
//	                                            └ written down before it is done: whoever comes
//	                                              next counts it, and does it, once
//
// Nothing is lost by it. What the pod has acknowledged is in its log; where the log goes
// with the pod (an emptyDir), the root has to cover it first. The eviction gives the
// process its grace period, in which it publishes what it can.
//
// One pod of a store at a time, so that a bad volume class does not take all of them
// away at once. A write lock holds nothing back: what starts heeds it, and a freeze
// promises that nothing is published, not that nobody restarts. A poisoned pod serves
// nobody, so it does not wait for a window either.
//
// It is pure: what is seen goes in, a verdict for each pod comes out.
package restart
