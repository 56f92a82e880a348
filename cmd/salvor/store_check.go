// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/store"
)

func newStoreCheckCommand() *cobra.Command {
	f := &rootFlags{}
	o := store.CheckOptions{NewID: newID}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a data directory that no process runs on, and that it fits its root",
		Long: `Reads every transaction of the log in --data-dir as a start would, and changes
nothing. With --root also every table version of its writer, and whether log and root meet: nothing is missing between
them, they are of one history, and the root is not an older copy. All that is wrong is
printed with its file, the byte in it and what to do.

Exit codes: 0 good, 1 bad, 2 could not look (a process runs on the directory, say).`,
		Example: `  salvor store check --data-dir /var/lib/salvor
  salvor store check --data-dir /var/lib/salvor --root s3://stores/orders -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.root != "" {
				b, err := f.open(cmd.Context())
				if err != nil {
					return err
				}
				defer b.Close()
				o.Root = b
			} else if f.output != "text" && f.output != "json" {
				return fmt.Errorf("--output %q: want text or json", f.output)
			}
			p := newProgress(cmd.ErrOrStderr())
			o.Progress = func(done string) { p.say("%s", done) }
			c, err := store.Check(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := f.print(cmd.OutOrStdout(), c, func(w io.Writer) { printChecked(w, c) }); err != nil {
				return err
			}
			if n := len(c.Faults); n > 0 {
				return bad("%d faults: do not start a process here before they are seen to", n)
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&o.Dir, "data-dir", "salvor-data", "directory of the local log")
	fl.StringVar(&o.TablePrefix, "table-prefix", "", "what the ids of the writer's tables begin with (default: the writer and a dot)")
	fl.StringVar(&f.root, "root", "", "the store's root; without it only the directory is looked at")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	return cmd
}

func printChecked(w io.Writer, c *store.Checked) {
	for _, f := range c.Faults {
		at := f.Path
		if at != "" {
			at = fmt.Sprintf(" %s at byte %d", at, f.Offset)
		}
		fmt.Fprintf(w, "%s%s: %s\n", f.Damage, at, f.Says)
	}
	l := c.Log
	fmt.Fprintf(w, "writer %s: positions %d to %d, %d transactions in %d segments of %d bytes, a checkpoint covers %d\n",
		c.Writer, l.First, l.Last, l.Transactions, len(l.Segments), l.Bytes, l.Checkpoint)
	if c.Root {
		fmt.Fprintf(w, "root of store %s: %d tables, it covers position %d, %d transactions are in this directory only\n", c.Store, c.Tables, c.Covered, c.Behind)
	}
	fmt.Fprintf(w, "%d faults\n", len(c.Faults))
}
