// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import "time"

// Kind is what an entry does. The words are on disk: never rename one.
type Kind string

// Control entries always publish; table entries (KindPublish) obey the lock.
const (
	// KindRegister gives a writer a new epoch, ending its own past.
	KindRegister Kind = "register"
	// KindFence ends the epoch that it names, and only that one.
	KindFence Kind = "fence"
	// KindPublish makes an operation's table versions visible, all at once.
	KindPublish Kind = "publish"
	// KindAbandon decides that an operation will never be visible.
	KindAbandon Kind = "abandon"
	// KindRollBack decides that what readers can see of an operation will be undone.
	KindRollBack Kind = "rollback"
	// KindRestore names the versions that undo it, all at once: it ends the roll-back.
	KindRestore Kind = "restore"
	// KindClaim names who may operate the root; the first one wins.
	KindClaim Kind = "claim"
	// KindAdopt takes over a restored or moved root: it ends every epoch and sets the claimant.
	KindAdopt Kind = "adopt"
	// KindAnnounce announces a new low-water before ids are dropped.
	KindAnnounce Kind = "announce"
	// KindTrim drops the recent operations that were decided before its low-water.
	KindTrim Kind = "trim"
	// KindLock takes the write lock, or makes the own one Frozen.
	KindLock Kind = "lock"
	// KindExtend moves the end of the lock to later.
	KindExtend Kind = "extend"
	// KindRelease ends the lock, by its owner.
	KindRelease Kind = "release"
	// KindExpire ends a lock whose time is over, by anybody.
	KindExpire Kind = "expire"
	// KindFormat raises the store's format level; the publication that holds it is
	// the first in the new format.
	KindFormat Kind = "format"
	// KindAnchor raises the remembered head of the audit chain; the batch carries it.
	KindAnchor Kind = "anchor"
)

// Role is on whose behalf an entry was published.
type Role string

// The roles. The words are on disk: never rename one.
const (
	RoleWriter   Role = "writer"
	RoleRecovery Role = "recovery"
	RoleOperator Role = "operator"
)

// Publisher is who made a publication. A writer publishes under its epoch;
// recovery publishes only for epochs that are ended. To undo, a recoverer has an
// epoch of its own, as writer [Recoverer].
type Publisher struct {
	Role    Role      `json:"role"`
	Process ProcessID `json:"process"`
	Writer  WriterID  `json:"writer,omitempty"`
	Epoch   Epoch     `json:"epoch,omitzero"`
}

// Ref names one version of one table: its number and the operation that made it.
// The zero Ref means that the table does not exist. References are compared
// whole: a number alone proves nothing.
type Ref struct {
	Number    uint64      `json:"number"`
	Operation OperationID `json:"operation,omitempty"`
}

// IsZero reports whether the reference is to no version.
func (r Ref) IsZero() bool { return r == Ref{} }

// Pin is the version of a table that the manifest names.
type Pin struct {
	Ref
	// Digest of the version's object, "sha256:...".
	Digest string `json:"digest,omitempty"`
	// Position of the writer's log that this version covers.
	Position Position `json:"position,omitempty"`
}

// Change moves one table from an expected pin to a new one. To is nil when the
// table is dropped.
type Change struct {
	Table    TableID `json:"table"`
	Expected Ref     `json:"expected,omitzero"`
	To       *Pin    `json:"to,omitempty"`
	// Undone is, in a restore, the newest version that readers could see before.
	Undone Ref `json:"undone,omitzero"`
}

// Claimant is who operates a root.
type Claimant struct {
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
}

// Entry is one step of the store's history.
type Entry struct {
	Kind Kind `json:"kind"`
	// Operation is the operation that the entry decides (publish, abandon,
	// rollback), whose roll-back it ends (restore), or for whose roll-back it locks.
	Operation OperationID `json:"operation,omitempty"`
	// Writer is whose operation, registration or fence this is.
	Writer WriterID `json:"writer,omitempty"`
	// Epoch is, for what decides an operation, the one under which the operation was
	// armed; for register the new one; for fence the one that it ends.
	Epoch Epoch `json:"epoch,omitzero"`
	// Base is the manifest version that the operation started from.
	Base Version `json:"base,omitempty"`
	// Reason is a word for people and for the audit row.
	Reason string `json:"reason,omitempty"`
	// Approver is the person who approved the plan of a roll-back, or on whose word the
	// operation was published or abandoned; empty: nobody had to.
	Approver string `json:"approver,omitempty"`
	// OutcomeID was minted before the operation's first effect.
	OutcomeID string   `json:"outcomeID,omitempty"`
	Tables    []Change `json:"tables,omitempty"`
	// Claimant of a claim or an adoption.
	Claimant *Claimant `json:"claimant,omitempty"`
	// Lock of an entry about the lock: its terms, or its owner and what changes.
	Lock *Lock `json:"lock,omitempty"`
	// LockOwner is the lock that a table entry presents, or that expires.
	LockOwner string `json:"lockOwner,omitempty"`
	// Date is the answer of object storage that shows that a lock is over.
	Date time.Time `json:"date,omitzero"`
	// LowWater of an announcement or a trim.
	LowWater Version `json:"lowWater,omitempty"`
	// Format is the level that a format entry raises the store to.
	Format int `json:"format,omitempty"`
}

// ChainHead is the newest row of the audit trail that a publisher knew: the
// number of the object that holds it and the row's hash. Zero is the empty chain.
type ChainHead struct {
	Number uint64 `json:"number,omitempty"`
	Hash   string `json:"hash,omitempty"`
}

// Batch is one publication: the object manifest/<number>.
type Batch struct {
	Store  string  `json:"store"`
	Number Version `json:"number"`
	// Parent is the digest of publication Number-1: a root that was swapped or
	// restored from a copy cannot be continued by mistake.
	Parent  string    `json:"parent,omitempty"`
	Attempt string    `json:"attempt"`
	By      Publisher `json:"by"`
	Head    ChainHead `json:"head,omitzero"`
	Entries []Entry   `json:"entries"`

	// Format of the object, which stands in its first line: the level of the store
	// after this publication. Zero is 1.
	Format int `json:"-"`
	// Created is when the object was, by the object store's clock. It does not stand
	// in the object; zero for one that was not read from a bucket.
	Created time.Time `json:"-"`
}
