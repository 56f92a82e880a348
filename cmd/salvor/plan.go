// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
)

// exitPlanned: looked, and something would be done.
const exitPlanned = 3

// planned is what would be done about one pending operation.
type planned struct {
	Namespace   string        `json:"namespace,omitempty"`
	Name        string        `json:"name,omitempty"` // of the RecoverySidecar
	Operation   string        `json:"operation"`
	Writer      string        `json:"writer,omitempty"`
	Disposition string        `json:"disposition"`
	Decision    string        `json:"decision,omitempty"`
	Reason      string        `json:"reason,omitempty"`
	Message     string        `json:"message,omitempty"`
	PlanHash    string        `json:"planHash,omitempty"`
	Approved    bool          `json:"approved,omitempty"`
	Tables      []plannedStep `json:"tables,omitempty"`
}

type plannedStep struct {
	Table    string `json:"table"`
	Head     string `json:"head,omitempty"`
	Restores string `json:"restores,omitempty"`
}

func newPlanCommand() *cobra.Command {
	f, root := &clusterFlags{}, &rootFlags{}
	var all, endEpochs bool
	cmd := &cobra.Command{
		Use:   "plan [NAME...]",
		Short: "Say what would be done about pending operations, and do nothing",
		Long: `Tells of each pending operation what would become of it: from the RecoverySidecars
of a cluster, or with --root by looking at a root itself. Nothing is written.

A plan that undoes something that readers can see has a hash. Who has looked at it
approves that hash: salvor approve.

Exit codes: 0 nothing is left to do, 1 something waits for a person or cannot be
told, 2 it could not be looked at, 3 changes are planned.`,
		Example: `  kubectl salvor plan
  kubectl salvor plan -n shop orders-01m8221ygp6rry5fkny8s0jggf-6a63f325 -o json
  salvor plan --root file:///var/lib/salvor/root --end-epochs`,
		RunE: func(cmd *cobra.Command, names []string) error {
			var plans []planned
			var err error
			if root.root != "" {
				if len(names) > 0 {
					return errors.New("--root takes no names: it tells of all that is pending there")
				}
				plans, err = plansOfRoot(cmd.Context(), root, endEpochs)
			} else {
				plans, err = plansOfCluster(cmd.Context(), f, all, names)
			}
			if err != nil {
				return err
			}
			if plans == nil {
				plans = []planned{}
			}
			if err := root.print(cmd.OutOrStdout(), plans, func(w io.Writer) { tellPlans(w, plans) }); err != nil {
				return err
			}
			return verdictOf(plans)
		},
	}
	f.addTo(cmd)
	fl := cmd.Flags()
	fl.BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	fl.StringVar(&root.root, "root", "", "look at this root itself, without a cluster")
	fl.BoolVar(&endEpochs, "end-epochs", false, "with --root: no writer of this store runs")
	fl.StringVarP(&root.output, "output", "o", "text", "text or json")
	return cmd
}

// verdictOf is the exit code of a look.
func verdictOf(plans []planned) error {
	changes, blocked := 0, 0
	for _, p := range plans {
		switch recovery.Disposition(p.Disposition) {
		case recovery.RollForwardRequired, recovery.NeedsCompensation:
			changes++
		case recovery.Clean:
		default:
			blocked++
		}
	}
	switch {
	case changes > 0:
		return &exitError{exitPlanned, fmt.Errorf("changes are planned for %d of %d pending operations", changes, len(plans))}
	case blocked > 0:
		return bad("%d of %d pending operations wait for a person, or cannot be told", blocked, len(plans))
	}
	return nil
}

