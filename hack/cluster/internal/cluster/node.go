// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/pki"
)

// The images of the cluster itself.
const (
	pauseImage       = "salvor.local/pause:1"
	corednsImage     = "salvor.local/coredns:1"
	provisionerImage = "salvor.local/local-path-provisioner:1"
	shellImage       = "salvor.local/busybox:1"
)

// networkName names a node's pod network; the plugins keep files under it in
// a folder they share with other networks of the machine.
func (s *State) networkName(n Node) string { return "salvor-" + s.Name + "-" + strconv.Itoa(n.Index) }

// writeContainerd writes containerd's configuration and the pod network's.
func (s *State) writeContainerd(n Node, bins map[string]string) (string, error) {
	snapshotter := "overlayfs"
	if host.OnOverlay(s.nodePath(n, "root")) {
		snapshotter = "native" // overlay upon overlay does not mount
	}
	text := fmt.Sprintf(`version = 3
root = %[1]q
state = %[2]q
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.image-verifier.v1.bindir",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.differ.v1.erofs", "io.containerd.mount-handler.v1.erofs",
]

[grpc]
  address = %[3]q

[ttrpc]
  address = %[4]q

[plugins.'io.containerd.shim.v1.manager']
  socket_dir = %[5]q

[plugins.'io.containerd.cri.v1.images']
  snapshotter = %[6]q
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = %[7]q

[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  # Machines without CAP_SYS_RESOURCE cannot lower a score below their own.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  cdi_spec_dirs = []
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = %[8]q
        Root = %[9]q
        SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [%[10]q]
    conf_dir = %[11]q
    # Otherwise a plugin leaves one file per pod in a folder that is not ours.
    use_internal_loopback = true
`,
		s.nodePath(n, "root"), s.nodePath(n, "c"), s.socket(n), s.socket(n)+".ttrpc", s.nodePath(n, "s"),
		snapshotter, pauseImage, bins["runc"], s.nodePath(n, "runc"),
		filepath.Dir(bins["bridge"]), s.nodePath(n, "cni"))
	file := s.nodePath(n, "containerd.toml")
	if err := writeConfig(file, text); err != nil {
		return "", err
	}
	network := fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": %q,
  "plugins": [{
    "type": "bridge", "bridge": %q, "isGateway": true, "hairpinMode": true,
    "ipam": {
      "type": "host-local", "dataDir": %q,
      "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`, s.networkName(n), n.Bridge, s.nodePath(n, "ipam"), n.Network)
	return file, writeConfig(s.nodePath(n, "cni", "10-bridge.conflist"), network)
}

// writeKubelet writes kubelet's configuration and certificates, and returns
// its arguments.
func (s *State) writeKubelet(n Node, ca *pki.Authority) ([]string, error) {
	client, err := ca.Issue("kubelet-"+strconv.Itoa(n.Index), "system:node:"+n.Name, []string{"system:nodes"}, n.Name, n.Address(), "127.0.0.1")
	if err != nil {
		return nil, err
	}
	kubeconfig := s.nodePath(n, "kubelet.kubeconfig")
	if err := pki.WriteKubeconfig(kubeconfig, s.Name, "system:node:"+n.Name, s.url("apiserver"), ca.CertFile(), client); err != nil {
		return nil, err
	}
	// Pods get no name servers but the cluster's own: nothing leaves the machine.
	resolv := s.nodePath(n, "resolv.conf")
	if err := writeConfig(resolv, "nameserver "+s.dnsAddress()+"\n"); err != nil {
		return nil, err
	}
	restarts := ""
	if s.Options.FastRestarts {
		restarts = "crashLoopBackOff:\n  maxContainerRestartPeriod: 1s\n"
	}
	text := fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
port: %[2]d
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
healthzPort: %[3]d
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[4]s}
authorization: {mode: Webhook}
tlsCertFile: %[5]s
tlsPrivateKeyFile: %[6]s
clusterDomain: cluster.local
clusterDNS: [%[7]s]
resolvConf: %[8]s
containerRuntimeEndpoint: unix://%[9]s
cgroupDriver: cgroupfs
cgroupRoot: %[10]s
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
podLogsDir: %[11]s
volumePluginDir: %[12]s
serializeImagePulls: false
# Images come from no registry: one that is collected is gone.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {imagefs.available: 0%%, imagefs.inodesFree: 0%%, nodefs.available: 0%%, nodefs.inodesFree: 0%%, memory.available: 0%%}
# Tolerates what a machine without CAP_SYS_RESOURCE forbids.
featureGates: {KubeletInUserNamespace: true}
%[13]s`,
		n.Address(), n.KubeletPort, n.HealthPort, ca.CertFile(), client.Cert, client.Key,
		s.dnsAddress(), resolv, s.socket(n), s.cgroup(n), s.nodePath(n, "podlogs"), s.path("conf", "flex"), restarts)
	file := s.nodePath(n, "kubelet.yaml")
	if err := writeConfig(file, text); err != nil {
		return nil, err
	}
	return []string{
		"--config=" + file, "--kubeconfig=" + kubeconfig, "--root-dir=" + s.nodePath(n, "kubelet"), "--cert-dir=" + s.nodePath(n, "pki"),
		"--hostname-override=" + n.Name, "--node-ip=" + n.Address(),
		"--node-labels=salvor.io/cluster=" + s.Name,
	}, nil
}
