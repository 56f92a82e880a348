// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/salvor-io/salvor/hack/cluster/internal/build"
	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/progress"
)

// Up starts the cluster, or what of it does not run. Each step looks first
// whether it is done, so a start that was interrupted anywhere is taken up by
// the next one.
func Up(ctx context.Context, log *progress.Log, c Config) (*State, error) {
	bins, err := build.Ensure(ctx, log, build.Node...)
	if err != nil {
		return nil, err
	}
	lock, err := Lock(ctx, c.Name, func() { log.Printf("waiting for another command on cluster %s", c.Name) })
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	s, err := Load(c.Name)
	if errors.Is(err, ErrNoCluster) {
		s, err = newState(c)
	} else if err == nil {
		err = s.widen(c)
	}
	if err != nil {
		return nil, err
	}
	run := &starter{State: s, log: log, bins: bins, lock: lock}
	step, guess := "start cluster "+c.Name, 15*time.Second
	if s.running("kubelet-0") { // only look after it: a quick look must not be taken for a start next time
		step, guess = "look after cluster "+c.Name, time.Second
	}
	err = log.Step(step, guess, func() error { return run.all(ctx) })
	if err != nil {
		err = fmt.Errorf("%w\nup goes on from here, down removes what is there; logs are in %s", err, s.path("logs"))
	}
	return s, err
}

// widen adds the nodes that are asked for beyond those of an existing cluster.
// Nothing else of it can be changed.
func (s *State) widen(c Config) error {
	for flag, same := range map[string]bool{
		"pod-cidr":      s.PodCIDR == c.PodCIDR.Masked(),
		"service-cidr":  s.ServiceCIDR == c.ServiceCIDR.Masked(),
		"fast-restarts": s.Options.FastRestarts == c.Options.FastRestarts,
		"audit-log":     s.Options.AuditLog == c.Options.AuditLog,
		"node-grace":    s.Options.NodeGrace == c.Options.NodeGrace,
		"own-cores":     s.Options.OwnCores == c.Options.OwnCores,
	} {
		if !same && c.Asked(flag) {
			return fmt.Errorf("cluster %s was started with another --%s: run down first", s.Name, flag)
		}
	}
	for len(s.Nodes) < c.Nodes {
		if err := s.addNode(); err != nil {
			return err
		}
	}
	return s.save()
}

func (r *starter) all(ctx context.Context) error {
	images, err := packSystemImages(r.bins)
	if err != nil {
		return err
	}
	if err := r.prepareHost(ctx); err != nil {
		return err
	}
	certs, err := r.issueAll()
	if err != nil {
		return err
	}
	// Container runtimes need no API server: they use the time it takes to start.
	early, earlyCtx := errgroup.WithContext(ctx)
	early.Go(func() error { return r.controlPlane(earlyCtx, certs) })
	for _, n := range r.Nodes {
		early.Go(func() error { return r.startRuntime(earlyCtx, n, images) })
	}
	if err := early.Wait(); err != nil {
		return err
	}
	r.log.Printf("API server answers at %s", r.url("apiserver"))
	a, err := r.api()
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.applyAddons(groupCtx, r.bins["kubectl"]) })
	group.Go(func() error { return r.startProxy(groupCtx, a) })
	for _, n := range r.Nodes {
		group.Go(func() error { return r.startKubelet(groupCtx, n, certs) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	r.log.Printf("%d node(s) ready", len(r.Nodes))
	for _, d := range [][2]string{{"kube-system", "coredns"}, {"local-path-storage", "local-path-provisioner"}} {
		if err := until(ctx, patience, func(ctx context.Context) error { return a.available(ctx, d[0], d[1]) }); err != nil {
			return err
		}
	}
	return nil
}

// controlPlane starts etcd and what stands upon it, and waits until the API
// server answers.
func (r *starter) controlPlane(ctx context.Context, certs certificates) error {
	if _, err := r.start("etcd", "etcd", r.etcdArgs(certs)...); err != nil {
		return err
	}
	args, err := r.apiserverArgs(certs)
	if err != nil {
		return err
	}
	server, err := r.start("apiserver", "kube-apiserver", args...)
	if err != nil {
		return err
	}
	address := r.Nodes[0].Address() + ":" + strconv.Itoa(r.Ports["apiserver"])
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if _, err := r.startArgv("relay", self, RelayCommand, address, "127.0.0.1:"+strconv.Itoa(r.Ports["apiserver"])); err != nil {
		return err
	}
	a, err := r.api()
	if err != nil {
		return err
	}
	if err := r.wait(ctx, server, patience, func(ctx context.Context) error { return a.get(ctx, "/readyz", nil) }); err != nil {
		return err
	}
	if _, err := r.start("controller-manager", "kube-controller-manager", r.managerArgs(certs)...); err != nil {
		return err
	}
	_, err = r.start("scheduler", "kube-scheduler", r.schedulerArgs()...)
	return err
}

// startProxy starts kube-proxy, one for all nodes, since they share the
// kernel's packet filter. It looks for its node first and then every five
// seconds, so the node must exist before.
func (r *starter) startProxy(ctx context.Context, a *api) error {
	args, err := r.proxyArgs()
	if err != nil {
		return err
	}
	err = until(ctx, patience, func(ctx context.Context) error {
		return a.get(ctx, "/api/v1/nodes/"+r.Nodes[0].Name, nil)
	})
	if err != nil {
		return err
	}
	_, err = r.start("proxy", "kube-proxy", args...)
	return err
}

// startRuntime starts a node's containerd and gives it the cluster's images.
func (r *starter) startRuntime(ctx context.Context, n Node, images []string) error {
	config, err := r.writeContainerd(n, r.bins)
	if err != nil {
		return err
	}
	runtime, err := r.start("containerd-"+n.suffix(), "containerd", "--config", config)
	if err != nil {
		return err
	}
	err = r.wait(ctx, runtime, patience, func(ctx context.Context) error {
		_, err := host.Run(ctx, r.bins["ctr"], "--address", r.socket(n), "plugins", "ls", "-q")
		return err
	})
	if err != nil {
		return err
	}
	return r.loadOnce(ctx, r.bins["ctr"], n, images)
}

// startKubelet starts a node's kubelet and waits until the node is ready.
func (r *starter) startKubelet(ctx context.Context, n Node, certs certificates) error {
	args, err := r.writeKubelet(n, certs.ca)
	if err != nil {
		return err
	}
	kubelet, err := r.start("kubelet-"+n.suffix(), "kubelet", args...)
	if err != nil {
		return err
	}
	a, err := r.api()
	if err != nil {
		return err
	}
	return r.wait(ctx, kubelet, patience, func(ctx context.Context) error { return a.nodeReady(ctx, n.Name) })
}
