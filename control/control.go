// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control

// State is what a store process says of itself.
type State string

// The states.
const (
	// Starting: it does not serve yet; Waiting says what it waits for, if anything.
	Starting State = "Starting"
	Serving  State = "Serving"
	// Draining: it takes no more writes, because it ends, or because of a write lock or
	// an order; what is under way is finished.
	Draining State = "Draining"
	// Frozen: reads only, until the lock that holds the store ends.
	Frozen   State = "Frozen"
	Poisoned State = "Poisoned"
)

// Status is the answer to GET /control/v1/status and each line of
// GET /control/v1/stream (newline-delimited JSON; a line at least every
// heartbeat, and at once when something changes).
type Status struct {
	// Store is the uid of the root's store; Writer the writer's stable id.
	Store  string `json:"store"`
	Writer string `json:"writer"`
	// Process and Epoch are this incarnation's: a stream is evidence about a writer
	// only while both are the ones that the manifest has registered.
	Process string `json:"process"`
	Epoch   uint64 `json:"epoch"`

	State State `json:"state"`
	// PoisonReason is why the State is Poisoned, for people; Poison is the same for who
	// decides what is done about it. Without the latter nobody restarts the process.
	PoisonReason string   `json:"poisonReason,omitempty"`
	Poison       *Failure `json:"poison,omitempty"`
	// Disk is what the file system of the log has; absent: nobody knows.
	Disk *Disk `json:"disk,omitempty"`

	// Durable is the newest position of the log that is safe; Next the one that the
	// next record gets.
	Durable uint64 `json:"durable"`
	Next    uint64 `json:"next"`
	// Written is the newest position that clients were told of although it is not safe
	// yet; absent: there is none.
	Written uint64 `json:"written,omitempty"`
	// Sync says when the log is synced: interval, none; absent: before each answer.
	Sync string `json:"sync,omitempty"`
	// Oldest is the position with which the kept part of the log begins; zero: it holds
	// none. LogBytes is what that part holds.
	Oldest   uint64 `json:"oldest,omitempty"`
	LogBytes int64  `json:"logBytes,omitempty"`
	// Published is the position that the newest published checkpoint covers.
	Published uint64 `json:"published"`
	// Mirror is what the root has of the log besides checkpoints; absent: nothing mirrors it.
	Mirror *Mirror `json:"mirror,omitempty"`
	// InFlight counts client transactions that may write and are not answered yet;
	// Parked those that have not begun, because they wait for the end of a write lock.
	InFlight int `json:"inFlight"`
	Parked   int `json:"parked,omitempty"`
	// Lock is the owner of the write lock that this process heeds: it is the one of
	// the manifest version below. Nothing that writes has begun since.
	Lock string `json:"lock,omitempty"`
	// Order is the id of the order that this process heeds; with a State of Draining
	// nothing that writes has begun since.
	Order string `json:"order,omitempty"`
	// Manifest is the newest manifest version that this process has seen.
	Manifest uint64 `json:"manifest"`
	// Open are the operations that this process has armed and works on; Abandoned
	// the own ones that it cannot finish: recovery may take them though it lives.
	Open      []string `json:"open,omitempty"`
	Abandoned []string `json:"abandoned,omitempty"`
	// Waiting says what holds the start or the newest checkpoint back, for people.
	Waiting string `json:"waiting,omitempty"`
}

// FailureClass is the kind of failure that has poisoned a log, in a word.
type FailureClass string

// The classes.
const (
	// DiskFull: there is no room, or a quota has none. A restart makes none.
	DiskFull FailureClass = "DiskFull"
	// ReadOnlyFilesystem: nothing can be written until the volume is mounted again.
	ReadOnlyFilesystem FailureClass = "ReadOnlyFilesystem"
	// IO: the device did not do what it was told.
	IO FailureClass = "IO"
	// Misuse: the store has called its own log out of order.
	Misuse FailureClass = "Misuse"
	// OtherFailure is one that the process knows and this list does not.
	OtherFailure FailureClass = "Other"
)

// Failure is what has poisoned a log.
type Failure struct {
	// Op is the call that failed: write, fsync, rotate, or a word of the store's own.
	Op string `json:"op,omitempty"`
	// Class of the failure.
	Class FailureClass `json:"class"`
	// Free is what the file system had when the failure was noticed, in bytes.
	Free int64 `json:"free,omitempty"`
}

// Mirror is a log's copy in the root.
type Mirror struct {
	// Position up to which the root has the log; what is lost with the disk begins behind it.
	Position uint64 `json:"position"`
	// Bytes that the copy has.
	Bytes int64 `json:"bytes"`
	// Restored is the position up to which this process has taken the log from the root, because
	// its disk had nothing; zero: it had.
	Restored uint64 `json:"restored,omitempty"`
	// Waiting says why nothing is mirrored now, for people.
	Waiting string `json:"waiting,omitempty"`
}

// Disk is the file system of a data directory, in bytes.
type Disk struct {
	// Dir is the data directory, as the process sees it.
	Dir string `json:"dir"`
	// Total is the size of the file system, Free what the process may still write.
	Total int64 `json:"total"`
	Free  int64 `json:"free"`
	// Needs is how much has to be free before a log that had no room can go on.
	Needs int64 `json:"needs,omitempty"`
}
