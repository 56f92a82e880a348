// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/log"
)

// Options says what a store is. Dir, Writer, Process, NewID, NewLogID and OpenRoot
// are required; every other zero value is good.
type Options struct {
	// Dir is the data directory: the log, and which store it belongs to.
	Dir string
	// Writer names the store's process across restarts, Process this one.
	Writer  manifest.WriterID
	Process manifest.ProcessID
	// TablePrefix begins the ids of the tables that this writer owns, and of nobody
	// else's. Default Writer and a dot.
	TablePrefix string
	// OpenRoot returns the bucket; it is called again until it succeeds.
	OpenRoot func(context.Context) (objstore.Bucket, error)

	// NewID returns a fresh unique id (a ULID, usually); NewLogID one for a new log.
	NewID    func() string
	NewLogID func() [16]byte
	// Now is the clock; After a timer; Sleep waits, or until ctx ends. Default: those of package time.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	Sleep func(context.Context, time.Duration) error
	// Jitter returns a factor in [0,1) that spreads retries. Default 0.5.
	Jitter func() float64
	// FS is the file system of log and data directory. Default log.OS.
	FS log.FS

	// Checkpoint is the time between two checkpoints; nothing goes out when nothing
	// changed. Default 10 s.
	Checkpoint time.Duration
	// Sync says when a transaction is answered: see log.SyncMode. Default: when it is
	// durable. SyncInterval is what a power cut may cost with log.SyncInterval. Default
	// 50 ms.
	Sync         log.SyncMode
	SyncInterval time.Duration
	// SegmentSize of the log, in bytes. Default 16 MiB.
	SegmentSize int64
	// BlockSize and Spares of the log: see log.Options.
	BlockSize, Spares int
	// PartSize is how large an object of a table version gets. Default 6 MiB.
	PartSize int
	// Remember is how many ids of transactions are remembered. Default 16,384.
	Remember int
	// MaxInFlight bounds the transactions that are not answered yet. Default 1,024.
	MaxInFlight int
	// MaxInFlightBytes bounds their bytes, and again those of the ones that are parked.
	// Default 64 MiB.
	MaxInFlightBytes int64
	// MaxFeeds bounds the feeds that are open, MaxSnapshots the snapshots, and
	// MaxSnapshotBytes what these keep in memory that nothing else does. Defaults 64, 16,
	// 64 MiB.
	MaxFeeds, MaxSnapshots int
	MaxSnapshotBytes       int64
	// Park bounds how long a transaction that writes waits for the end of a write lock
	// before it is refused. Default 10 s.
	Park time.Duration
	// Await bounds the wait for the outcome of an operation that somebody else
	// decides, Poll is how often it is looked for. Defaults 30 s, 200 ms.
	Await, Poll time.Duration
	// Mirror copies the log into the root while it is written. nil: it does not; what an
	// earlier process has mirrored is used all the same where the disk does not have it.
	Mirror *MirrorOptions
	// RootTimeout bounds one try to reach the root at the start. Default 15 s.
	RootTimeout time.Duration

	// Keyring makes this process recover by itself what an ended epoch left
	// pending in the root. nil: an operator does.
	Keyring *audit.Keyring
	// Report is told, in a sentence, what a person should know. Default: nobody is.
	Report func(string)
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" || o.NewID == nil || o.NewLogID == nil || o.OpenRoot == nil {
		return o, errors.New("store.New: Dir, NewID, NewLogID and OpenRoot are required")
	}
	if err := errors.Join(o.Writer.Validate(), o.Process.Validate()); err != nil {
		return o, err
	}
	setDefault(&o.TablePrefix, string(o.Writer)+".")
	setDefault(&o.Checkpoint, 10*time.Second)
	setDefault(&o.SyncInterval, defaultSyncInterval)
	setDefault(&o.SegmentSize, 16<<20)
	setDefault(&o.PartSize, 6<<20)
	setDefault(&o.Remember, 16384)
	setDefault(&o.MaxInFlight, 1024)
	setDefault(&o.MaxInFlightBytes, 64<<20)
	setDefault(&o.MaxFeeds, 64)
	setDefault(&o.MaxSnapshots, 16)
	setDefault(&o.MaxSnapshotBytes, 64<<20)
	setDefault(&o.Park, 10*time.Second)
	setDefault(&o.Await, 30*time.Second)
	setDefault(&o.Poll, 200*time.Millisecond)
	setDefault(&o.RootTimeout, 15*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Sleep == nil {
		o.Sleep = objstore.Sleep
	}
	if o.Jitter == nil {
		o.Jitter = func() float64 { return 0.5 }
	}
	if o.FS == nil {
		o.FS = log.OS
	}
	if o.Report == nil {
		o.Report = func(string) {}
	}
	// The longest name that a client may use must make a valid id.
	if err := manifest.TableID(o.TablePrefix + "t").Validate(); err != nil {
		return o, fmt.Errorf("table prefix %q: %w", o.TablePrefix, err)
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Store is one process of the reference store. It is safe for concurrent use.
type Store struct {
	opt   Options
	names names

	tables *tables
	// order makes the order of evaluation the order of the log. It is taken before
	// tables.mu, never after.
	order  sync.Mutex
	seen   *memory // under order
	log    atomic.Pointer[log.Log]
	opened atomic.Pointer[log.Log] // the same, while it is replayed too
	root   atomic.Pointer[root]
	gate   gate
	signal control.Signal
	space  space
	intake intake
	meters meters
	feeds  atomic.Int64 // that are open

	nudge    chan struct{}          // look at the manifest now
	requests chan chan<- checkpoint // and make a checkpoint now
	draining chan struct{}          // closed by Shutdown
	drain    sync.Once
	drained  context.Context // bounds the last checkpoint; set before draining is closed
	done     chan struct{}   // closed when Run has ended

	mu      sync.Mutex
	waiting string // why the last checkpoint did not go out
	covered manifest.Position
	lock    *manifest.Lock // what newcomers that write wait for
	asked   string         // the order that is to be read
	heeding *heeded        // what somebody asked of this process; nil: nothing
	spent   string         // the newest order that is over
	left    *LeftError     // what the end has left to the log

	mirroring mirroring
	// cutting is held while the log is noted and cut.
	cutting sync.Mutex

	// kept is the lock that the data directory remembers. Only who starts and keeps the
	// store touches it.
	kept *manifest.Lock
}

// New returns a store that has to Run.
func New(opt Options) (*Store, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opt: opt, names: names{opt.TablePrefix}, tables: newTables(), seen: newMemory(opt.Remember),
		gate:  gate{slots: opt.MaxInFlight, why: &Refusal{Reason: ReasonStarting, Message: "the store is starting", RetryAfter: time.Second}},
		nudge: make(chan struct{}, 1), requests: make(chan chan<- checkpoint),
		draining: make(chan struct{}), done: make(chan struct{}),
	}
	s.intake.max, s.gate.intake = opt.MaxInFlightBytes, &s.intake
	s.tables.snapshots = snapshots{open: map[string]*openSnapshot{}, most: opt.MaxSnapshots, maxBytes: opt.MaxSnapshotBytes, now: opt.Now}
	s.gate.drained = func() { // somebody may wait for the rest to be published
		s.signal.Notify()
		s.Refresh()
	}
	return s, nil
}
