// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"encoding/json"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery/commitlog"
)

// commit takes down a version that readers see from now on.
func (l *Ledger) commit(d *mem.Bucket, by, key string, body []byte) {
	var c struct {
		Table     manifest.TableID     `json:"table"`
		Operation manifest.OperationID `json:"operation"`
	}
	if _, err := envelope.Decode("commit", 1, body, &c); err != nil {
		l.breach("IntentBeforeEffect", "%s created %s: %v", by, short(key), err)
		return
	}
	l.seen[c.Table] = true
	if o, ok := l.ops[c.Operation]; ok && o.plan != nil {
		if o.restored != 0 {
			l.breach("WhatIsUndoneStaysUndone", "%s shows readers %s of %s, whose roll-back ended in %d", by, short(key), c.Operation, o.restored)
		}
		return
	}
	for id, o := range l.ops {
		if o.plan != nil && o.plan.Outcomes.RollBack == string(c.Operation) {
			switch {
			case o.outcome != manifest.KindRollBack:
				l.breach("DecidedBeforeUndone", "%s undoes %s by %s, and the manifest says %q", by, id, short(key), o.outcome)
			case o.restored != 0:
				l.breach("NothingIsUndoneTwice", "%s undoes %s again by %s: that ended in %d", by, id, short(key), o.restored)
			}
			for e, err := range d.List(always, commitlog.Prefix+string(c.Table)+"/", "") {
				if err == nil && e.Key < key && author(d, e.Key) == c.Operation {
					l.breach("NothingIsUndoneTwice", "%s undoes %s by %s, and %s did", by, id, short(key), short(e.Key))
				}
			}
			return
		}
	}
	l.breach("IntentBeforeEffect", "%s created %s before anything announced it", by, short(key))
}

// exclusive checks who publishes what undoes: a recoverer whose epoch stands, under
// the lock that it presents.
func (l *Ledger) exclusive(e *manifest.Entry, b *manifest.Batch) {
	switch {
	case b.By.Role != manifest.RoleRecovery || b.By.Writer != manifest.Recoverer || l.writers[manifest.Recoverer] != b.By.Epoch:
		l.breach("OnlyTheNewestRecovererUndoes", "publication %d, %s of %s, by %s %s; the epoch is %s", b.Number, e.Kind, e.Operation, b.By.Writer, b.By.Epoch, l.writers[manifest.Recoverer])
	case l.lock == nil || l.lock.Owner != e.LockOwner:
		l.breach("UndoneUnderTheLock", "publication %d, %s of %s, presents lock %q, held is %+v", b.Number, e.Kind, e.Operation, e.LockOwner, l.lock)
	}
}

// restored enters the end of a roll-back: readers see what the manifest named before,
// and it names what they see.
func (l *Ledger) restored(d *mem.Bucket, e *manifest.Entry, b *manifest.Batch) {
	l.exclusive(e, b)
	o := l.ops[e.Operation]
	if o.outcome != manifest.KindRollBack || o.restored != 0 || o.plan == nil {
		l.breach("DecidedBeforeUndone", "publication %d ends the roll-back of %s, which is %q and ended in %d", b.Number, e.Operation, o.outcome, o.restored)
		return
	}
	o.restored, o.undone = b.Number, len(e.Tables)
	l.ops[e.Operation] = o
	for _, c := range e.Tables {
		before := l.tables[c.Table]
		if before.Ref != c.Expected {
			l.breach("NoLostUpdate", "publication %d moves %s from %s, it is at %s", b.Number, c.Table, c.Expected, before.Ref)
		}
		head, err := commitlog.New(d, patience).Read(always, c.Table)
		if err != nil {
			l.breach("ReadersSeeWhatIsNamed", "publication %d: %v", b.Number, err)
			continue
		}
		if c.To == nil {
			if !head.Gone {
				l.breach("ReadersSeeWhatIsNamed", "publication %d takes %s away, readers see %s", b.Number, c.Table, head.Ref())
			}
			continue
		}
		l.tables[c.Table] = *c.To
		if head.Ref() != c.To.Ref || head.Digest != c.To.Digest || text(d, c.Table, before.Number) != string(head.Content) {
			l.breach("ReadersSeeWhatIsNamed", "publication %d names %s of %s for %s, readers see %s: %s", b.Number, c.To.Ref, c.Table, before.Ref, head.Ref(), head.Content)
		}
	}
}

// author is whose version it is.
func author(d *mem.Bucket, key string) manifest.OperationID {
	var c struct {
		Operation manifest.OperationID `json:"operation"`
	}
	o, err := d.Get(always, key)
	if err == nil {
		_, err = envelope.Decode("commit", 1, o.Body, &c)
	}
	if err != nil {
		return ""
	}
	return c.Operation
}

// text is the content of a version.
func text(d *mem.Bucket, t manifest.TableID, n uint64) string {
	o, err := d.Get(always, commitlog.Key(t, n))
	var c struct {
		Content json.RawMessage `json:"content"`
	}
	if err == nil {
		_, err = envelope.Decode("commit", 1, o.Body, &c)
	}
	if err != nil {
		return err.Error()
	}
	return string(c.Content)
}

// readersSeeWhatIsNamed: at the end, the newest version of each table whose readers
// follow it is the one that the manifest names, or none.
func (j *judge) readersSeeWhatIsNamed(context.Context) {
	for t := range j.l.seen {
		head, err := commitlog.New(j.p.w.Disk, patience).Read(always, t)
		pin, named := j.l.tables[t]
		switch {
		case err != nil:
			j.l.breach("ReadersSeeWhatIsNamed", "table %s: %v", t, err)
		case named && (head.Ref() != pin.Ref || head.Digest != pin.Digest), !named && !head.Gone:
			j.l.breach("ReadersSeeWhatIsNamed", "readers of %s see %s, the manifest names %s", t, head.Ref(), pin.Ref)
		}
	}
}

// theSeenGoOn: the next write of each table whose readers follow it works.
func (j *judge) theSeenGoOn(ctx context.Context) {
	if len(j.l.seen) == 0 {
		return
	}
	wr, err := j.p.writer(ctx, "next")
	if err != nil {
		j.l.breach("TheStoreGoesOn", "register: %v", err)
		return
	}
	r, err := wr.Commit(ctx, j.p.operation(seen("the next that readers see", "x", "y", "q")))
	if err != nil {
		j.l.breach("TheStoreGoesOn", "%v", err)
		return
	}
	j.p.tell(r.Operation, toldPublished, r.Version)
}

var patience = objstore.Patience{}
