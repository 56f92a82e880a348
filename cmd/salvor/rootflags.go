// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/rooturl"
)

// rootFlags are the flags of every command that works on a root directly, with
// the caller's own credentials and without the operator.
type rootFlags struct {
	root   string
	keys   string
	output string
}

func (f *rootFlags) addTo(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.root, "root", "", "the store's root: s3://bucket/prefix?endpoint=..., gs://bucket/prefix, azblob://container/prefix?storage_account=..., file:///directory (required)")
	cmd.PersistentFlags().StringVarP(&f.output, "output", "o", "text", "text or json")
	must(cmd.MarkPersistentFlagRequired("root"))
}

func (f *rootFlags) addKeysTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.keys, "keys", "", "directory with the audit keys: one file per key id, and one named current (required)")
	must(cmd.MarkFlagRequired("keys"))
}

// open opens the root's bucket. Credentials come from the environment, as the
// cloud's own tools take them.
func (f *rootFlags) open(ctx context.Context) (objstore.Bucket, error) {
	if f.output != "text" && f.output != "json" {
		return nil, fmt.Errorf("--output %q: want text or json", f.output)
	}
	return rooturl.Open(ctx, f.root, rooturl.Options{})
}

func (f *rootFlags) manifest(ctx context.Context) (*manifest.Store, error) {
	b, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	return manifest.Open(ctx, b, manifest.Options{NewID: newID})
}

func (f *rootFlags) keyring() (*audit.Keyring, error) { return audit.ReadKeyring(f.keys) }

// print writes v as indented JSON, or lets text say it.
func (f *rootFlags) print(w io.Writer, v any, text func(io.Writer)) error {
	if f.output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	text(w)
	return nil
}

func newID() string { return ulid.Make().String() }

// must is for programming errors: a flag that does not exist.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
