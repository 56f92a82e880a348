// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/salvor-io/salvor/objstore"
)

// Bounds of one publication batch. A publication that is larger alone travels
// alone, and the bucket refuses it if it exceeds objstore.MaxObject.
const (
	// MaxPublications is how many publications share one object at most.
	MaxPublications = 512
	// maxEntryBytes is how many bytes of entries they bring together: the rest of
	// MaxObject is for the batch's own fields.
	maxEntryBytes = objstore.MaxObject - 64<<10
)

// request is one publication that its publisher waits for.
type request struct {
	ctx context.Context
	pub Publication
	// size bounds the bytes of its entries from above.
	size int
	// lost counts the numbers that it lost to others.
	lost int
	// passed is the publication whose bytes were found at a number that is collected.
	// It may have counted before it was; only a newer state tells.
	passed *Published

	done chan struct{} // closed once res and err are final
	res  Published
	err  error
}

// unless returns err, as what it is worth to r: after it may have been published,
// "nothing was" is not known.
func (r *request) unless(err error) error {
	if err != nil && r.passed != nil && !errors.Is(err, ErrUnknown) {
		return fmt.Errorf("it may have been published, and collected since: %w: %w", ErrUnknown, err)
	}
	return err
}

// expires reports whether r itself ends a lock.
func (r *request) expires() bool {
	return len(r.pub.Entries) > 0 && r.pub.Entries[0].Kind == KindExpire
}

// counted reports whether err, from the newest state, says that what passed was
// published after all.
func (r *request) counted(err error) bool {
	o, decided := AsDecided(err)
	return decided && r.passed != nil && o.Version == r.passed.Version && o.By == r.pub.By
}

func (r *request) settle(res Published, err error) {
	r.res, r.err = res, err
	close(r.done)
}

// line is where this process's publications wait while one batch is on its way.
// Rivals in one process would only take each other's numbers; in line they share
// one.
type line struct {
	mu      sync.Mutex
	waiting []*request
	busy    bool // a flight is on its way
}

// join puts r in line. start: nothing is on its way, the caller starts a flight.
func (l *line) join(r *request) (start bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, r)
	start, l.busy = !l.busy, true
	return start
}

// leave takes r out of the line; false when it is aboard already.
func (l *line) leave(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, r)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// board moves who may share an object with aboard out of the line and behind it,
// in the order of arrival. They have one publisher: a batch has one author.
func (l *line) board(aboard []*request) []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := 0
	for _, r := range aboard {
		bytes += r.size
	}
	n := 0
	for _, r := range l.waiting {
		// Whoever comes later does not overtake: a stream of one publisher must not
		// starve another.
		full := len(aboard) == MaxPublications || len(aboard) > 0 && bytes+r.size > maxEntryBytes
		if full || len(aboard) > 0 && r.pub.By != aboard[0].pub.By {
			break
		}
		aboard, bytes, n = append(aboard, r), bytes+r.size, n+1
	}
	l.waiting = slices.Delete(l.waiting, 0, n)
	return aboard
}

// more reports whether somebody waits. If not, the flight is over: whoever joins
// next starts another.
func (l *line) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = len(l.waiting) > 0
	return l.busy
}

// size bounds the JSON of an entry from above, in bytes.
func (e *Entry) size() int {
	const fixed = 512              // field names, numbers, punctuation
	n := fixed + 6*len(e.Reason) + // free text: a byte may be escaped to six
		len(e.Operation) + len(e.Writer) + len(e.Epoch.Process) + len(e.OutcomeID)
	for i := range e.Tables {
		c := &e.Tables[i]
		n += 256 + len(c.Table) + len(c.Expected.Operation)
		if c.To != nil {
			n += len(c.To.Operation) + len(c.To.Digest)
		}
	}
	if e.Claimant != nil {
		n += 6 * (len(e.Claimant.Cluster) + len(e.Claimant.Namespace) + len(e.Claimant.Name) + len(e.Claimant.UID))
	}
	return n
}
