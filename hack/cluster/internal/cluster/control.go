// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"strconv"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/pki"
)

// url is a loopback address by the name of its port.
func (s *State) url(port string) string {
	return "https://127.0.0.1:" + strconv.Itoa(s.Ports[port])
}

// dnsAddress is the tenth address of the service network, as everywhere.
func (s *State) dnsAddress() string {
	a := s.ServiceCIDR.Addr()
	for range 10 {
		a = a.Next()
	}
	return a.String()
}

// certificates of the control plane.
type certificates struct {
	ca, front                           *pki.Authority
	etcd, server, kubelet, proxy, admin pki.Pair
	accounts                            pki.Pair
}

// issueAll makes or finds everything below pki/ and the kubeconfigs.
func (s *State) issueAll() (c certificates, err error) {
	dir := s.path("pki")
	if c.ca, err = pki.OpenAuthority(dir, "ca"); err != nil {
		return c, err
	}
	if c.front, err = pki.OpenAuthority(dir, "front-proxy-ca"); err != nil {
		return c, err
	}
	if c.accounts, err = pki.KeyPair(dir, "service-accounts"); err != nil {
		return c, err
	}
	if c.etcd, err = c.ca.Issue("etcd", "etcd", nil, "127.0.0.1", "localhost"); err != nil {
		return c, err
	}
	if c.server, err = c.ca.Issue("apiserver", "kube-apiserver", nil,
		"127.0.0.1", "localhost", s.Nodes[0].Address(), host.Gateway(s.ServiceCIDR).String(),
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"); err != nil {
		return c, err
	}
	if c.kubelet, err = c.ca.Issue("apiserver-kubelet", "kube-apiserver", []string{"system:masters"}); err != nil {
		return c, err
	}
	if c.proxy, err = c.front.Issue("front-proxy-client", "front-proxy-client", nil); err != nil {
		return c, err
	}
	if c.admin, err = c.ca.Issue("admin", "admin", []string{"system:masters"}); err != nil {
		return c, err
	}
	if err := pki.WriteKubeconfig(s.Kubeconfig(), s.Name, "admin", s.url("apiserver"), c.ca.CertFile(), c.admin); err != nil {
		return c, err
	}
	if err := giveToInvoker(s.Kubeconfig()); err != nil {
		return c, err
	}
	for file, user := range map[string]string{
		"controller-manager": "system:kube-controller-manager",
		"scheduler":          "system:kube-scheduler",
		"proxy":              "system:kube-proxy",
	} {
		pair, err := c.ca.Issue(file, user, nil)
		if err != nil {
			return c, err
		}
		if err := pki.WriteKubeconfig(s.path("conf", file+".kubeconfig"), s.Name, user, s.url("apiserver"), c.ca.CertFile(), pair); err != nil {
			return c, err
		}
	}
	return c, nil
}

// giveToInvoker makes the person behind sudo the owner of a file.
func giveToInvoker(file string) error {
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil {
		return nil // no sudo
	}
	gid, err := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil {
		return nil
	}
	return os.Chown(file, uid, gid)
}

func (s *State) etcdArgs(c certificates) []string {
	return []string{
		"--name=" + s.Name, "--data-dir=" + s.path("data", "etcd"),
		"--listen-client-urls=" + s.url("etcd"), "--advertise-client-urls=" + s.url("etcd"),
		"--listen-peer-urls=" + s.url("etcd-peer"), "--initial-advertise-peer-urls=" + s.url("etcd-peer"),
		"--initial-cluster=" + s.Name + "=" + s.url("etcd-peer"),
		"--client-cert-auth", "--trusted-ca-file=" + c.ca.CertFile(), "--cert-file=" + c.etcd.Cert, "--key-file=" + c.etcd.Key,
		"--peer-client-cert-auth", "--peer-trusted-ca-file=" + c.ca.CertFile(), "--peer-cert-file=" + c.etcd.Cert, "--peer-key-file=" + c.etcd.Key,
		"--auto-compaction-retention=0", "--log-level=warn",
	}
}

