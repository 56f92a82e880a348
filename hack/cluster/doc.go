// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Command cluster runs a real Kubernetes cluster on one machine, from programs
// built from pinned Go modules. End-to-end tests crash real pods in it.
//
// # The life of a cluster
//
//	doctor ── judges facts ──> all findings at once, exit 2 if one blocks
//	   │
//	build ─── pinned modules ─> ~/.cache/salvor/bin/<module>-<content hash>/
//	   │                        shared by checkouts; nothing here is ever changed
//	  up ──┬─ 1 write down: names, ports, kernel settings as they are   cluster.json
//	       ├─ 2 change the machine: settings, bridges, control groups
//	       ├─ 3 etcd ─> API server ─> relay, controller-manager, scheduler
//	       ├─ 4 per node: containerd ─> own images ─> kubelet
//	       ├─ 5 kube-proxy, as soon as the first node is known
//	       └─ 6 cluster DNS and the volume provisioner, as pods
//	   │
//	   │   image load · container signal · node stop|start|add · status
//	   │
//	 down ─┬─ 1 per node: kubelet, containerd, shims, what is in its groups
//	       ├─ 2 the other recorded processes
//	       └─ 3 links, mounts, tables, groups, settings, files: back as written down
//
// # What holds
//
// Whatever is changed was written down before, durably. So "down" needs
// nothing but the state folder, and works after a start that died anywhere.
//
// A process has a record before it runs (proc.Launch), and is known by id and
// start time together. Only recorded processes, members of the cluster's own
// control groups and shims of its own containerd are ever ended.
//
// One command at a time changes a cluster (cluster.Lock). A process that is
// being started holds the lock too, until its record is written.
//
// Every step of "up" looks first whether it is done. So the same command
// starts, takes up an interrupted start, and starts again what died.
//
// # What listens where
//
//	127.0.0.1    API server, etcd, health ports: chosen free, kept in cluster.json
//	10.244.N.1   kubelet of node N; on node 0 a relay to the API server, for pods
//	unix         containerd and its shims, below the state folder
//
// A node is a containerd and a kubelet with their own files, bridge, /24 of the
// pod network and control groups. All nodes share the machine's kernel and
// therefore one kube-proxy, which counts itself to the first node.
//
// # The packages
//
//	main             the commands, one file each
//	internal/doctor  facts of the machine, and pure judgement of them
//	internal/build   the pinned modules and how they become programs
//	internal/cluster the life drawn above
//	internal/proc    processes that outlive their starter, and their records
//	internal/host    kernel settings, links, control groups, mounts, tables
//	internal/image   programs and files into images, without an engine
//	internal/pki     certificates and kubeconfigs
//	test             real clusters, and the machine before and after them
package main
