// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/salvor-io/salvor/controllers"
)

// leaseName elects the operator that acts.
const leaseName = "operator.recovery.salvor.io"

// renewDeadline is controller-runtime's default: requests about the Lease take no longer.
const renewDeadline = 10 * time.Second

// operatorFlags are the flags of salvor operator.
type operatorFlags struct {
	options        controllers.Options
	namespaces     []string
	elect          bool
	leaseNamespace string
	leaseIdentity  string
	metrics        string
	metricsOpen    bool
	certDir        string
	health         string
	qps            float32
	burst          int
	kubeconfig     string
	logFormat      string
	logLevel       string
}

func newOperatorCommand() *cobra.Command {
	f := &operatorFlags{}
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Watch stores in a cluster, and heal what their writers leave behind",
		Long: `Runs the operator. It watches WALStores, keeps a status stream to each of their
pods, and when one dies it finishes or closes what that one had begun.

Any number of copies may run; one acts, by a Lease. The Lease only elects: what
keeps two from harming each other is the epoch in each store's manifest.`,
		Example: `  salvor operator
  salvor operator --namespaces shop,billing --metrics-bind-address 0
  salvor operator --leader-elect=false --allow-local-roots --kubeconfig ~/.kube/config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	fl, o := cmd.Flags(), &f.options
	fl.StringSliceVar(&f.namespaces, "namespaces", nil, "namespaces to watch (default: all)")
	fl.BoolVar(&f.elect, "leader-elect", true, "let one of several copies act; the Lease is given back at the end")
	fl.StringVar(&f.leaseNamespace, "leader-election-namespace", "", "namespace of the Lease (default: the operator's own)")
	fl.StringVar(&f.leaseIdentity, "leader-election-identity", "", "who holds the Lease: no two processes that live at the same time may have the same; one that comes after "+
		"another of that name, as a restarted container does in its pod, goes on at once (default: the host's name and a random id)")
	fl.StringVar(&f.metrics, "metrics-bind-address", ":8443", "address of the metrics, HTTPS; 0 for none")
	fl.BoolVar(&f.metricsOpen, "metrics-insecure", false, "serve the metrics over HTTP to anybody; by default callers need a token that may get /metrics")
	fl.StringVar(&f.certDir, "metrics-cert-dir", "", "directory with tls.crt and tls.key for the metrics (default: self-signed)")
	fl.StringVar(&f.health, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 for none")
	fl.IntVar(&o.MaxStreams, "max-streams", 1000, "status streams to keep; writers beyond it are watched by pod status and the sweep")
	fl.DurationVar(&o.SweepEvery, "sweep-interval", 10*time.Minute, "time between two listings of a root; streams and pod events do not wait for it")
	fl.DurationVar(&o.IdleSweepEvery, "idle-sweep-interval", 0, "time between two listings of a root in which nothing happens and whose pods all report (default: six times --sweep-interval)")
	fl.DurationVar(&o.ProbeEvery, "probe-interval", 24*time.Hour, "time after which a root has to show again that it refuses to create a name twice")
	fl.DurationVar(&o.OrphanAfter, "orphan-after", 5*time.Minute, "how long a writer may be without a pod, where its WALStore does not say")
	fl.IntVar(&o.Concurrency, "concurrency", 256, "operations recovered at the same time")
	fl.StringVar(&o.StoreImage, "store-image", "", "image of managed stores that name none")
	fl.StringSliceVar(&o.AmbientRoots, "ambient-roots", nil, "roots that the operator's own cloud identity may open: s3://bucket/prefix, or s3://bucket/ and all below; gs:// and azblob://, with ?storage_account=NAME where the WALStore names it (default: none)")
	fl.BoolVar(&o.AllowLocalRoots, "allow-local-roots", false, "take file:// and mem:// roots: for one machine, and for tests")
	fl.StringVar(&o.ClusterID, "cluster-id", "", "what tells this cluster from others in the claims of roots (default: the uid of kube-system)")
	fl.Float32Var(&f.qps, "kube-api-qps", 400, "requests a second to the API server; it has its own fairness")
	fl.IntVar(&f.burst, "kube-api-burst", 800, "requests to the API server at once, beyond --kube-api-qps")
	fl.StringVar(&f.kubeconfig, "kubeconfig", "", "file to reach the API server with (default: KUBECONFIG, or the pod's own)")
	fl.StringVar(&f.logFormat, "log-format", "json", "json or text")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (f *operatorFlags) run(ctx context.Context) error {
	log, err := f.logger()
	if err != nil {
		return err
	}
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("klog"))
	cfg, err := f.config()
	if err != nil {
		return fmt.Errorf("find the API server: %w", err)
	}
	options, err := f.manager(log)
	if err != nil {
		return err
	}
	if f.elect {
		lease, err := f.lease(cfg)
		if err != nil {
			return fmt.Errorf("set up the Lease: %w", err)
		}
		options.LeaderElectionResourceLockInterface, f.options.Leads = lease, controllers.Leading(lease, time.Now)
	}
	if f.options.Nodes, err = controllers.MayWatchNodes(ctx, cfg); err != nil {
		return fmt.Errorf("ask whether nodes may be watched: %w", err)
	}
	if !f.options.Nodes {
		log.Info("nodes are not watched: the right to list and watch them is missing (config/rbac/nodes); a node that is cordoned is noticed when its pods are evicted, not before")
	}
	mgr, err := ctrl.NewManager(cfg, options)
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	if err := controllers.Setup(ctx, mgr, f.options, metrics.Registry); err != nil {
		return err
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return err
	}
	if err := serveFailpoints(mgr); err != nil {
		return err
	}
	log.Info("operator", "version", version, "namespaces", f.namespaces)
	return mgr.Start(ctx)
}

func (f *operatorFlags) manager(log logr.Logger) (ctrl.Options, error) {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return ctrl.Options{}, err
	}
	cache, err := controllers.CacheOptions(f.namespaces)
	if err != nil {
		return ctrl.Options{}, err
	}
	shutdown := 5 * time.Second
	o := ctrl.Options{
		Scheme: scheme, Logger: log, Cache: cache, Client: controllers.ClientOptions(),
		LeaderElection: f.elect, LeaderElectionID: leaseName, LeaderElectionNamespace: f.leaseNamespace,
		LeaderElectionReleaseOnCancel: true, // the process ends right after
		HealthProbeBindAddress:        f.health,
		GracefulShutdownTimeout:       &shutdown,
		Metrics:                       metricsserver.Options{BindAddress: f.metrics, CertDir: f.certDir},
	}
	if !f.metricsOpen {
		o.Metrics.SecureServing = true
		o.Metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return o, nil
}

// lease is what elects this process. Its identity is known here, so that a step that
// destroys something can ask whether it still holds the Lease.
func (f *operatorFlags) lease(cfg *rest.Config) (resourcelock.Interface, error) {
	namespace := f.leaseNamespace
	if namespace == "" {
		raw, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
		if err != nil {
			return nil, fmt.Errorf("this is no pod, so say in which namespace it is: --leader-election-namespace: %w", err)
		}
		namespace = strings.TrimSpace(string(raw))
	}
	identity := f.leaseIdentity
	if identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, err
		}
		identity = host + "_" + newID()
	}
	return resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: identity}, cfg, renewDeadline)
}

func (f *operatorFlags) config() (*rest.Config, error) {
	if f.kubeconfig != "" {
		if err := os.Setenv("KUBECONFIG", f.kubeconfig); err != nil {
			return nil, err
		}
	}
	cfg, err := config.GetConfig()
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst = f.qps, f.burst
	cfg.UserAgent = "salvor-operator/" + version
	return cfg, nil
}

func (f *operatorFlags) logger() (logr.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return logr.Logger{}, fmt.Errorf("--log-level: %w", err)
	}
	o := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "json":
		return logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, o)), nil
	case "text":
		return logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, o)), nil
	default:
		return logr.Logger{}, fmt.Errorf("--log-format %q: want json or text", f.logFormat)
	}
}
