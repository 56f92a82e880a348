// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"io/fs"
	"os"
)

// system is what the driver asks of the kernel and what a test wants to see
// failing: every step that makes something durable.
type system struct {
	write    func(f *os.File, body []byte) error
	syncFile func(f *os.File) error
	syncDir  func(dir string) error
	mkdir    func(dir string) error
	lstat    func(name string) (fs.FileInfo, error)
	// linkUnnamed names a file that has none; linkNamed gives a second name.
	linkUnnamed func(f *os.File, name string) error
	linkNamed   func(tmp, name string) error
}

// pieceSize is how much of a large body is on its way to the disk at a time.
const pieceSize = 128 << 10

var realSystem = system{
	write: func(f *os.File, body []byte) error {
		for off := 0; off < len(body); off += pieceSize {
			piece := body[off:min(len(body), off+pieceSize)]
			if _, err := f.Write(piece); err != nil {
				return err
			}
			if len(body) > pieceSize {
				settlePiece(f, int64(off), int64(len(piece)))
			}
		}
		return nil
	},
	syncFile: (*os.File).Sync,
	syncDir: func(dir string) error {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = d.Sync()
		if closeErr := d.Close(); err == nil {
			err = closeErr
		}
		return err
	},
	mkdir:       func(dir string) error { return os.Mkdir(dir, dirMode) },
	lstat:       os.Lstat,
	linkUnnamed: linkFD,
	linkNamed:   os.Link,
}
