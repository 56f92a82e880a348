// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// Retention says how much history is kept at least, whoever needs it or not.
type Retention struct {
	// Versions is how many of the newest publications are kept. Default 1,024.
	Versions uint64
	// Age is how long a publication is kept. Default 24 h; never below MinAge.
	Age time.Duration
}

// Pending is an operation that is not finished: nothing newer than its base is
// collected, and no effect of it.
type Pending struct {
	Operation OperationID
	// Base is the version that it started from; 0 when it cannot be read.
	Base Version
}

// CollectOptions says what may go.
type CollectOptions struct {
	Retention
	// Pending lists the unfinished operations, whole or not at all. Required.
	Pending func(context.Context) ([]Pending, error)
	// By is who collects.
	By ProcessID
	// DryRun says what would go and deletes nothing, and announces nothing.
	DryRun bool
	// Progress is called now and then with what is done. May be nil.
	Progress func(Collected)
}

// Collected is what a collection did, or would do.
type Collected struct {
	DryRun bool `json:"dryRun,omitempty"`
	// Newest is the version at the end of the line.
	Newest Version `json:"newest"`
	// Boundary is the number below which publications may be gone, before and after.
	Before   Version `json:"before"`
	Boundary Version `json:"boundary"`
	// HeldBy says what kept the boundary from going further.
	HeldBy string `json:"heldBy"`
	// Keep is where what is kept begins: a reader may need more than the boundary says.
	Keep         Version `json:"keep"`
	Publications int     `json:"publications"`
	Checkpoints  int     `json:"checkpoints"`
	// Versions of tables, and their bytes.
	Versions int   `json:"versions"`
	Bytes    int64 `json:"bytes"`
	// Others are spent boundaries, readers' leases that are over, and parts of checkpoints.
	Others int `json:"others"`
	// Foreign are objects under tables/ that nobody here could have written. They stay.
	Foreign []string `json:"foreign,omitempty"`
}

// Collect removes history that nobody needs. The order is the protocol; every
// other order was shown to delete what was needed.
//
//	1  decide how far:  retention, the oldest unfinished operation's base, a checkpoint to start from, read whole
//	2  raise the boundary                a sleeper that re-creates a number looks at it afterwards
//	3  list the readers                  one that pins a version looks at the boundary afterwards
//	4  list the table versions
//	5  list the unfinished operations    an effect is listed in 4, so its intent was there before 4
//	6  read the publications             what is finished by 5 is named by 6
//	7  delete table versions that 4 showed and neither 5 nor 6 names
//	8  delete publications, oldest first, then checkpoints, their parts, and boundaries that nobody starts from
//
// Two at once, one asleep for long, or one that dies between any two requests do
// no harm: a table version's name is never used again, and a number below the
// boundary counts for nobody.
func (s *Store) Collect(ctx context.Context, opt CollectOptions) (*Collected, error) {
	if opt.Pending == nil {
		return nil, errors.New("manifest.Collect: CollectOptions.Pending is required")
	}
	if opt.Versions == 0 {
		opt.Versions = 1024
	}
	if opt.Age == 0 {
		opt.Age = 24 * time.Hour
	}
	opt.Age = max(opt.Age, MinAge)
	c := &collection{s: s, opt: opt, whole: map[Version]bool{}, Collected: Collected{DryRun: opt.DryRun}}
	for _, step := range []func(context.Context) error{c.decide, c.announce, c.heed, c.tables, c.history} {
		if err := step(ctx); err != nil {
			return &c.Collected, err
		}
	}
	return &c.Collected, nil
}

// collection is one run.
type collection struct {
	s   *Store
	opt CollectOptions
	Collected
	checkpoints []Version // present, ascending
	whole       map[Version]bool
	readers     []Reader
}

