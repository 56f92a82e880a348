// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What is in a package lands where a release with one /usr has it, without what no
// program needs to run.
func TestDebianPackagesAreUnpacked(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("there is no dpkg-deb on this machine")
	}
	dir := t.TempDir()
	for file, text := range map[string]string{
		"DEBIAN/control":           "Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: demo\n",
		"lib/demo/libdemo.so.1":    "library",
		"usr/bin/demo":             "program",
		"usr/share/doc/demo/long":  "words",
		"usr/lib/demo/heavy/thing": "much",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "tree", filepath.Dir(file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "tree", file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("libdemo.so.1", filepath.Join(dir, "tree/lib/demo/libdemo.so")); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(dir, "demo.deb")
	if out, err := exec.Command("dpkg-deb", "--build", filepath.Join(dir, "tree"), deb).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	entries, err := Debian{Without: []string{"/usr/lib/demo/heavy"}}.unpack(deb)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		if e.Mode.IsDir() {
			continue
		}
		got[e.Path] = string(e.Data)
		if e.Mode&fs.ModeSymlink != 0 {
			got[e.Path] = "-> " + e.Link
		}
	}
	want := map[string]string{"/usr/lib/demo/libdemo.so.1": "library", "/usr/lib/demo/libdemo.so": "-> libdemo.so.1", "/usr/bin/demo": "program"}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for p, text := range want {
		if got[p] != text {
			t.Errorf("%s is %q, want %q", p, got[p], text)
		}
	}
}
