// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package image packs programs into container images without a container
// engine or a registry: one uncompressed layer in a docker-archive.
package image

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// Entry is one path of an image. Exactly one of Data, File and Link is set
// for what is not a directory.
type Entry struct {
	Path string // absolute, inside the image
	Mode fs.FileMode
	UID  int
	GID  int
	Data []byte // contents
	File string // contents, read from this path of the host
	Link string // target of a symbolic link
}

// Source contributes entries. A binary with its base files is one; unpacked
// Debian packages would be another.
type Source interface {
	Entries() ([]Entry, error)
}

// epoch stands for every time stamp, so that equal inputs give equal images.
var epoch = time.Unix(0, 0)

// writeLayer writes the entries as a tar file in path order, with the parent
// directories that nobody named. A later entry replaces an earlier one.
func writeLayer(w io.Writer, entries []Entry) error {
	byPath := map[string]Entry{}
	for _, e := range entries {
		if !path.IsAbs(e.Path) {
			return fmt.Errorf("%q is no absolute path inside the image", e.Path)
		}
		e.Path = path.Clean(e.Path)
		byPath[e.Path] = e
	}
	for p := range byPath {
		for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
			if _, ok := byPath[dir]; !ok {
				byPath[dir] = Entry{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	delete(byPath, "/")
	paths := make([]string, 0, len(byPath))
	for p := range byPath {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	tw := tar.NewWriter(w)
	for _, p := range paths {
		if err := writeEntry(tw, byPath[p]); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return tw.Close()
}

func writeEntry(tw *tar.Writer, e Entry) error {
	h := &tar.Header{
		Name: strings.TrimPrefix(e.Path, "/"), Mode: tarMode(e.Mode), Uid: e.UID, Gid: e.GID,
		ModTime: epoch, Format: tar.FormatPAX,
	}
	switch {
	case e.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		return tw.WriteHeader(h)
	case e.Link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
		return tw.WriteHeader(h)
	case e.File == "":
		h.Typeflag, h.Size = tar.TypeReg, int64(len(e.Data))
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := tw.Write(e.Data)
		return err
	}
	f, err := os.Open(e.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}

// tarMode turns Go's mode into the bits of a tar header.
func tarMode(m fs.FileMode) int64 {
	bits := int64(m.Perm())
	if m&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	if m&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if m&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	return bits
}

// hostTree reads a file or a folder of the host as entries below dst.
func hostTree(src, dst string) ([]Entry, error) {
	var entries []Entry
	err := filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if p == src && info.Mode()&fs.ModeSymlink != 0 {
			if info, err = os.Stat(p); err != nil { // the named path itself is followed
				return err
			}
		}
		e := Entry{Path: path.Join(dst, filepath.ToSlash(rel)), Mode: info.Mode()}
		switch {
		case info.IsDir():
		case info.Mode()&fs.ModeSymlink != 0:
			if e.Link, err = os.Readlink(p); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			e.File = p
		default:
			return fmt.Errorf("%s is neither file, folder nor link", p)
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}