func tellPlans(w io.Writer, plans []planned) {
	if len(plans) == 0 {
		fmt.Fprintln(w, "nothing is pending")
	}
	for _, p := range plans {
		name := p.Operation
		if p.Name != "" {
			name = p.Namespace + "/" + p.Name
		}
		fmt.Fprintf(w, "%s\n  operation    %s of writer %s\n  disposition  %s\n  decision     %s (%s)\n  because      %s\n", name, p.Operation, p.Writer, p.Disposition, p.Decision, p.Reason, p.Message)
		if p.PlanHash == "" {
			continue
		}
		for _, t := range p.Tables {
			head, restores := orNone(t.Head), orNone(t.Restores)
			fmt.Fprintf(w, "  undo         %s: readers see %s, and will see what %s was\n", t.Table, head, restores)
		}
		fmt.Fprintf(w, "  plan         %s\n", p.PlanHash)
		switch {
		case p.Approved:
			fmt.Fprintln(w, "  approved")
		case p.Name != "":
			fmt.Fprintf(w, "  to approve   kubectl salvor approve -n %s %s --plan-hash %s\n", p.Namespace, p.Name, p.PlanHash)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "no table"
	}
	return s
}

func plansOfCluster(ctx context.Context, f *clusterFlags, all bool, names []string) ([]planned, error) {
	c, namespace, err := f.open()
	if err != nil {
		return nil, err
	}
	var list v1alpha1.RecoverySidecarList
	var of []client.ListOption
	if !all {
		of = append(of, client.InNamespace(namespace))
	}
	if err := c.List(ctx, &list, of...); err != nil {
		return nil, fmt.Errorf("list RecoverySidecars: %w", err)
	}
	missing := slices.Clone(names)
	var out []planned
	for i := range list.Items {
		rsc := &list.Items[i]
		if len(names) > 0 && !slices.Contains(names, rsc.Name) {
			continue
		}
		missing = slices.DeleteFunc(missing, func(n string) bool { return n == rsc.Name })
		if len(names) > 0 || !apimeta.IsStatusConditionTrue(rsc.Status.Conditions, v1alpha1.ConditionComplete) {
			out = append(out, planOfResource(rsc))
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no RecoverySidecar %s in namespace %s", strings.Join(missing, ", "), namespace)
	}
	return out, nil
}

func planOfResource(rsc *v1alpha1.RecoverySidecar) planned {
	st := &rsc.Status
	p := planned{
		Namespace: rsc.Namespace, Name: rsc.Name, Operation: strings.TrimPrefix(rsc.Spec.Key, recovery.Prefix),
		Disposition: st.Disposition, Decision: st.Decision, Reason: st.Reason, Message: st.Message,
	}
	if p.Disposition == "" || st.ObservedGeneration != rsc.Generation && rsc.Spec.Approval == nil {
		p.Disposition = string(recovery.Unknown)
	}
	if st.Writer != nil {
		p.Writer = st.Writer.ID
	}
	if st.Plan != nil {
		p.PlanHash = st.Plan.Hash
		p.Approved = rsc.Spec.Approval != nil && rsc.Spec.Approval.PlanHash == p.PlanHash
		for _, t := range st.Plan.Tables {
			p.Tables = append(p.Tables, plannedStep{Table: t.Name, Head: t.Head, Restores: t.Restores})
		}
	}
	return p
}

// plansOfRoot looks with the caller's own credentials, and has no trail: it writes nothing.
func plansOfRoot(ctx context.Context, f *rootFlags, endEpochs bool) ([]planned, error) {
	m, err := f.manifest(ctx)
	if err != nil {
		return nil, err
	}
	listed, err := recovery.List(ctx, m.Bucket())
	if err != nil {
		return nil, err
	}
	r := recovery.NewRecoverer(m, nil, recovery.RecovererOptions{Process: manifest.ProcessID(newID()), Formats: tableFormats(m.Bucket())})
	as := recovery.Exclusive{Forward: recovery.RollForwardOnly{EndEpoch: endEpochs}}
	var out []planned
	for _, l := range listed {
		rep, err := r.Recover(ctx, l.Key, recovery.Probe{As: as})
		p := planned{
			Operation: string(rep.Operation), Disposition: string(rep.Disposition(err)), Decision: rep.Verdict.Decision.String(),
			Reason: string(rep.Verdict.Reason), Message: rep.Verdict.Message, PlanHash: string(rep.PlanHash),
		}
		if err != nil {
			p.Message = err.Error()
		}
		if rep.Sidecar != nil {
			p.Writer = string(rep.Sidecar.Writer)
		}
		if rep.Plan != nil {
			for _, t := range rep.Plan.Tables {
				s := plannedStep{Table: string(t.Table)}
				if !t.Head.IsZero() {
					s.Head = t.Head.String()
				}
				if !t.Pin.IsZero() {
					s.Restores = t.Pin.Ref.String()
				}
				p.Tables = append(p.Tables, s)
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// tableFormats are the table formats with readers of their own that this program knows.
func tableFormats(b objstore.Bucket) map[recovery.WriterKind]recovery.Format {
	return map[recovery.WriterKind]recovery.Format{recovery.KindForeign: commitlog.New(b, objstore.Patience{})}
}
