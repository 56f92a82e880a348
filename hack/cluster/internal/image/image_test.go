// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// staticProgram builds the smallest static Go program.
func staticProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "app")
	cmd := exec.Command("go", "build", "-o", out, filepath.Join(dir, "main.go"))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

func TestPack(t *testing.T) {
	app := staticProgram(t)
	extra := t.TempDir()
	if err := os.MkdirAll(filepath.Join(extra, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(extra, "sub", "conf"), []byte("x=1"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub/conf", filepath.Join(extra, "link")); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Name: "salvor.local/app:dev", Entrypoint: []string{"/app"}, Cmd: []string{"serve"}, User: "65532", WorkingDir: "/",
		Sources: []Source{Base{}, Binary{app}, Add{Src: extra, Dst: "/etc/app"}},
	}
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.tar"), filepath.Join(dir, "two.tar")
	for _, out := range []string{one, two} {
		if err := Pack(o, out); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := os.ReadFile(one)
	b, _ := os.ReadFile(two)
	if !bytes.Equal(a, b) {
		t.Error("equal inputs gave different images")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".layer-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
	img, err := tarball.ImageFromPath(one, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532" || c.Entrypoint[0] != "/app" || c.Cmd[0] != "serve" || config.OS != "linux" {
		t.Errorf("config %+v", config)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	files := readTar(t, r)
	for path, check := range map[string]func(*tar.Header) bool{
		"app":               func(h *tar.Header) bool { return h.Mode == 0o755 },
		"tmp/":              func(h *tar.Header) bool { return h.Mode == 0o1777 },
		"etc/passwd":        func(h *tar.Header) bool { return h.Size > 0 },
		"etc/app/":          func(h *tar.Header) bool { return h.Typeflag == tar.TypeDir },
		"etc/app/sub/conf":  func(h *tar.Header) bool { return h.Mode == 0o640 && h.Size == 3 },
		"etc/app/link":      func(h *tar.Header) bool { return h.Typeflag == tar.TypeSymlink && h.Linkname == "sub/conf" },
		"home/nonroot/":     func(h *tar.Header) bool { return h.Uid == 65532 },
		"home/":             func(h *tar.Header) bool { return h.Uid == 0 },
		"etc/nsswitch.conf": func(h *tar.Header) bool { return h.ModTime.Unix() == 0 },
	} {
		h, ok := files[path]
		if !ok || !check(h) {
			t.Errorf("%s: %+v", path, h)
		}
	}
}

func readTar(t *testing.T, r io.Reader) map[string]*tar.Header {
	t.Helper()
	files := map[string]*tar.Header{}
	seen := map[string]bool{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if parent := filepath.Dir(strings.TrimSuffix(h.Name, "/")); parent != "." && !seen[parent] {
			t.Errorf("%s stands before its folder", h.Name)
		}
		if files[h.Name] != nil {
			t.Errorf("%s twice", h.Name)
		}
		files[h.Name] = h
		seen[strings.TrimSuffix(h.Name, "/")] = true
	}
}

func TestPackRefuses(t *testing.T) {
	app := staticProgram(t)
	text := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"name without registry": {Name: "app:dev", Sources: []Source{Binary{app}}},
		"name without tag":      {Name: "salvor.local/app", Sources: []Source{Binary{app}}},
		"script as program":     {Name: "salvor.local/app:dev", Sources: []Source{Binary{text}}},
		"absent program":        {Name: "salvor.local/app:dev", Sources: []Source{Binary{"/no/such"}}},
		"relative target":       {Name: "salvor.local/app:dev", Sources: []Source{Binary{app}, Add{Src: text, Dst: "x"}}},
	} {
		out := filepath.Join(t.TempDir(), "x.tar")
		if err := Pack(o, out); err == nil {
			t.Errorf("%s: packed", name)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a file was left", name)
		}
	}
	// A program of the machine that wants a dynamic loader.
	if sh, err := exec.LookPath("sh"); err == nil {
		if sh, err = filepath.EvalSymlinks(sh); err == nil {
			if _, err := (Binary{sh}).Entries(); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
				t.Errorf("dynamic program: %v", err)
			}
		}
	}
}

func TestParseAdd(t *testing.T) {
	if a, err := ParseAdd("conf=/etc/app"); err != nil || a.Src != "conf" || a.Dst != "/etc/app" {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []string{"", "conf", "=/etc", "conf=etc", "conf="} {
		if _, err := ParseAdd(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
