// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

func newApproveCommand() *cobra.Command {
	f := &clusterFlags{}
	var hash string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "approve NAME --plan-hash HASH",
		Short: "Give your word that a plan may be carried out",
		Long: `Sets the approval of a RecoverySidecar, in your own name: it stands in the audit
trail. The hash says what you have looked at (salvor plan). It counts for that plan
only: when the state changes, there is another plan, and this one is not carried out.

It takes the verb approve on recoverysidecars: ClusterRole salvor-approver.

Exit codes: 0 approved, and with --wait carried out; 1 the plan is another by now,
or was not carried out in time; 2 it could not be approved.`,
		Example: `  kubectl salvor approve -n shop orders-01m8221ygp6rry5fkny8s0jggf-6a63f325 --plan-hash sha256:2c26b46b... --wait 1m`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, out := cmd.Context(), cmd.OutOrStdout()
			c, namespace, err := f.open()
			if err != nil {
				return err
			}
			var rsc v1alpha1.RecoverySidecar
			key := client.ObjectKey{Namespace: namespace, Name: args[0]}
			if err := c.Get(ctx, key, &rsc); err != nil {
				return err
			}
			switch p := rsc.Status.Plan; {
			case p == nil:
				return bad("%s has no plan to approve: %s (%s)", key, rsc.Status.Decision, rsc.Status.Message)
			case p.Hash != hash:
				return bad("the plan of %s is %s by now: look at it (kubectl salvor plan -n %s %s) and approve that", key, p.Hash, namespace, args[0])
			}
			me, err := whoAmI(ctx, c)
			if err != nil {
				return err
			}
			patch := client.MergeFromWithOptions(rsc.DeepCopy(), client.MergeFromWithOptimisticLock{})
			rsc.Spec.Approval = &v1alpha1.Approval{PlanHash: hash, Approver: me}
			if err := c.Patch(ctx, &rsc, patch); err != nil {
				return fmt.Errorf("approve %s: %w", key, err)
			}
			fmt.Fprintf(out, "approved by %s\n", rsc.Spec.Approval.Approver)
			if wait == 0 {
				return nil
			}
			return awaitComplete(cmd, c, key, wait)
		},
	}
	f.addTo(cmd)
	cmd.Flags().StringVar(&hash, "plan-hash", "", "hash of the plan that you have looked at (required)")
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait so long until it is carried out")
	must(cmd.MarkFlagRequired("plan-hash"))
	return cmd
}

// awaitComplete watches a RecoverySidecar until it is complete.
func awaitComplete(cmd *cobra.Command, c client.WithWatch, key client.ObjectKey, within time.Duration) error {
	w, err := c.Watch(cmd.Context(), &v1alpha1.RecoverySidecarList{}, client.InNamespace(key.Namespace),
		&client.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", key.Name)})
	if err != nil {
		return err
	}
	defer w.Stop()
	over := time.NewTimer(within)
	defer over.Stop()
	last := ""
	for {
		select {
		case e, ok := <-w.ResultChan():
			if !ok {
				return errors.New("the API server ended the watch")
			}
			rsc, ok := e.Object.(*v1alpha1.RecoverySidecar)
			if !ok {
				continue
			}
			done := apimeta.FindStatusCondition(rsc.Status.Conditions, v1alpha1.ConditionComplete)
			if done != nil && done.Status == metav1.ConditionTrue {
				fmt.Fprintln(cmd.OutOrStdout(), done.Message)
				return nil
			}
			if last != rsc.Status.Message {
				last = rsc.Status.Message
				fmt.Fprintln(cmd.ErrOrStderr(), last)
			}
		case <-over.C:
			return bad("%s is not complete after %s: %s", key, within, last)
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		}
	}
}
