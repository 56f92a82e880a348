// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers is where Kubernetes meets the library. Nothing is decided
// here: detect says who is dead, recovery says what to do about an operation, and
// the manifest says what was done.
//
// # From a killed writer to a healed store
//
//	pod ledger-0     streams.go            recoverysidecar_controller.go      root
//	    |  status line: open [01KA]            |                                |
//	    |------------->|                       |                                |
//	    x  SIGKILL     |                       |                                |
//	       end of file |  detect: Suspect      |                                |
//	    -------------->|  get recovery/01KA    |                                |
//	                   |-------------------------------------------------------->
//	                   |  create RecoverySidecar ledger-01ka-5f3c0a1b           |
//	                   |---------------------->|  detect: its epoch may end     |
//	                   |                       |  Recover(recovery/01KA)        |
//	                   |                       |------------------------------->|
//	                   |                       |  fence + publish, audit, delete|
//	                   |                       |  one status apply: Complete    |
//	    <------------------------------------------ POST refresh, if it lives
//
// Two API writes a recovery: the resource is created, its status is applied.
//
// # Who watches what
//
//	WALStore controller         WALStores (spec), StatefulSets owned or adopted, disruption budgets, nodes; wake: streams, recoveries
//	StoreMaintenance controller StoreMaintenances (spec, deletion); wake: what pods say of a lock, stores whose lock nobody knows
//	HookRun controller          HookRuns, pods of their stores, their StoreMaintenances; what it does it writes down first
//	RecoverySidecar controller  RecoverySidecars (spec, creation); wake: streams, sweeps, the WALStore controller
//	Streams                     pods with the label recovery.salvor.io/store; one status stream to each
//
// wake (wake.go) is a source of requests from inside this process, with a
// priority: a writer that was seen to die comes before what a listing finds.
//
// # Who writes what
//
//	WALStore status             WALStore controller only, by server-side apply, one at most a pass
//	RecoverySidecar             created by the sweeper (sweep.go) only; deleted by retire.go and by the garbage collector
//	RecoverySidecar status      RecoverySidecar controller only
//	StoreMaintenance status     StoreMaintenance controller only, over the version that it read
//	HookRun                     created by the StoreMaintenance controller; deleted by it and by the HookRun controller
//	HookRun status              HookRun controller only, over the version that it read
//	locks of maintenances       StoreMaintenance controller only, under the epoch of this operator
//	StatefulSet, Service,       WALStore controller, by server-side apply, for managed stores
//	disruption budget
//	evictions                   WALStore controller, of pods whose logs have failed, after its status has written them down
//	orders, fences of writers   WALStore controller: what single pods are asked to do before they go (fleet_act.go),
//	whose pods were removed     and what ends when they are gone
//	identity and claim          opening.go, identity.go
//	other fences, outcomes, rows  recovery.Recoverer, called by the RecoverySidecar controller and nobody else
//	litter, trimmed ids         recovery.Recoverer, called by the sweeper and the WALStore controller
//
// # Files
//
//	setup.go options.go wake.go single.go     wiring
//	opening.go identity.go roots.go           a root: which store, is it ours, does it keep its promises
//	bucket.go tokens.go                       whose credentials, and how it is asked
//	pace.go                                   when it is looked at again
//	walstore_controller.go walstore_status.go readiness.go conditions.go
//	workload.go managed.go storeset.go storeroot.go   pods: adopted, or run by us
//	fleet.go fleet_act.go changing.go         pods that are drained, replaced and removed; maintenance/rollout decides
//	budgets.go nodes.go                       whether pods may go, and that they will
//	poison*.go volume.go                      pods whose logs have failed, restarted where that helps; maintenance/restart decides
//	streams.go dialling.go writers.go looking.go pods.go
//	sweep.go naming.go ledger.go              what pends, and the resource for it
//	recoverysidecar_controller.go report.go describe.go retire.go results.go
//	hooks_*.go                                what maintenances do in pods that do not speak control
//	maintenance_*.go windows.go               freezes, and when work is done that may wait
//	finding.go status.go metrics.go rbac.go
//
// # What can be lost
//
// Everything in memory here is a cache or a queue. A process that starts knows
// nothing, lists each root once and goes on; two that run at once (a paused
// leader) do each thing once, because the manifest and the audit trail say so.
package controllers
