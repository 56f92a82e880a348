// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/conformance"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/rooturl"
)

// conformanceFlags are the flags of salvor conformance.
type conformanceFlags struct {
	root, writer, only, output string
	patience                   time.Duration
	verbose                    bool
}

func newConformanceCommand() *cobra.Command {
	f := &conformanceFlags{}
	cmd := &cobra.Command{
		Use:   "conformance",
		Short: "Tell whether a store, in any language, keeps the protocol",
		Long: `Without --writer: checks every object of a root that a store has written, and
changes nothing: names, first lines and digests, the line of publications, whether
each entry was admissible, sidecars, pins and the versions that they name.

With --writer: runs the store's command again and again over an S3 endpoint on
loopback that watches each request, and kills it before and after every write,
loses answers and requests, slows it down, fences it, and lets others be faster;
then recovers, starts it again, and checks that what was acknowledged is there,
once. --root is where the roots of these runs are kept, each under a name of its
own (default: in memory); one that shows a breach is not removed.

The command gets SALVOR_ROOT, SALVOR_WRITER and SALVOR_DATA_DIR, and speaks lines on
its standard input and output: docs/protocol.md, section 9. A breach names its rule
and the section of that page.

Exit codes: 0 passed, 1 failed, 2 could not run.`,
		Example: `  salvor conformance --root file:///var/lib/salvor/root
  salvor conformance --writer 'python3 examples/python/writer.py'
  salvor conformance --writer 'salvor store conform' --root file:///var/lib/salvor/runs -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.output != "text" && f.output != "json":
				return fmt.Errorf("--output %q: want text or json", f.output)
			case f.writer != "":
				return drive(cmd, f)
			case f.root == "":
				return errors.New("nothing to look at: want --root, --writer, or both")
			}
			return checkRoot(cmd, f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.root, "root", "", "the root to check, or where the roots of the runs are kept: s3://bucket/prefix?endpoint=..., file:///directory")
	fl.StringVar(&f.writer, "writer", "", "the command that runs the store, for a shell")
	fl.StringVar(&f.only, "only", "", "only the cases whose names contain this")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	fl.DurationVar(&f.patience, "timeout", time.Minute, "how long the writer may take for an answer")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "also name the cases that passed")
	return cmd
}

func checkRoot(cmd *cobra.Command, f *conformanceFlags) error {
	b, err := rooturl.Open(cmd.Context(), f.root, rooturl.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	p := newProgress(cmd.ErrOrStderr())
	rep, err := conformance.CheckRoot(cmd.Context(), b, func(done string) { p.say("%s", done) })
	if err != nil {
		return err
	}
	out := &rootFlags{output: f.output}
	if err := out.print(cmd.OutOrStdout(), rep, func(w io.Writer) {
		printViolations(w, "", rep.Violations)
		fmt.Fprintf(w, "store %s, version %d: %d objects, %d pending operations, %d breaches\n",
			rep.Store, rep.Newest, rep.Objects, rep.Pending, len(rep.Violations))
	}); err != nil {
		return err
	}
	if len(rep.Violations) > 0 {
		return bad("the root breaks the protocol in %d places", len(rep.Violations))
	}
	return nil
}

func drive(cmd *cobra.Command, f *conformanceFlags) error {
	var b objstore.Bucket = mem.New(mem.Options{})
	if f.root != "" {
		var err error
		if b, err = rooturl.Open(cmd.Context(), f.root, rooturl.Options{}); err != nil {
			return err
		}
	}
	defer b.Close()
	dir, err := os.MkdirTemp("", "salvor-conformance-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, n := newProgress(cmd.ErrOrStderr()), 0
	res, err := conformance.Drive(cmd.Context(), conformance.Options{
		Bucket: b, Writer: f.writer, Dir: dir, NewID: newID, Only: f.only, Patience: f.patience,
		Done: func(c conformance.Case) {
			n++
			p.say("%d cases, the last: %s", n, c.Name)
			if f.output == "text" {
				printCase(cmd.OutOrStdout(), c, f.verbose)
			}
		},
	})
	if err != nil {
		return err
	}
	out := &rootFlags{output: f.output}
	if err := out.print(cmd.OutOrStdout(), res, func(w io.Writer) {
		fmt.Fprintf(w, "%d cases, %d failed, %d were not reached\n", len(res.Cases), res.Failed, res.NotReached())
	}); err != nil {
		return err
	}
	if res.Failed > 0 {
		return bad("the writer breaks the protocol in %d of %d cases", res.Failed, len(res.Cases))
	}
	return nil
}

func printCase(w io.Writer, c conformance.Case, verbose bool) {
	word := "ok"
	switch {
	case len(c.Violations) > 0:
		word = "FAILED"
	case !verbose:
		return
	case c.NotReached:
		word = "not reached"
	}
	fmt.Fprintf(w, "%s\t%s\t(%d requests, %s)\n", word, c.Name, c.Requests, c.Took.Round(time.Millisecond))
	printViolations(w, "\t", c.Violations)
}

func printViolations(w io.Writer, indent string, all []conformance.Violation) {
	for _, v := range all {
		fmt.Fprintf(w, "%s%s\n", indent, v)
	}
}
