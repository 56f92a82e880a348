// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log"
)

// belonging is the file store.json of a data directory: whose it is. A directory
// never serves another writer or another store than the one that it was made for.
type belonging struct {
	Writer manifest.WriterID `json:"writer"`
	// Store is the uid of the root's store; empty until the root was reached once.
	Store string `json:"store,omitempty"`
	// Probed: the root was seen to keep its promises, from here.
	Probed bool `json:"probed,omitempty"`
	// Processes that have run here, the newest last: what they made was made from
	// this log.
	Processes []manifest.ProcessID `json:"processes,omitempty"`
	// Rescued is the newest position that was published although its log had failed and
	// may have lost it; 0: there is none.
	Rescued log.Position `json:"rescued,omitempty"`
}

// maxProcesses bounds how many are remembered. What an older one left pending, or
// made and nobody replaced, is taken for made elsewhere: then a person is asked.
const maxProcesses = 1000

// ran remembers a process.
func (b *belonging) ran(p manifest.ProcessID) {
	b.Processes = append(b.Processes, p)
	b.Processes = b.Processes[max(0, len(b.Processes)-maxProcesses):]
}

const belongingFile = "store.json"

// readBelonging returns whose the directory is; a new one is the writer's.
func readBelonging(fsys log.FS, dir string, writer manifest.WriterID) (belonging, error) {
	b := belonging{Writer: writer}
	err := readFile(fsys, dir, belongingFile, &b)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	if b.Writer != writer {
		return b, fmt.Errorf("data directory %s belongs to writer %s, this is %s: give each writer a directory of its own", dir, b.Writer, writer)
	}
	return b, nil
}

// write makes it durable.
func (b belonging) write(fsys log.FS, dir string) error {
	return writeFile(fsys, dir, belongingFile, b)
}

// admits says why the root with this identity is not the directory's.
func (b belonging) admits(id manifest.Identity, err error) error {
	switch {
	case b.Store == "":
		return nil
	case errors.Is(err, manifest.ErrNoStore):
		return &manifest.IdentityError{
			Why:  fmt.Sprintf("the root holds no store, and this data directory belongs to store %s", b.Store),
			Hint: "the root was emptied, or it is another one: restore its objects or correct --root",
		}
	case err == nil && id.UID != b.Store:
		return &manifest.IdentityError{
			Why:  fmt.Sprintf("the root holds store %s, and this data directory belongs to store %s", id.UID, b.Store),
			Hint: "correct --root, or give this store a data directory of its own",
		}
	}
	return nil
}

// writeFile makes v durable as JSON, as a whole or not at all.
func writeFile(fsys log.FS, dir, name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	f, err := fsys.Create(path + ".tmp")
	if err == nil {
		_, err = f.Write(append(raw, '\n'))
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = fsys.Rename(path+".tmp", path)
	}
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("data directory: write %s: %w", path, err)
	}
	return nil
}

// readFile reads what writeFile wrote into v; fs.ErrNotExist when it is not there.
func readFile(fsys log.FS, dir, name string, v any) error {
	path := filepath.Join(dir, name)
	f, _, err := fsys.Open(path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("data directory: read %s: %w", path, err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("data directory: %s cannot be read: %w", path, err)
	}
	return nil
}

const holdFile = "hold.json"

// readHold returns the write lock that a process here heeded last, if it was not
// over then. One that cannot be read is none: the manifest has it.
func readHold(fsys log.FS, dir string) *manifest.Lock {
	var l manifest.Lock
	if readFile(fsys, dir, holdFile, &l) != nil || l.Owner == "" {
		return nil
	}
	return &l
}

// writeHold remembers the write lock; nil: there is none.
func writeHold(fsys log.FS, dir string, l *manifest.Lock) error {
	if l != nil {
		return writeFile(fsys, dir, holdFile, l)
	}
	err := fsys.Remove(filepath.Join(dir, holdFile))
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
