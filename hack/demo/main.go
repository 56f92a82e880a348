// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Demo shows the main job on the cluster that KUBECONFIG names: a three-pod store
// under load, one pod killed by SIGKILL between its table writes and its
// publication, and what a user wants to see of it. Exit code 0 only if nothing
// was lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

const namespace, name = "demo", "orders"

func main() {
	down := flag.Bool("down", false, "remove what the demo installed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	act := demo
	if *down {
		act = cleanUp
	}
	if err := act(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo: FAILED:", err)
		os.Exit(1)
	}
}

func cleanUp(ctx context.Context) error {
	h, err := harness.Connect(os.Stdout)
	if err != nil {
		return err
	}
	h.Say("deleting the store, the operator and the object store")
	return errors.Join(
		h.DeleteNamespace(ctx, namespace, 2*time.Minute),
		h.UninstallOperator(ctx),
		h.DeleteNamespace(ctx, harness.OperatorNamespace, 2*time.Minute),
		h.DeleteNamespace(ctx, harness.StorageNamespace, 2*time.Minute),
	)
}

func demo(ctx context.Context) error {
	machine, err := cluster.FromEnvironment()
	if err != nil {
		return err
	}
	h, err := harness.Connect(os.Stdout)
	if err != nil {
		return err
	}
	if err := install(ctx, h); err != nil {
		return err
	}
	options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 3, Interval: "1s", Image: harness.FailpointImage}
	h.Say("creating the store %s: three pods, a checkpoint every second", name)
	if err := h.CreateStore(ctx, options, 3*time.Minute); err != nil {
		return err
	}
	root, closeRoot, err := h.Bucket(ctx, options.RootURI())
	if err != nil {
		return err
	}
	defer closeRoot()
	h.Say("starting the load: transactions over two tables each, every acknowledged one written down")
	load, err := h.StartLoad(ctx, options, 50)
	if err != nil {
		return err
	}
	h.Say("waiting for pod %s-1 to stand between its table writes and its publication", name)
	stories := tell(ctx, h)
	heal, err := h.KillAt(ctx, machine, harness.Victim{
		Namespace: namespace, Store: name, Pod: name + "-1", Container: "store", Bucket: root,
	}, failpoint.WriterConfirmed)
	if err != nil {
		return err
	}
	if heal.Outcome.Kind != manifest.KindPublish || heal.Outcome.By.Role != manifest.RoleRecovery {
		return fmt.Errorf("the confirmed operation came to %+v", heal.Outcome)
	}
	<-stories
	h.Say("exit code %d; operation %s published by %s in manifest %d", heal.ExitCode, heal.Operation, heal.Outcome.By.Role, heal.Outcome.Version)
	h.Say("healed %4d ms after the kill", heal.ToHealed().Milliseconds())
	h.Say("the pod was ready again after %4d ms", heal.ToReady().Milliseconds())
	h.Say("stopping the load and checking the data against what was acknowledged")
	acked, err := load.StopAndVerify(ctx)
	if err != nil {
		return err
	}
	h.Say("%d acknowledged transactions: every one is there, no half of one", acked)
	return report(ctx, h, options)
}

// install does what an admin would. The images are there: `make demo` loaded them.
func install(ctx context.Context, h *harness.Harness) error {
	h.Say("starting versitygw, a real S3 server")
	if err := h.StartStorage(ctx); err != nil {
		return err
	}
	h.Say("installing the operator (config/default)")
	return h.InstallOperator(ctx)
}

// tell prints the RecoverySidecar as it appears and resolves; the channel is
// closed when one is complete.
func tell(ctx context.Context, h *harness.Harness) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		w, err := h.Watch(ctx, &v1alpha1.RecoverySidecarList{}, client.InNamespace(namespace))
		if err != nil {
			h.Say("watch: %v", err)
			return
		}
		defer w.Stop()
		for e := range w.ResultChan() {
			s, ok := e.Object.(*v1alpha1.RecoverySidecar)
			if !ok {
				continue
			}
			complete := meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionComplete)
			h.Say("  recoverysidecar/%s  phase=%s decision=%s complete=%v  %s", s.Name, s.Status.Phase, s.Status.Decision, complete, s.Status.Message)
			if complete {
				return
			}
		}
	}()
	return done
}

// report prints what a user looks at first.
func report(ctx context.Context, h *harness.Harness, o harness.StoreOptions) error {
	if err := h.StoreReady(ctx, namespace, name, time.Minute); err != nil {
		return err
	}
	out, err := h.Kubectl(ctx, "get", "salvor", "-A")
	if err != nil {
		return err
	}
	fmt.Printf("\n$ kubectl get salvor -A\n%s", out)
	log, err := h.RunSalvor(ctx, o, "audit", time.Minute, "audit", "ls", "--root", o.InClusterRoot())
	if err != nil {
		return err
	}
	fmt.Printf("\n$ salvor audit ls\n%s\n", log)
	h.Say("nothing was lost")
	return nil
}
