// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
)

// smt is a StoreMaintenance as the API server keeps it. Each of its states is an
// object of the world's bucket, the next number of its line: that is what a write over
// the resourceVersion that was read comes to, and every write is a place to die.
type smt struct {
	Until   time.Time
	Deleted bool
	// The status.
	Leaving  bool
	Asked    bool
	AskedAt  manifest.Version
	Took     bool
	State    maintenance.State
	Released bool

	name    string
	version int
}

const apiPrefix = "api/"

func (m smt) key(n int) string { return fmt.Sprintf("%s%s/%04d", apiPrefix, m.name, n) }

// owner is the one of its locks.
func (m smt) owner() string { return freezes + m.name }

// freezes begins the owner of every lock of a maintenance.
const freezes = "maintenance/"

var errConflict = errors.New("the object has been modified")

// maintenanceOf reads a resource past every cache; version 0: there is none yet.
func (p *Process) maintenanceOf(ctx context.Context, name string) (m smt, err error) {
	m.name = name
	b, last := p.Bucket(), ""
	for e, err := range b.List(ctx, apiPrefix+name+"/", "") {
		if err != nil {
			return m, err
		}
		last = e.Key
		m.version++
	}
	if last == "" {
		return m, nil
	}
	o, err := b.Get(ctx, last)
	if err == nil {
		err = json.Unmarshal(o.Body, &m)
	}
	return m, err
}

// save writes the resource over the state that was read, and over no other.
func (p *Process) save(ctx context.Context, m *smt) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	r, err := p.Bucket().PutIfAbsent(ctx, m.key(m.version+1), raw, p.NewID())
	switch {
	case err != nil:
		return err
	case r.Outcome != objstore.Created:
		return errConflict
	}
	m.version++
	return nil
}

// Admin asks for a maintenance, and thaws when it is held, or after so many looks.
func Admin(name, of string, patience int) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		m := smt{name: of, Until: p.Now().Add(2 * time.Hour)}
		_ = p.save(ctx, &m)
		for range patience {
			if p.Sleep(ctx, poll) != nil {
				return
			}
			if m, err := p.maintenanceOf(ctx, of); err == nil && m.State == maintenance.Held {
				break
			}
		}
		for range tries {
			m, err := p.maintenanceOf(ctx, of)
			if err == nil && (m.version == 0 || m.Deleted) {
				return
			}
			if m.Deleted = true; err == nil && p.save(ctx, &m) == nil || p.Dead() {
				return
			}
		}
	}}
}

// aThawLetsGo: behind an operator's look at it, a maintenance that is over holds
// nothing, whoever was asleep or died when it ended. (Before that look it may: one that
// was asleep takes a lock that its successor was about to give up, and gives it back.)
func (l *Ledger) aThawLetsGo(d *mem.Bucket, name string) {
	m, last := smt{name: name}, ""
	for e, err := range d.List(always, apiPrefix+name+"/", "") {
		if err == nil {
			last = e.Key
		}
	}
	o, err := d.Get(always, last)
	if err != nil || json.Unmarshal(o.Body, &m) != nil {
		return
	}
	if (m.Released || m.Deleted) && l.lock != nil && l.lock.Owner == m.owner() {
		l.breach("AThawLetsGo", "%s is over (%+v), and its lock of %d holds the store", name, m, l.lock.Version)
	}
}

// freeze enters a lock that was taken.
func (l *Ledger) freeze(owner string, b *manifest.Batch) {
	if strings.HasPrefix(owner, freezes) && l.frozen[owner] {
		l.breach("AFreezeThatIsOverFreezesNothing", "publication %d by %s takes the lock of %s again", b.Number, b.By.Process, owner)
	}
	l.frozen[owner] = true
}

// toldHeld reports whether the step told everybody that a maintenance holds its store.
func (s Step) toldHeld() bool {
	return strings.HasPrefix(s.Key, apiPrefix) && bytes.Contains(s.body, []byte(`"State":"Held"`))
}

// written checks that no writer does anything to a table while a maintenance holds
// the store: whoever restarts what is under it, or copies it, relies on that. A request
// that its client has given up may land whenever it likes, and a process whose writer
// has registered anew may sleep through all of it: no bucket refuses either. What they
// leave is named by nothing before the thaw.
func (l *Ledger) written(by *Process, key string) {
	effect := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
	if k := l.lock; k != nil && k.Mode == manifest.Frozen && strings.HasPrefix(k.Owner, freezes) && !l.overtaken(by) &&
		slices.ContainsFunc([]string{manifest.TablePrefix, commitlog.Prefix, recovery.Prefix}, effect) {
		l.breach("NobodyWritesWhileAllIsHeld", "%s created %s, and %s holds the store since %d", by.Name, short(key), k.Owner, k.Version)
	}
}

// overtaken: it had an epoch, and its writer has another one.
func (l *Ledger) overtaken(p *Process) bool {
	for e := range l.given {
		if e.Process == p.ID() {
			return l.writers[p.id].Process != p.ID()
		}
	}
	return false
}
