// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
)

func newStoreConformCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "conform",
		Short: "Be the writer that `salvor conformance` drives: the reference store",
		Long: `Runs the reference store, with its log in SALVOR_DATA_DIR and its root at SALVOR_ROOT,
and answers the lines of docs/protocol.md, section 9. A commit is a transaction and
a checkpoint; it is ok when the checkpoint is published.`,
		Example: `  salvor conformance --writer 'salvor store conform'`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return conform(cmd.Context(), os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// conformWait bounds the tries to publish a commit that is in the log.
const conformWait = 10 * time.Second

// conformer answers lines out of a reference store.
type conformer struct {
	s   *store.Store
	out io.Writer
}

func conform(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	root, dir := os.Getenv("SALVOR_ROOT"), os.Getenv("SALVOR_DATA_DIR")
	if root == "" || dir == "" {
		return errors.New("SALVOR_ROOT and SALVOR_DATA_DIR are not set: `salvor conformance` sets them")
	}
	s, err := store.New(store.Options{
		Dir: dir, Writer: manifest.WriterID(os.Getenv("SALVOR_WRITER")), Process: manifest.ProcessID(newID()),
		OpenRoot: func(ctx context.Context) (objstore.Bucket, error) { return rooturl.Open(ctx, root, rooturl.Options{}) },
		NewID:    newID, NewLogID: func() [16]byte { return ulid.Make() }, Jitter: rand.Float64,
		Checkpoint: time.Hour, SegmentSize: 1 << 20, Await: conformWait, Poll: 20 * time.Millisecond,
		Report: func(line string) { fmt.Fprintln(stderr, line) },
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.WithoutCancel(ctx)) }()
	for s.Status().State != control.Serving {
		select {
		case err := <-ended:
			return err
		case <-s.Changed():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	c := &conformer{s: s, out: stdout}
	c.say("ready")
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	for {
		select {
		case err := <-ended: // fenced for good, or its disk failed
			return err
		case line, more := <-lines:
			if !more {
				bounded, cancel := context.WithTimeout(ctx, conformWait)
				defer cancel()
				if err := s.Shutdown(bounded); err != nil {
					fmt.Fprintln(stderr, "ended before everything was done; the log has it:", err)
				}
				return nil
			}
			c.line(ctx, line)
		}
	}
}

func (c *conformer) say(words ...string) {
	fmt.Fprintln(c.out, strings.ReplaceAll(strings.Join(words, " "), "\n", " "))
}

func (c *conformer) line(ctx context.Context, line string) {
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "commit":
		c.commit(ctx, rest)
	case "read":
		c.read(ctx, rest)
	default:
		c.say("failed", "no such line:", word)
	}
}

// commit makes the content durable in the log, and then publishes it. What is in
// the log and could not be published is neither ok nor failed: it goes out later.
func (c *conformer) commit(ctx context.Context, raw string) {
	var content map[string]json.RawMessage
	if err := json.Unmarshal([]byte(raw), &content); err != nil {
		c.say("failed", err.Error())
		return
	}
	t := store.Transaction{ID: newID()}
	for _, table := range slices.Sorted(maps.Keys(content)) {
		t.Statements = append(t.Statements, store.Statement{Op: store.OpPut, Table: table, Key: "value", Row: content[table]})
	}
	if _, err := c.s.Transact(ctx, t); err != nil {
		c.say("unknown", err.Error())
		return
	}
	for deadline := time.Now().Add(conformWait); ; {
		res, err := c.s.Checkpoint(ctx)
		if err == nil { // no operation: recovery published it meanwhile
			c.say("ok", string(res.Operation))
			return
		}
		var required *recovery.RequiredError
		var newer *envelope.FormatError
		if errors.As(err, &newer) || time.Now().After(deadline) || errors.As(err, &required) && required.Writer != manifest.WriterID(os.Getenv("SALVOR_WRITER")) ||
			objstore.Sleep(ctx, 20*time.Millisecond) != nil {
			c.say("unknown", err.Error())
			return
		}
	}
}

func (c *conformer) read(ctx context.Context, table string) {
	res, err := c.s.Transact(ctx, store.Transaction{Statements: []store.Statement{{Op: store.OpGet, Table: table, Key: "value"}}})
	switch {
	case err != nil:
		c.say("failed", err.Error())
	case len(res.Results) == 1 && res.Results[0].Found:
		c.say("value", string(res.Results[0].Row))
	default:
		c.say("none")
	}
}