func (s *State) apiserverArgs(c certificates) ([]string, error) {
	args := []string{
		"--etcd-servers=" + s.url("etcd"), "--etcd-cafile=" + c.ca.CertFile(), "--etcd-certfile=" + c.etcd.Cert, "--etcd-keyfile=" + c.etcd.Key,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.Ports["apiserver"]),
		// Pods reach it through the relay on the first node's address.
		"--advertise-address=" + s.Nodes[0].Address(),
		"--cert-dir=" + s.path("pki"),
		"--tls-cert-file=" + c.server.Cert, "--tls-private-key-file=" + c.server.Key, "--client-ca-file=" + c.ca.CertFile(),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-cluster-ip-range=" + s.ServiceCIDR.String(),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.accounts.Cert, "--service-account-signing-key-file=" + c.accounts.Key,
		"--kubelet-certificate-authority=" + c.ca.CertFile(), "--kubelet-preferred-address-types=InternalIP",
		"--kubelet-client-certificate=" + c.kubelet.Cert, "--kubelet-client-key=" + c.kubelet.Key,
		"--requestheader-client-ca-file=" + c.front.CertFile(), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.proxy.Cert, "--proxy-client-key-file=" + c.proxy.Key,
		"--enable-aggregator-routing=true",
	}
	if s.Options.AuditLog {
		policy := s.path("conf", "audit-policy.yaml")
		text := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n"
		if err := writeConfig(policy, text); err != nil {
			return nil, err
		}
		args = append(args, "--audit-policy-file="+policy, "--audit-log-path="+s.AuditLog())
	}
	return args, nil
}

// AuditLog is where the API server writes one JSON line per request, if asked to.
func (s *State) AuditLog() string { return s.path("logs", "audit.log") }

// managerArgs: leader election is off, since a lone instance that loses its
// lease on a busy machine would end itself.
func (s *State) managerArgs(c certificates) []string {
	conf := s.path("conf", "controller-manager.kubeconfig")
	args := []string{
		"--kubeconfig=" + conf, "--authentication-kubeconfig=" + conf, "--authorization-kubeconfig=" + conf,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.Ports["controller-manager"]),
		"--leader-elect=false", "--use-service-account-credentials=true",
		"--root-ca-file=" + c.ca.CertFile(), "--service-account-private-key-file=" + c.accounts.Key,
		"--cluster-signing-cert-file=" + c.ca.CertFile(), "--cluster-signing-key-file=" + c.ca.KeyFile(),
		"--requestheader-client-ca-file=" + c.front.CertFile(),
		"--cluster-cidr=" + s.PodCIDR.String(), "--service-cluster-ip-range=" + s.ServiceCIDR.String(),
		"--flex-volume-plugin-dir=" + s.path("conf", "flex"),
	}
	if s.Options.NodeGrace > 0 {
		args = append(args, "--node-monitor-grace-period="+s.Options.NodeGrace.String())
	}
	return args
}

func (s *State) schedulerArgs() []string {
	conf := s.path("conf", "scheduler.kubeconfig")
	return []string{
		"--kubeconfig=" + conf, "--authentication-kubeconfig=" + conf, "--authorization-kubeconfig=" + conf,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.Ports["scheduler"]), "--leader-elect=false",
	}
}

// proxyArgs writes the configuration. The conntrack settings of the machine
// are left alone, and node ports listen on the nodes' own addresses only.
func (s *State) proxyArgs() ([]string, error) {
	file := s.path("conf", "proxy.yaml")
	text := fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: %[1]s
hostnameOverride: %[2]s
nodePortAddresses: [%[1]s]
healthzBindAddress: 127.0.0.1:%[3]d
metricsBindAddress: 127.0.0.1:%[4]d
clientConnection:
  kubeconfig: %[5]s
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
nftables:
  minSyncPeriod: 100ms
`, s.PodCIDR, s.Nodes[0].Name, s.Ports["proxy-health"], s.Ports["proxy-metrics"], s.path("conf", "proxy.kubeconfig"))
	return []string{"--config=" + file}, writeConfig(file, text)
}
