package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/salvor-io/salvor/hack/cluster/internal/build"
	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/proc"
	"github.com/salvor-io/salvor/hack/cluster/internal/progress"
)

// patience is how long any one thing may take. It is long because a process
// that died is noticed at once, and a machine may be busy with other work.
const patience = 4 * time.Minute

// starter is one run of "up" or of a node command.
type starter struct {
	*State
	log  *progress.Log
	bins map[string]string
	lock *os.File
}

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
	err = log.Step("start cluster "+c.Name, 15*time.Second, func() error { return run.all(ctx) })
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
	if err := r.controlPlane(ctx, certs); err != nil {
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
		group.Go(func() error { return r.startNode(groupCtx, n, certs, images) })
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

// prepareHost changes what pods need of the machine.
func (r *starter) prepareHost(ctx context.Context) error {
	want := map[string]string{}
	for key := range r.Sysctls { // only what existed and is remembered
		want[key] = host.Sysctls[key]
	}
	if err := host.WriteSysctls(want); err != nil {
		return err
	}
	for _, n := range r.Nodes {
		if err := host.EnsureBridge(ctx, n.Bridge, n.Network); err != nil {
			return err
		}
		if err := host.EnsureCgroup(r.cgroup(n)); err != nil {
			return err
		}
	}
	if err := host.HairpinTable(ctx, r.table(), r.otherNetworks()); err != nil {
		return err
	}
	if !r.Forwarding && host.ForwardDrops(ctx) {
		r.Forwarding = true
		if err := r.save(); err != nil {
			return err
		}
	}
	if r.Forwarding {
		return host.ForwardRules(ctx, r.PodCIDR, true)
	}
	return nil
}

// otherNetworks are those of all nodes but the first, which is kube-proxy's.
func (s *State) otherNetworks() []netip.Prefix {
	var networks []netip.Prefix
	for _, n := range s.Nodes[1:] {
		networks = append(networks, n.Network)
	}
	return networks
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

// startNode starts one node and waits until it is ready.
func (r *starter) startNode(ctx context.Context, n Node, certs certificates, images []string) error {
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
	if err := r.loadOnce(ctx, r.bins["ctr"], n, images); err != nil {
		return err
	}
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

// start runs one of the built programs under a name.
func (r *starter) start(name, program string, args ...string) (proc.Record, error) {
	return r.startArgv(name, append([]string{r.bins[program]}, args...)...)
}

func (r *starter) startArgv(name string, argv ...string) (proc.Record, error) {
	return proc.Start(proc.Spec{
		Name: name, Argv: argv, Records: r.path("run"), Logs: r.path("logs"), Lock: r.lock,
		Env: []string{
			"HOME=/", "TMPDIR=" + os.TempDir(),
			"PATH=" + binPath(r.bins, "containerd", "runc"),
		},
	})
}

// wait repeats a check while the process lives; a process that died is told
// with its last words.
func (r *starter) wait(ctx context.Context, p proc.Record, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := until(ctx, within, func(ctx context.Context) error {
		if !p.Alive() {
			cancel(fmt.Errorf("%s ended: see %s\n%s", p.Name, r.path("logs", p.Name+".log"), r.lastWords(p.Name)))
		}
		return check(ctx)
	})
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%s: %w (see %s)", p.Name, err, r.path("logs", p.Name+".log"))
}

// lastWords is the end of a process's log.
func (s *State) lastWords(name string) string {
	data, err := os.ReadFile(s.path("logs", name+".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// running tells whether the named process of the cluster lives.
func (s *State) running(name string) bool {
	r, err := proc.Read(s.path("run", name+".json"))
	return err == nil && r.Alive()
}

func (n Node) suffix() string { return strconv.Itoa(n.Index) }
