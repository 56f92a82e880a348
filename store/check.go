// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/log"
)

// CheckOptions says what is checked. Dir is required.
type CheckOptions struct {
	// Dir is a data directory that no process runs on.
	Dir string
	// TablePrefix begins the ids of the writer's tables. Default its name and a dot.
	TablePrefix string
	// Root is the store's root; nil: only the directory is looked at.
	Root objstore.Bucket
	// NewID is for the manifest's reader; nothing is written. Required with Root.
	NewID func() string
	FS    log.FS
	// Progress is told in a few words how far it is.
	Progress func(string)
}

// Fault is something that a check has found wrong.
type Fault struct {
	// Damage is a CamelCase word: those of log.Damage, or one of this package's.
	Damage log.Damage `json:"damage"`
	// Path of the file, or key of the object, and the byte in it; for what they are known.
	Path   string `json:"path,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	// Says what is wrong, and what to do.
	Says string `json:"says"`
}

// What a check finds beside the damages of the log.
const (
	DamagedRecord    log.Damage = "DamagedRecord"    // a transaction cannot be understood
	DamagedDirectory log.Damage = "DamagedDirectory" // store.json cannot be read
	ForeignRoot      log.Damage = "ForeignRoot"      // the root is another store's
	DamagedVersion   log.Damage = "DamagedVersion"   // a table version in the root
	Gap              log.Damage = "Gap"              // between the root and the log
	Diverged         log.Damage = "Diverged"         // two histories of one writer
	OlderRoot        log.Damage = "OlderRoot"        // a checkpoint was made that the root does not have
)

// Checked is the verdict on a data directory. It is good when it has no faults.
type Checked struct {
	Writer manifest.WriterID `json:"writer,omitempty"`
	Store  string            `json:"store,omitempty"`
	// Log is what the log consists of, as far as it was read.
	Log log.Report `json:"log"`
	// Looked at the root; Covered is the position that it covers, Tables are its tables.
	Root    bool              `json:"root"`
	Covered manifest.Position `json:"covered,omitempty"`
	Tables  int               `json:"tables,omitempty"`
	// Behind is how many transactions only this directory has.
	Behind uint64  `json:"behind"`
	Faults []Fault `json:"faults"`
}

// Check looks at a data directory that no process runs on, and at its root, and changes
// nothing. An error means that it could not look.
func Check(ctx context.Context, o CheckOptions) (*Checked, error) {
	if o.FS == nil {
		o.FS = log.OS
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	c := &Checked{Faults: []Fault{}}
	var here belonging
	switch err := readFile(o.FS, o.Dir, belongingFile, &here); {
	case errors.Is(err, fs.ErrNotExist): // it was never with a root
	case err != nil:
		c.fault(DamagedDirectory, filepath.Join(o.Dir, belongingFile), 0, "%v: restore this file from a copy of the directory", err)
	}
	c.Writer, c.Store = here.Writer, here.Store
	whole, err := c.log(o)
	if err != nil || o.Root == nil {
		return c, err
	}
	c.Root = true
	return c, c.root(ctx, o, here, whole)
}

func (c *Checked) fault(d log.Damage, path string, at int64, says string, args ...any) {
	c.Faults = append(c.Faults, Fault{d, path, at, fmt.Sprintf(says, args...)})
}

// log reads the log, and every transaction in it. It reports whether all was there.
func (c *Checked) log(o CheckOptions) (whole bool, err error) {
	damaged := errors.New("damaged record")
	dir := filepath.Join(o.Dir, "log")
	c.Log, err = log.Check(dir, log.CheckOptions{
		FS: o.FS,
		Event: func(p log.Position, raw []byte) error {
			if _, err := decodeRecord(raw); err != nil {
				c.fault(DamagedRecord, dir, 0, "position %d: %v: nothing behind it was looked at", p, err)
				return damaged
			}
			return nil
		},
		Progress: func(done, of int64) { o.Progress(fmt.Sprintf("%d of %d MiB of the log", done>>20, of>>20)) },
	})
	var corrupt *log.CorruptError
	switch {
	case errors.As(err, &corrupt):
		c.fault(corrupt.Damage, corrupt.Path, corrupt.Offset, "%v", corrupt)
		return false, nil
	case errors.Is(err, damaged):
		return false, nil
	}
	return err == nil, err
}

// root compares the directory with what the root has of its writer.
func (c *Checked) root(ctx context.Context, o CheckOptions, here belonging, whole bool) error {
	id, err := manifest.ReadIdentity(ctx, o.Root)
	if refused := here.admits(id, err); refused != nil {
		c.fault(ForeignRoot, "store", 0, "%v", refused)
		return nil
	}
	if err != nil {
		return err
	}
	m, err := manifest.Open(ctx, o.Root, manifest.Options{NewID: o.NewID})
	if err != nil {
		return err
	}
	setDefault(&o.TablePrefix, string(here.Writer)+".")
	s, r := &Store{names: names{o.TablePrefix}}, &root{here: here.Processes}
	pins, covered := s.own(m.View())
	c.Covered, c.Tables = covered, len(pins)
	for name, pin := range pins {
		o.Progress("table " + name)
		table := s.names.id(name)
		v, err := readVersion(ctx, o.Root, id.UID, table, pin)
		var object *manifest.ObjectError
		var diverged *DivergedError
		switch {
		case errors.As(err, &object):
			c.fault(DamagedVersion, object.Key, 0, "%v", err)
			continue
		case err != nil:
			return err
		}
		if err := r.follows(table, pin, v.Epoch.Process, c.Log.First); errors.As(err, &diverged) {
			c.fault(Diverged, manifest.TableKey(table, pin.Number, pin.Operation), 0, "%v", err)
		}
	}
	if !whole {
		return nil
	}
	c.compare(manifest.Position(c.Log.First), covered)
	return nil
}

// compare says how the log and what the root covers meet.
func (c *Checked) compare(first, covered manifest.Position) {
	last := manifest.Position(c.Log.Last)
	switch {
	case c.Log.First > 0 && first > covered+1:
		c.fault(Gap, "", 0, "%v", &GapError{Covered: covered, First: c.Log.First})
	case manifest.Position(c.Log.Checkpoint) > covered:
		c.fault(OlderRoot, "", 0, "a checkpoint of this directory covers position %d, and the root covers %d: it is an older copy; "+
			"the log has everything since, and a start publishes it again: make sure that this is the root that you want", c.Log.Checkpoint, covered)
	}
	if last > covered {
		c.Behind = uint64(last - max(covered, first-min(first, 1)))
	}
}
