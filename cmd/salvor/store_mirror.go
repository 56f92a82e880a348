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

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/mirror"
)

func newStoreMirrorCommand() *cobra.Command {
	f := &rootFlags{}
	cmd := &cobra.Command{
		Use:   "mirror",
		Short: "Look at the mirrors of logs in a root, remove one",
		Args:  cobra.NoArgs,
	}
	f.addTo(cmd)
	cmd.AddCommand(newStoreMirrorShowCommand(f), newStoreMirrorDropCommand(f))
	return cmd
}

func newStoreMirrorShowCommand(f *rootFlags) *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show up to which position each writer could be restored without its disk, and from what",
		Long: `Reads the mirrors alone; no pod is needed. For each writer: the position up to which the
root has its log, the state that a restore begins with, and the ranges behind it.

Exit codes: 0 every mirror is whole, 1 one is not, 2 could not look.`,
		Example: `  salvor store mirror show --root s3://stores/orders
  salvor store mirror show --root file:///var/lib/salvor/root --deep -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			found, err := examineMirrors(cmd.Context(), m.Bucket(), m.View(), deep)
			if err != nil {
				return err
			}
			if err := f.print(cmd.OutOrStdout(), found, func(w io.Writer) { printMirrors(w, found) }); err != nil {
				return err
			}
			broken := 0
			for _, c := range found {
				if c.Problem != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), c.Problem)
					broken++
				}
			}
			if broken > 0 {
				return bad("%d mirrors are not whole", broken)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "read every object that a restore reads whole, not only its first line")
	return cmd
}

func newStoreMirrorDropCommand(f *rootFlags) *cobra.Command {
	var writer string
	var yes bool
	cmd := &cobra.Command{
		Use:   "drop",
		Short: "Remove the mirror of one writer, and with it what only the mirror has",
		Long: `Removes everything of a writer below wal/ and snapshot/. What its checkpoints cover stays.

Stop the writer first. Use it for a writer that is gone for good, or to go on without a
mirror that is damaged: the writer then starts from its newest checkpoint.`,
		Example: `  salvor store mirror drop --root s3://stores/orders --writer orders-2 --yes`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := manifest.WriterID(writer).Validate(); err != nil {
				return err
			}
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			covered := coveredBy(m.View(), writer, []string{writer})
			c, err := mirror.Examine(cmd.Context(), m.Bucket(), m.Identity().UID, writer, covered, false)
			if err != nil {
				return err
			}
			if !yes {
				return fmt.Errorf("the checkpoints of %s cover position %d, its mirror goes up to %d: what is between is gone then, unless its disk has it: say --yes", writer, covered, c.End)
			}
			n, err := mirror.Drop(cmd.Context(), m.Bucket(), writer, nil)
			if err != nil {
				return fmt.Errorf("%d objects were removed: %w", n, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "removed %d objects of the mirror of %s; its checkpoints cover position %d\n", n, writer, covered)
			return nil
		},
	}
	cmd.Flags().StringVar(&writer, "writer", "", "whose mirror (required)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	must(cmd.MarkFlagRequired("writer"))
	return cmd
}

// examineMirrors looks at every mirror of a root.
func examineMirrors(ctx context.Context, b objstore.Bucket, st *manifest.State, deep bool) ([]*mirror.Check, error) {
	writers, err := mirror.Writers(ctx, b)
	if err != nil {
		return nil, err
	}
	found := []*mirror.Check{}
	for _, w := range writers {
		c, err := mirror.Examine(ctx, b, st.Store, w, coveredBy(st, w, writers), deep)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, nil
}

// coveredBy is the position of a writer's log that its tables cover: those whose ids begin
// with its name, or, where it has other ones, those that are nobody else's.
func coveredBy(st *manifest.State, writer string, writers []string) log.Position {
	covered, own := log.Position(0), false
	others := log.Position(0)
	for id, pin := range st.Tables {
		name, _, _ := cutLast(string(id))
		switch {
		case name == writer:
			covered, own = max(covered, log.Position(pin.Position)), true
		case !slices.Contains(writers, name):
			others = max(others, log.Position(pin.Position))
		}
	}
	if own {
		return covered
	}
	return others
}

// cutLast cuts a table's id behind the name of its writer: no table name has a dot.
func cutLast(id string) (writer, table string, ok bool) {
	i := strings.LastIndexByte(id, '.')
	if i < 0 {
		return "", id, false
	}
	return id[:i], id[i+1:], true
}

// verifyMirrors looks at the mirrors beside the manifest, and adds what is wrong with them.
func verifyMirrors(ctx context.Context, b objstore.Bucket, v *manifest.Verification, deep bool) ([]*mirror.Check, error) {
	writers, err := mirror.Writers(ctx, b)
	if err != nil || len(writers) == 0 {
		return nil, err
	}
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: newID})
	if err != nil {
		return nil, nil //nolint:nilerr // the manifest's own problems say why, and come first
	}
	found, err := examineMirrors(ctx, b, m.View(), deep)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		if c.Problem != nil {
			v.Problems = append(v.Problems, mirrorProblem(c))
		}
	}
	return found, nil
}

func mirrorProblem(c *mirror.Check) manifest.Problem {
	p := manifest.Problem{
		Key: mirror.RangePrefix + c.Writer, Defect: manifest.Missing, Detail: c.Problem.Error(),
		Remedy: "the writer goes on with its disk; without, it waits until this is mended",
	}
	var object *mirror.ObjectError
	if errors.As(c.Problem, &object) {
		p.Key = object.Key
		switch object.Defect {
		case mirror.Foreign:
			p.Defect = manifest.Foreign
		case mirror.Damaged, mirror.Newer:
			p.Defect = manifest.Unreadable
		}
	}
	return p
}

func printMirrors(w io.Writer, found []*mirror.Check) {
	for _, c := range found {
		from := fmt.Sprintf("the checkpoints at %d", c.Base)
		if c.Snapshot != "" {
			from = c.Snapshot
		}
		whole := ""
		if c.Problem != nil {
			whole = ", NOT WHOLE"
		}
		fmt.Fprintf(w, "mirror of %s: up to position %d, from %s and %d ranges; %d bytes, %d objects that no restore needs%s\n",
			c.Writer, c.End, from, len(c.Ranges), c.Bytes, c.Others, whole)
		for _, key := range c.Strange {
			fmt.Fprintf(w, "left alone, not salvor's: %s\n", key)
		}
	}
}
