// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package rollout decides how the pods of a managed store are replaced and removed, so
// that nothing that they have acknowledged is stranded on a volume that nobody reads.
//
//	smaller, from 3 to 2                         another template, 3 pods
//
//	Drain 2     no more writes, all published    Drain 2
//	Shrink      the workload has 2 pods          Replace 2   the partition is 2
//	            pod 2 ends; its volume stays     (pod 2 ready, reports, nothing pends)
//	Fence       its epoch ends                   Drain 1, Replace 1, ...
//
// One pod at a time, the highest number first, and no step while another pod is not
// ready. A pod that is to be removed has to show that it has drained: while it cannot,
// the workload keeps its size. One that is to be replaced comes back to its volume, so
// one that is broken needs to show nothing: that is how a bad template is taken back.
//
// It is pure: the workload, the pods and the clock go in, one step comes out. What was
// done before is not remembered here; it is read from the workload.
package rollout
