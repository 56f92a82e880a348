// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/salvor-io/salvor/audit"
)

// localKeyring reads the keys in dir, or those in own, which are made when they
// are not there yet: a store on one machine needs a signed trail too.
func localKeyring(dir, own string) (*audit.Keyring, error) {
	if dir != "" {
		return audit.ReadKeyring(dir)
	}
	keys, err := audit.ReadKeyring(own)
	if err == nil && len(keys.IDs()) > 0 {
		if _, err := keys.Current(); err == nil {
			return keys, nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(own, 0o700); err != nil {
		return nil, fmt.Errorf("make audit keys: %w", err)
	}
	// The key before the file that names it: a crash in between leaves a ring
	// without a current key, which is completed the next time.
	for _, f := range []struct{ name, content string }{{"local", rand.Text() + rand.Text()}, {audit.CurrentName, "local"}} {
		path := filepath.Join(own, f.name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, []byte(f.content+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("make audit keys: %w", err)
		}
	}
	return audit.ReadKeyring(own)
}