// decide finds how far the boundary may go.
func (c *collection) decide(ctx context.Context) error {
	st, err := c.s.Latest(ctx)
	if err != nil {
		return err
	}
	c.Newest = st.Version
	if c.Before, err = c.s.Boundary(ctx); err != nil {
		return err
	}
	limit, why := Version(1), "retention"
	if n := uint64(st.Version); n > c.opt.Versions {
		limit = Version(n - c.opt.Versions + 1)
	}
	pending, err := c.opt.Pending(ctx)
	if err != nil {
		return err
	}
	for _, p := range pending {
		if p.Base < limit {
			limit, why = p.Base, fmt.Sprintf("operation %s, which started from version %d", p.Operation, p.Base)
		}
	}
	young, err := c.youngest(ctx, limit)
	if err != nil {
		return err
	}
	if young < limit {
		limit, why = young, "retention"
	}
	if c.checkpoints, err = c.s.numbers(ctx, CheckpointPrefix); err != nil {
		return err
	}
	c.Boundary, c.HeldBy = c.Before, why
	v, err := c.start(ctx, limit)
	if err != nil {
		return err
	}
	c.Boundary = max(c.Boundary, v+1)
	return nil
}

// start returns the newest checkpoint that is older than limit and that can be
// read, whole: what is before it goes, so it is looked at first. 0: there is none.
func (c *collection) start(ctx context.Context, limit Version) (Version, error) {
	for _, from := range slices.Backward(c.checkpoints) {
		if from >= limit {
			continue
		}
		if c.whole[from] {
			return from, nil
		}
		switch _, err := c.s.readCheckpoint(ctx, from); {
		case err == nil:
			c.whole[from] = true
			return from, nil
		case gone(err): // another collection was faster
			continue
		case !damaged(err):
			return 0, err
		}
		c.HeldBy = fmt.Sprintf("checkpoint %d, which cannot be read: salvor manifest verify says why", from)
	}
	return 0, nil
}

// youngest returns the first number below limit that is too young to go, or limit.
func (c *collection) youngest(ctx context.Context, limit Version) (Version, error) {
	if limit <= c.Before {
		return limit, nil
	}
	id, err := c.s.bucket.Get(ctx, IdentityKey)
	if err != nil {
		return 0, fmt.Errorf("ask for the object store's date: %w", err)
	}
	for e, err := range c.s.bucket.List(ctx, Prefix, Key(c.Before-1)) {
		if err != nil {
			return 0, fmt.Errorf("list publications: %w", err)
		}
		v, err := ParseVersion(strings.TrimPrefix(e.Key, Prefix))
		if err != nil {
			return 0, objectError(e.Key, err)
		}
		if v >= limit {
			break
		}
		if id.Date.Sub(e.Modified) < c.opt.Age {
			return v, nil
		}
	}
	return limit, nil
}

func (c *collection) announce(ctx context.Context) error {
	if c.opt.DryRun || c.Boundary <= c.Before {
		return nil
	}
	return c.s.raise(ctx, c.Boundary, c.opt.By)
}

// heed finds where what is kept begins: the newest checkpoint from which every
// reader's version, and every one from the boundary on, can be read.
func (c *collection) heed(ctx context.Context) error {
	var err error
	if c.readers, err = c.s.Readers(ctx); err != nil {
		return err
	}
	from := c.Boundary - 1
	for _, r := range c.readers {
		if !r.Expired && r.Version < from {
			from, c.HeldBy = r.Version, fmt.Sprintf("reader %s of version %d until %s: %s", r.Key, r.Version, r.Until.UTC().Format(time.RFC3339), r.Why)
		}
	}
	v, err := c.start(ctx, from+1)
	c.Keep = v + 1
	return err
}

// numbers lists the objects below a prefix that are named by a number.
func (s *Store) numbers(ctx context.Context, prefix string) ([]Version, error) {
	var out []Version
	for e, err := range s.bucket.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		v, err := ParseVersion(strings.TrimPrefix(e.Key, prefix))
		if err != nil {
			return nil, objectError(e.Key, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// gone reports whether an object was not there.
func gone(err error) bool { return errors.Is(err, objstore.ErrNotFound) }
