// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package file is an object store in a local directory: the embedded default
// (file://). A key is the path below the root, a file is an object. Several
// processes may use one directory at the same time.
//
// # The life of one object
//
//	PutIfAbsent("manifest/00000000000000000042", body)
//
//	open(root/manifest, O_TMPFILE)   a file without a name        crash: the kernel drops it
//	write, fsync                     the body is on the disk      crash: the same
//	linkat(root/manifest/...42)      it has its name: EEXIST is   crash: there, whole, or not there
//	                                 Exists, the only referee
//	fsync(root/manifest)             the name is on the disk      failed: Unknown
//	  -> Created
//
// Before the first object in a directory, the directory itself is made, and
// each new name on the way is synced in its parent, once per process.
//
// Where there is no O_TMPFILE (NFS, some FUSE and overlay mounts, systems that
// are not Linux) the body is written under a name in "root/.salvor tmp" and link(2)
// takes the place of linkat. That directory's name holds a space, which no key
// may, so what a crash leaves there is never listed; it is swept after a day.
//
// # What a reader sees is durable
//
// linkat makes a name visible before the fsync makes it durable. A reader that
// acted on it, in another directory, could outlive it through a power cut. So
// Get, List and the answer Exists sync the directory first when the name is younger
// than the last sync that this process knows of (settle.go).
//
// # Errors
//
//	               outcome   error
//	EEXIST         Exists    -
//	ENOSPC, EDQUOT, EROFS, EACCES, ...  before or in linkat: Retry, with the cause
//	a key below an object, or an object where a directory is: Retry, ErrInvalidKey
//	root gone      Retry     ErrNoSuchBucket; Get and List too: an unmounted volume
//	                         is not an empty one
//	EIO in linkat, failed fsync of the directory: Unknown
package file
