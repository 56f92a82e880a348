// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Base is the file system that a static program expects around it, after the
// model of the distroless static images.
type Base struct{}

// hostCertificates are where distributions keep the bundle of authorities.
var hostCertificates = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"}

// Entries implements Source.
func (Base) Entries() ([]Entry, error) {
	entries := []Entry{
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/sbin/nologin\n" +
			"nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n" +
			"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
		{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n")},
		{Path: "/etc/nsswitch.conf", Mode: 0o644, Data: []byte("hosts: files dns\n")},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "/root", Mode: fs.ModeDir | 0o700},
		{Path: "/home/nonroot", Mode: fs.ModeDir | 0o700, UID: 65532, GID: 65532},
	}
	for _, file := range hostCertificates {
		if _, err := os.Stat(file); err == nil {
			entries = append(entries, Entry{Path: "/etc/ssl/certs/ca-certificates.crt", Mode: 0o644, File: file})
			break
		}
	}
	return entries, nil
}

// Binary is one static program, placed in the root folder.
type Binary struct{ File string }

// Target is the program's path inside the image.
func (b Binary) Target() string { return "/" + filepath.Base(b.File) }

// Entries implements Source. A program that needs a dynamic loader is refused:
// in an image without one it would fail with a misleading "no such file".
func (b Binary) Entries() ([]Entry, error) {
	f, err := elf.Open(b.File)
	if err != nil {
		return nil, fmt.Errorf("%s is no Linux program: %w", b.File, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s is linked dynamically: build it with CGO_ENABLED=0", b.File)
		}
	}
	return []Entry{{Path: b.Target(), Mode: 0o755, File: b.File}}, nil
}

// Add is a file or folder of the host at another place in the image.
type Add struct{ Src, Dst string }

// ParseAdd reads SRC=DST.
func ParseAdd(arg string) (Add, error) {
	src, dst, ok := strings.Cut(arg, "=")
	if !ok || src == "" || !strings.HasPrefix(dst, "/") {
		return Add{}, fmt.Errorf("%q: want SRC=/DST, as in config.json=/etc/app/config.json", arg)
	}
	return Add{Src: src, Dst: dst}, nil
}

// Entries implements Source.
func (a Add) Entries() ([]Entry, error) { return hostTree(a.Src, a.Dst) }

// Busybox is a shell with the usual commands out of one static program.
type Busybox struct {
	File     string
	Commands []string
}

// Entries implements Source.
func (b Busybox) Entries() ([]Entry, error) {
	entries := []Entry{{Path: "/bin/busybox", Mode: 0o755, File: b.File}}
	for _, name := range b.Commands {
		entries = append(entries, Entry{Path: "/bin/" + name, Mode: fs.ModeSymlink | 0o777, Link: "busybox"})
	}
	return entries, nil
}
