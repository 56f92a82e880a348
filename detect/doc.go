// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package detect says who is dead. Facts about streams, pods, nodes and
// registrations go in, each with its time; verdicts come out. It has no clock, no
// goroutine and no handle on anything: the same facts give the same verdicts.
//
// # The life of one writer
//
//	manifest     stream             pod              verdict
//	--------     ------             ---              -------
//	-            -                  -                Suspect  NoPod            5 minutes, then Dead, Orphaned
//	E1(p1)       open: p1, E1       running          Alive    Streaming
//	E1(p1)       closed             running          Suspect  StreamClosed     p1's epoch may be ended
//	E1(p1)       closed             terminated       Dead     ContainerTerminated
//	2(fenced)    -                  starting         Dead     NotRunning       nothing left to end
//	E3(p2)       open: p2, E3       running          Alive    Streaming
//
// # Nothing here has to be right
//
// A stream makes suspect, the fence in the manifest makes safe: a live writer
// that was fenced by mistake registers again and goes on. So suspicion acts at
// once, and what is wrong costs a registration. What this package owes is that
// mistakes stay few (one process is not fenced again and again) and that they
// never come by the dozen (below).
//
// # Whose epoch
//
// A verdict names the process that it is about. The stream of process p1 closed:
// p1's epoch may be ended, and not that of its successor p2, of which nothing was
// heard yet. Where the evidence names no process (no container runs at all, no pod
// exists) it is about every process of that writer.
//
// # Self-doubt
//
// When more than a fifth of the streams, and at least five, are lost within a
// second, it is more likely that we are cut off than that they all died:
// Isolated. Until the streams are back, only writers whose pod or node status
// shows death may be fenced, and at most ten in a second. So that the first ones
// of such a burst are spared too, a lost stream of a fleet that large is held for
// a second before it may cost an epoch, or until the pod's own kernel has refused
// a connection: then the way there is open and nobody listens.
package detect
