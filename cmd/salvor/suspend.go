// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

func newSuspendCommand() *cobra.Command {
	f := &clusterFlags{}
	var reason string
	var last, wait time.Duration
	cmd := &cobra.Command{
		Use:   "suspend STORE --reason TEXT --for DURATION",
		Short: "Make the operator leave a store alone for a while",
		Long: `Sets spec.suspend of a WALStore, in your own name: nothing is recovered, fenced or
published, and the pods are left as they are, until the time that you give, whether
anybody is there to resume or not. Writers go on: to stop those, freeze.

A store that somebody else has suspended is not taken over: resume it first.

Exit codes: 0 suspended, and the operator has seen it; 1 somebody else has suspended
it, or no operator has said that it has seen it; 2 it could not be asked for.`,
		Example: `  kubectl salvor suspend ledger --reason 'the root is being moved' --for 2h
  kubectl salvor suspend -n shop ledger --reason 'looking at a lost operation' --for 30m --wait 0s`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if last <= 0 {
				return fmt.Errorf("--for %s: want a time from now, such as 30m", last)
			}
			ctx := cmd.Context()
			c, namespace, err := f.open()
			if err != nil {
				return err
			}
			var ws v1alpha1.WALStore
			key := client.ObjectKey{Namespace: namespace, Name: args[0]}
			if err := c.Get(ctx, key, &ws); err != nil {
				return err
			}
			me, err := whoAmI(ctx, c)
			if err != nil {
				return err
			}
			if s := ws.Spec.Suspend; s.Holds(time.Now()) && s.By != me {
				return bad("%s is %s already; ask %s, or: kubectl salvor resume -n %s %s", key, s, s.By, namespace, args[0])
			}
			patch := client.MergeFromWithOptions(ws.DeepCopy(), client.MergeFromWithOptimisticLock{})
			ws.Spec.Suspend = &v1alpha1.Suspension{By: me, Reason: reason, Until: metav1.NewTime(time.Now().Add(last).Truncate(time.Second))}
			if err := c.Patch(ctx, &ws, patch); err != nil {
				return fmt.Errorf("suspend %s: %w", key, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n", key, ws.Spec.Suspend)
			if wait <= 0 {
				return nil
			}
			return awaitSuspended(ctx, c, &ws, wait)
		},
	}
	f.addTo(cmd)
	fl := cmd.Flags()
	fl.StringVar(&reason, "reason", "", "told to everybody who looks (required)")
	fl.DurationVar(&last, "for", 0, "how long at most, such as 30m (required)")
	fl.DurationVar(&wait, "wait", 30*time.Second, "wait so long until the operator has seen it; 0: not at all")
	must(cmd.MarkFlagRequired("reason"))
	must(cmd.MarkFlagRequired("for"))
	return cmd
}

func newResumeCommand() *cobra.Command {
	f := &clusterFlags{}
	cmd := &cobra.Command{
		Use:   "resume STORE",
		Short: "Let the operator act on a suspended store again",
		Long: `Takes spec.suspend of a WALStore away, whoever has set it. What pends is looked at
at once. A store that is not suspended is left as it is.

Exit codes: 0 not suspended (any more); 2 it could not be asked for.`,
		Example: `  kubectl salvor resume -n shop ledger`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, out := cmd.Context(), cmd.OutOrStdout()
			c, namespace, err := f.open()
			if err != nil {
				return err
			}
			var ws v1alpha1.WALStore
			key := client.ObjectKey{Namespace: namespace, Name: args[0]}
			if err := c.Get(ctx, key, &ws); err != nil {
				return err
			}
			was := ws.Spec.Suspend
			if was == nil {
				fmt.Fprintf(out, "%s is not suspended\n", key)
				return nil
			}
			patch := client.MergeFromWithOptions(ws.DeepCopy(), client.MergeFromWithOptimisticLock{})
			ws.Spec.Suspend = nil
			if err := c.Patch(ctx, &ws, patch); err != nil {
				return fmt.Errorf("resume %s: %w", key, err)
			}
			fmt.Fprintf(out, "%s is resumed; it was %s\n", key, was)
			return nil
		},
	}
	f.addTo(cmd)
	return cmd
}

// whoAmI asks the API server under which name it knows the caller.
func whoAmI(ctx context.Context, c client.Client) (string, error) {
	me := &authenticationv1.SelfSubjectReview{}
	if err := c.Create(ctx, me); err != nil {
		return "", fmt.Errorf("ask the API server who you are: %w", err)
	}
	return me.Status.UserInfo.Username, nil
}

// awaitSuspended waits until the operator says that it leaves the store alone: what it
// had begun before may have gone on until then.
func awaitSuspended(ctx context.Context, c client.Client, ws *v1alpha1.WALStore, within time.Duration) error {
	tick, over := time.NewTicker(200*time.Millisecond), time.NewTimer(within)
	defer tick.Stop()
	defer over.Stop()
	key, generation := client.ObjectKeyFromObject(ws), ws.Generation
	for {
		err := c.Get(ctx, key, ws)
		ready := apimeta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionReady)
		if err == nil && ready != nil && ready.Reason == v1alpha1.ReasonSuspended && ws.Status.ObservedGeneration >= generation {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-over.C:
			return bad("%s: after %s no operator has said that it has seen it; what it had begun may go on: see whether it runs", key, within)
		}
	}
}
