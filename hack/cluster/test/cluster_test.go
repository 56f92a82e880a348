// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// worker is a pod that restricted Pod Security lets in. It needs a volume and
// cluster DNS to become ready.
const worker = `
apiVersion: v1
kind: Namespace
metadata: {name: probe, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: probe}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: worker, namespace: probe}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: salvor.local/busybox:1
    imagePullPolicy: Never
    command: [sh, -c, "nslookup kubernetes.default.svc.cluster.local && ! nslookup no.such.example && echo run >> /data/runs && touch /tmp/ok && sleep 1000"]
    readinessProbe: {exec: {command: [cat, /tmp/ok]}, periodSeconds: 1}
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`

func TestLife(t *testing.T) {
	c := newTool(t)
	before := takeSnapshot(t, c.state, c.name)
	c.run("up")
	c.run("up") // already up: nothing happens
	c.run("status")
	if out, err := c.kubectl(worker, "apply", "-f", "-"); err != nil {
		t.Fatal(out)
	}
	if out, err := c.kubectl("", "-n", "probe", "wait", "--for=condition=Ready", "pod/worker", "--timeout=60s"); err != nil {
		logs, _ := c.kubectl("", "-n", "probe", "logs", "worker")
		t.Fatalf("%s\n%s", out, logs)
	}

	// Killed from outside, the container is back at once, with its volume.
	pid := c.run("container", "pid", "-n", "probe", "-p", "worker")
	best := time.Hour // of several, since the machine may be busy
	for range 5 {
		begin := time.Now()
		c.run("container", "pid", "-n", "probe", "-p", "worker")
		best = min(best, time.Since(begin))
	}
	if best > 300*time.Millisecond {
		t.Errorf("finding a container took %s", best)
	}
	if killed := c.run("container", "signal", "--signal", "KILL", "-n", "probe", "-p", "worker"); killed != pid {
		t.Errorf("signalled %s, want %s", killed, pid)
	}
	c.eventually(20*time.Second, "restart", func() (string, bool) {
		out, _ := c.kubectl("", "-n", "probe", "get", "pod", "worker", "-o",
			"jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].ready}")
		return out, out == "137 true"
	})
	if out, err := c.kubectl("", "-n", "probe", "exec", "worker", "--", "cat", "/data/runs"); err != nil || out != "run\nrun" {
		t.Errorf("after the kill the volume says %q, %v", out, err)
	}

	// A stopped container stays stopped until it is told to go on.
	c.run("container", "signal", "--signal", "STOP", "-n", "probe", "-p", "worker")
	again := c.run("container", "pid", "-n", "probe", "-p", "worker")
	c.eventually(5*time.Second, "stop", func() (string, bool) { s := processState(again); return s, s == "T" })
	c.run("container", "signal", "--signal", "CONT", "-n", "probe", "-p", "worker")
	c.eventually(5*time.Second, "go on", func() (string, bool) { s := processState(again); return s, s == "S" })

	c.run("down")
	before.compare(t, "after down", takeSnapshot(t, c.state, c.name))
	c.run("down")
	before.compare(t, "after a second down", takeSnapshot(t, c.state, c.name))
}

// processState is the letter the kernel shows for a process.
func processState(pid string) string {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return err.Error()
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return rest[:1]
}

func TestDownWithoutUp(t *testing.T) {
	c := newTool(t)
	before := takeSnapshot(t, c.state, c.name)
	c.run("down")
	before.compare(t, "after down without up", takeSnapshot(t, c.state, c.name))
}

// The starter is killed at moments all over its way, which are shares of what
// a whole start takes here and now; each time "down" finds everything, and the
// last time "up" goes on where it was.
func TestStarterKilled(t *testing.T) {
	c := newTool(t)
	c.run("build")
	before := takeSnapshot(t, c.state, c.name)
	begin := time.Now()
	c.run("up")
	whole := time.Since(begin)
	c.run("down")
	for _, permille := range []time.Duration{1, 5, 15, 40, 100, 250, 400, 550, 700, 900} {
		after := whole * permille / 1000
		killStarter(t, c, after)
		c.run("down")
		before.compare(t, "starter killed after "+after.String()+" of "+whole.String(), takeSnapshot(t, c.state, c.name))
		if t.Failed() {
			return
		}
	}
	killStarter(t, c, whole/3)
	c.run("up")
	c.run("status")
	c.run("down")
	before.compare(t, "taken up again", takeSnapshot(t, c.state, c.name))
}

func killStarter(t *testing.T, c *tool, after time.Duration) {
	t.Helper()
	cmd := c.command(context.Background(), "up")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Kill()
	if err := cmd.Wait(); err == nil {
		t.Logf("the start was done before %s", after)
	}
}

func TestNodeLoss(t *testing.T) {
	c := newTool(t)
	before := takeSnapshot(t, c.state, c.name)
	c.run("up", "--nodes", "2", "--node-grace", "8s", "--audit-log")
	node := c.name + "-1"
	ready := func(want string) func() (string, bool) {
		return func() (string, bool) {
			out, _ := c.kubectl("", "get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
			return out, out == want
		}
	}
	c.eventually(10*time.Second, "second node", ready("True"))
	c.run("node", "stop", node)
	c.eventually(40*time.Second, "loss is noticed", ready("Unknown"))
	if _, _, err := c.try("status"); err == nil {
		t.Error("status calls a cluster with a lost node whole")
	}
	c.run("node", "start", node)
	c.eventually(20*time.Second, "node is back", ready("True"))
	if third := c.run("node", "add"); third != c.name+"-2" {
		t.Errorf("added %s", third)
	}
	var status struct {
		Healthy  bool
		AuditLog string
		Nodes    []struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(c.run("status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if !status.Healthy || len(status.Nodes) != 3 {
		t.Errorf("status %+v", status)
	}
	if data, err := os.ReadFile(status.AuditLog); err != nil || !strings.Contains(string(data), `"system:node:`+node) {
		t.Errorf("audit log: %v, %d bytes", err, len(data))
	}
	c.run("down")
	before.compare(t, "after down", takeSnapshot(t, c.state, c.name))
}

// Data that was asked to stay is there after the next start.
func TestKeepData(t *testing.T) {
	c := newTool(t)
	before := takeSnapshot(t, c.state, c.name)
	c.run("up")
	if out, err := c.kubectl("", "create", "configmap", "kept"); err != nil {
		t.Fatal(out)
	}
	c.run("down", "--data=false")
	after := takeSnapshot(t, c.state, c.name)
	delete(before, "files")
	before.compare(t, "after down --data=false", after)
	c.run("up")
	if out, err := c.kubectl("", "get", "configmap", "kept"); err != nil {
		t.Error(out)
	}
	c.run("down")
}

// Down must not end what is not the cluster's, even if a record names its id.
func TestDownSparesStrangers(t *testing.T) {
	c := newTool(t)
	c.run("up")
	stranger := exec.Command("sleep", "300")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	record := `{"pid":` + strconv.Itoa(stranger.Process.Pid) + `,"start":1,"boot":"another","name":"x","argv":["x"]}`
	if err := os.WriteFile(c.state+"/"+c.name+"/run/x.json", []byte(record), 0o644); err != nil {
		t.Fatal(err)
	}
	c.run("down")
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a stranger was ended: %v", err)
	}
}
