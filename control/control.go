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

	State        State  `json:"state"`
	PoisonReason string `json:"poisonReason,omitempty"`

	// Durable is the newest position of the log that is safe; Next the one that the
	// next record gets.
	Durable uint64 `json:"durable"`
	Next    uint64 `json:"next"`
	// Published is the position that the newest published checkpoint covers.
	Published uint64 `json:"published"`
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
