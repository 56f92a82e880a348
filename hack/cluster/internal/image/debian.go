// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Debian are packages of the Debian release that this machine runs, in the versions
// that it offers now. Nothing is installed and no script of theirs is run; what they
// depend on is not looked for: name it, too.
type Debian struct {
	Packages []string
	// Cache is the directory that keeps what was downloaded.
	Cache string
	// Without drops paths that begin so.
	Without []string
}

// withoutAlways are what no program needs to run.
var withoutAlways = []string{"/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/lintian", "/usr/share/bug", "/usr/share/info", "/etc/init.d", "/lib/systemd"}

// Entries implements Source: it downloads what the cache has not, and unpacks it.
func (d Debian) Entries() ([]Entry, error) {
	if err := os.MkdirAll(d.Cache, 0o755); err != nil {
		return nil, err
	}
	files, err := d.download(context.Background())
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, file := range files {
		more, err := d.unpack(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		entries = append(entries, more...)
	}
	return entries, nil
}

// download returns the files of the versions that the release offers. apt-get compares
// them with the hashes that the signed index has.
func (d Debian) download(ctx context.Context) (files []string, err error) {
	empty, err := os.MkdirTemp(d.Cache, ".names-") // what is there already is not printed
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(empty)
	out, err := run(ctx, empty, "apt-get", append([]string{"--print-uris", "download"}, d.Packages...)...)
	if err != nil {
		return nil, fmt.Errorf("%w (a machine that runs Debian has the packages after `apt-get update`)", err)
	}
	missing := false
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) >= 2 && strings.HasPrefix(line, "'") { // 'URI' FILE SIZE HASH
			files = append(files, filepath.Join(d.Cache, fields[1]))
			_, err := os.Stat(files[len(files)-1])
			missing = missing || err != nil
		}
	}
	if len(files) != len(d.Packages) {
		return nil, fmt.Errorf("apt-get knows %d of %d packages: %s", len(files), len(d.Packages), out)
	}
	if !missing {
		return files, nil
	}
	_, err = run(ctx, d.Cache, "apt-get", append([]string{"-qq", "-o", "APT::Sandbox::User=root", "download"}, d.Packages...)...)
	return files, err
}

func (d Debian) unpack(file string) ([]Entry, error) {
	raw, err := run(context.Background(), "", "dpkg-deb", "--fsys-tarfile", file)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		e := Entry{Path: merged(path.Join("/", h.Name)), Mode: fs.FileMode(h.Mode).Perm()}
		if e.Path == "/" || slices.ContainsFunc(slices.Concat(withoutAlways, d.Without), func(p string) bool { return strings.HasPrefix(e.Path, merged(p)) }) {
			continue
		}
		switch h.Typeflag {
		case tar.TypeDir:
			e.Mode |= fs.ModeDir
		case tar.TypeSymlink:
			e.Mode, e.Link = e.Mode|fs.ModeSymlink, h.Linkname
		case tar.TypeReg:
			if e.Data, err = io.ReadAll(r); err != nil {
				return nil, err
			}
		case tar.TypeLink:
			e.Mode, e.Link = e.Mode|fs.ModeSymlink, merged(path.Join("/", h.Linkname))
		default:
			return nil, fmt.Errorf("%s is neither file, folder nor link", h.Name)
		}
		entries = append(entries, e)
	}
}

// merged puts what packages have in /lib and /bin where a release with one /usr has it:
// an image has no links of that kind, and a path of each sort would hide the other.
func merged(p string) string {
	for _, dir := range []string{"/lib64", "/lib"} {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return "/usr" + p
		}
	}
	return p
}

// Usr are the links of a release with one /usr.
type Usr struct{}

// Entries implements Source.
func (Usr) Entries() ([]Entry, error) {
	return []Entry{
		{Path: "/lib", Mode: fs.ModeSymlink | 0o777, Link: "usr/lib"},
		{Path: "/lib64", Mode: fs.ModeSymlink | 0o777, Link: "usr/lib64"},
	}, nil
}

func run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}
