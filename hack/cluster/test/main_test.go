// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
)

// insideEnv says that the name spaces were made already.
const insideEnv = "SALVOR_TEST_INSIDE"

// TestMain starts itself again in name spaces of its own, so that a cluster
// that runs on the machine and the tests' own do not meet.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests start nodes, which wants root: run them with sudo -E")
		os.Exit(1)
	}
	switch {
	case os.Getenv("SALVOR_TEST_HOST") != "":
	case os.Getenv(insideEnv) == "":
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), insideEnv+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	default:
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// furnish makes the new name spaces look like a machine without a cluster.
func furnish() error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	// Copies of a running cluster's mounts would come and go with its pods, and
	// keep alive what that cluster believes unmounted.
	if err := host.UnmountAll(paths.State()); err != nil {
		return err
	}
	for _, dir := range []string{"/var/lib/kubelet", "/var/lib/cni", "/var/log/containers"} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("hide %s: %w", dir, err)
		}
	}
	return nil
}

// tool is the built program with a state folder of its own.
type tool struct {
	t     *testing.T
	path  string
	state string
	name  string
}

func newTool(t *testing.T) *tool {
	t.Helper()
	state, err := os.MkdirTemp("/var/tmp", "sc")
	if err != nil {
		t.Fatal(err)
	}
	c := &tool{t: t, path: filepath.Join(t.TempDir(), "cluster"), state: state, name: "t" + fmt.Sprint(os.Getpid())}
	build := exec.Command("go", "build", "-o", c.path, "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	if err := os.Remove(state); err != nil { // "up" makes it, "down" must remove it
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Whatever the test did, nothing of it may stay on the machine.
		if out, err := c.command(context.Background(), "down").CombinedOutput(); err != nil {
			t.Errorf("clean up: %v: %s", err, out)
		}
	})
	return c
}

func (c *tool) command(ctx context.Context, args ...string) *exec.Cmd {
	if args[0] != "build" {
		args = append(args, "--name", c.name)
	}
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = append(os.Environ(), "SALVOR_STATE="+c.state)
	return cmd
}

// run runs a command that must succeed and returns its standard output.
func (c *tool) run(args ...string) string {
	c.t.Helper()
	out, text, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return out
}

func (c *tool) try(args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute) // a cold run builds first
	defer cancel()
	cmd := c.command(ctx, args...)
	var out, text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &text
	err = cmd.Run()
	return strings.TrimSpace(out.String()), text.String(), err
}

// kubectl runs the pinned kubectl.
func (c *tool) kubectl(stdin string, args ...string) (string, error) {
	c.t.Helper()
	path, err := exec.Command(c.path, "tool", "kubectl").Output()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(strings.TrimSpace(string(path)), append([]string{"--kubeconfig", filepath.Join(c.state, c.name, "kubeconfig")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// eventually repeats a check until it holds.
func (c *tool) eventually(within time.Duration, what string, check func() (string, bool)) {
	c.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(200 * time.Millisecond) {
		last, ok := check()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: not within %s; last: %s", what, within, last)
		}
	}
}
