// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/objstoretest"
)

// Old kernels and processes without rights take the way over /proc.
func TestTheWayOverProc(t *testing.T) {
	b := open(t, t.TempDir(), Options{})
	b.sys.linkUnnamed = func(f *os.File, name string) error {
		if err := linkProc(f, name); err != nil {
			return linkError(err)
		}
		return nil
	}
	for _, key := range []string{"a/1", "a/2"} {
		objstoretest.Race(t, func(int) objstore.Bucket { return b }, key, 100)
	}
}

// No O_TMPFILE, or nobody to name what it made: from there on bodies have names.
func TestWhereThereIsNoUnnamedFile(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	b.sys.linkUnnamed = func(*os.File, string) error { return errNoTmpfile }
	put(t, b, "a/1")
	b.sys.linkUnnamed = func(*os.File, string) error { t.Error("tried again"); return errNoTmpfile }
	put(t, b, "a/2")
	left, err := os.ReadDir(filepath.Join(dir, tmpDir))
	if err != nil || len(left) != 0 {
		t.Errorf("left in %s: %v, %v", tmpDir, left, err)
	}
}

func TestANameThatIsTakenIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	put(t, open(t, dir, Options{}), "k")
	f, err := os.Create(filepath.Join(dir, "another"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, link := range []func(*os.File, string) error{linkFD, linkEmptyPath, linkProc} {
		if err := link(f, filepath.Join(dir, "k")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%v; want EEXIST", err)
		}
	}
}
