// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
)

// publication enters manifest/<n> into the book, by the rules of
// docs/protocol.md, and says which of them it breaks.
func (l *Ledger) publication(d *mem.Bucket, by, key string, body []byte) {
	b, digest, err := manifest.DecodeBatch(key, body)
	if err != nil {
		l.breach("TheLineIsOneLine", "%s created %s: %v", by, short(key), err)
		return
	}
	switch {
	case b.Number <= l.version:
		return // collected, and created again by somebody who slept: it counts for nobody
	case b.Number != l.version+1 || b.Parent != l.digest:
		l.breach("TheLineIsOneLine", "%s created publication %d behind %d", by, b.Number, l.version)
	}
	l.version, l.digest = b.Number, digest
	if b.Head.Number > l.head.Number {
		l.head = b.Head
		if !there(d, fmt.Sprintf("audit/main/%020d", b.Head.Number)) {
			l.breach("TheHeadIsThere", "publication %d carries head %d, which is not in the trail", b.Number, b.Head.Number)
		}
	}
	decides := func(e manifest.Entry) bool {
		return slices.Contains([]manifest.Kind{manifest.KindPublish, manifest.KindAbandon, manifest.KindRollBack, manifest.KindRestore}, e.Kind)
	}
	if b.By.Role == manifest.RoleRecovery && slices.ContainsFunc(b.Entries, decides) && b.Head.Number < l.rows[by] {
		l.breach("TheHeadKeepsUp", "publication %d by %s carries head %d, and its row %d is there: a tail that is cut off would not show", b.Number, by, b.Head.Number, l.rows[by])
	}
	for i := range b.Entries {
		l.entry(d, &b.Entries[i], b)
	}
}

func (l *Ledger) entry(d *mem.Bucket, e *manifest.Entry, b *manifest.Batch) {
	cur := l.writers[e.Writer]
	switch e.Kind {
	case manifest.KindRegister:
		if e.Epoch.Number != cur.Number+1 || e.Epoch.Process == "" {
			l.breach("AnEpochIsTakenOnce", "publication %d registers %s as %s over %s", b.Number, e.Writer, e.Epoch, cur)
		}
		if p := e.Epoch.Process; l.armed[p] && cur.Process != "" && cur.Process != p {
			l.breach("WhoIsSupersededExits", "publication %d registers %s as %s again, over %s: they would take turns for ever", b.Number, e.Writer, p, cur.Process)
		}
		l.writers[e.Writer], l.given[e.Epoch] = e.Epoch, true
	case manifest.KindFence:
		if cur == e.Epoch { // it ends the epoch that it names, and no other
			l.writers[e.Writer] = manifest.Epoch{Number: cur.Number + 1}
		}
	case manifest.KindPublish, manifest.KindAbandon, manifest.KindRollBack:
		l.decision(d, e, b)
	case manifest.KindRestore:
		l.restored(d, e, b)
	case manifest.KindLock, manifest.KindExtend, manifest.KindRelease, manifest.KindExpire:
		l.lockEntry(e, b)
	case manifest.KindAnnounce:
		l.announced = max(l.announced, e.LowWater)
	case manifest.KindTrim:
		if e.LowWater > l.announced {
			l.breach("AnnouncedBeforeTrimmed", "publication %d trims to %d, announced is %d", b.Number, e.LowWater, l.announced)
		}
		for op, o := range l.ops {
			if o.plan != nil && o.outcome == "" && o.plan.Base < e.LowWater && o.plan.Base >= l.low && there(d, recovery.SidecarKey(op)) && o.confirmed {
				l.breach("AnnouncedBeforeTrimmed", "publication %d forgets what %s needs, which is confirmed since %d", b.Number, op, o.plan.Base)
			}
			if o.plan != nil && o.outcome != "" && o.version > l.low && o.version <= e.LowWater && !o.gone && there(d, recovery.SidecarKey(op)) {
				l.breach("AnOutcomeOutlivesItsIntent", "publication %d forgets the outcome of %s, decided in %d, whose intent is there", b.Number, op, o.version)
			}
		}
		l.low = max(l.low, e.LowWater)
	}
}

// decision enters an outcome.
func (l *Ledger) decision(d *mem.Bucket, e *manifest.Entry, b *manifest.Batch) {
	o := l.ops[e.Operation]
	if o.outcome != "" {
		l.breach("OneOutcome", "operation %s: %s in publication %d, and %s in %d", e.Operation, o.outcome, o.version, e.Kind, b.Number)
		return
	}
	o.outcome, o.version, o.by = e.Kind, b.Number, b.By
	l.ops[e.Operation] = o
	ended := l.writers[e.Writer] != e.Epoch
	switch {
	case b.By.Role == manifest.RoleWriter && (ended || b.By.Epoch != e.Epoch || b.By.Writer != e.Writer):
		l.breach("AnEndedEpochDecidesNothing", "publication %d by %s %s decides %s, armed under %s; the epoch is %s",
			b.Number, b.By.Writer, b.By.Epoch, e.Operation, e.Epoch, l.writers[e.Writer])
	case b.By.Role == manifest.RoleRecovery && !ended:
		l.breach("RecoveryDecidesForEndedEpochsOnly", "publication %d decides %s, whose epoch %s is not over", b.Number, e.Operation, e.Epoch)
	}
	if s := o.plan; s != nil && (e.Epoch != s.Epoch || e.Writer != s.Writer || e.Base != s.Base || e.OutcomeID != minted(s, e.Kind)) {
		l.breach("TheEntryIsOfTheIntent", "publication %d decides %s of %s %s (base %d, %s), armed by %s %s (base %d, %+v)",
			b.Number, e.Operation, e.Writer, e.Epoch, e.Base, e.OutcomeID, s.Writer, s.Epoch, s.Base, s.Outcomes)
	}
	switch {
	case o.plan == nil:
		l.breach("IntentBeforeEffect", "publication %d decides %s, which was never armed", b.Number, e.Operation)
	case e.Kind == manifest.KindPublish:
		l.visible(d, e, b, o.plan, o.confirmed)
	case e.Kind == manifest.KindRollBack:
		l.exclusive(e, b)
	case recovery.TraitsOf(o.plan.Kind).Visible && l.applied(d, o):
		l.breach("WhatReadersSeeIsNotAbandoned", "publication %d abandons %s, of which readers see something", b.Number, e.Operation)
	}
}

// minted is the id that an outcome of this kind was given in the intent.
func minted(s *recovery.Sidecar, k manifest.Kind) string {
	return map[manifest.Kind]string{manifest.KindPublish: s.Outcomes.Publish, manifest.KindAbandon: s.Outcomes.Abandon, manifest.KindRollBack: s.Outcomes.RollBack}[k]
}

// visible enters the tables of a published operation.
func (l *Ledger) visible(d *mem.Bucket, e *manifest.Entry, b *manifest.Batch, plan *recovery.Sidecar, confirmed bool) {
	if recovery.TraitsOf(plan.Kind).Mode == recovery.ModeConfirmed && !confirmed {
		l.breach("ConfirmedBeforeForward", "publication %d publishes %s, which was never confirmed", b.Number, e.Operation)
	}
	if k := l.lock; k != nil && e.LockOwner != k.Owner && (k.Mode == manifest.Frozen || e.Base >= k.Version) {
		l.breach("NothingPublishesUnderALock", "publication %d publishes %s (base %d) while %s by %s since %d", b.Number, e.Operation, e.Base, k.Mode, k.Owner, k.Version)
	}
	if len(e.Tables) != len(plan.Tables) {
		l.breach("AllOrNothing", "publication %d names %d tables of %s, which has %d", b.Number, len(e.Tables), e.Operation, len(plan.Tables))
	}
	for _, c := range e.Tables {
		if !planned(plan, c) {
			l.breach("AllOrNothing", "publication %d does to %s what %s did not announce", b.Number, c.Table, e.Operation)
		}
		if actual := l.tables[c.Table].Ref; actual != c.Expected {
			l.breach("NoLostUpdate", "publication %d moves %s from %s, it is at %s", b.Number, c.Table, c.Expected, actual)
		}
		if c.To == nil {
			delete(l.tables, c.Table)
			continue
		}
		l.tables[c.Table] = *c.To
		key := l.object(c.Table, c.To.Ref)
		if v, err := d.Get(always, key); err != nil || c.To.Digest == "" || digestOf(v) != c.To.Digest {
			l.breach("EffectBeforePublication", "publication %d names %s, which is not there as it says (%v)", b.Number, short(key), err)
		}
	}
}

// planned reports whether the intent announced this change.
func planned(s *recovery.Sidecar, c manifest.Change) bool {
	for _, t := range s.Tables {
		if t.Table == c.Table {
			return t.Expected == c.Expected && t.Drop == (c.To == nil) && (t.Drop || c.To.Ref == manifest.Ref{Number: t.Number, Operation: s.Operation})
		}
	}
	return false
}

// object is the name of a version.
func (l *Ledger) object(t manifest.TableID, r manifest.Ref) string {
	if l.seen[t] {
		return commitlog.Key(t, r.Number)
	}
	return manifest.TableKey(t, r.Number, r.Operation)
}

func (l *Ledger) lockEntry(e *manifest.Entry, b *manifest.Batch) {
	switch {
	case e.Kind == manifest.KindLock && l.lock == nil:
		lock := *e.Lock
		lock.Version = b.Number
		l.lock = &lock
		l.freeze(e.Lock.Owner, b)
	case e.Kind == manifest.KindLock:
		if l.lock.Owner != e.Lock.Owner {
			l.breach("ALockEndsByAnEntry", "publication %d locks for %s what %s holds", b.Number, e.Lock.Owner, l.lock.Owner)
		}
		l.lock.Mode = e.Lock.Mode
	case l.lock == nil:
	case e.Kind == manifest.KindExtend && e.Lock.Owner == l.lock.Owner:
		l.lock.Until = e.Lock.Until
	case e.Kind == manifest.KindRelease:
		if e.Lock.Owner != l.lock.Owner {
			l.breach("ALockEndsByAnEntry", "publication %d releases for %s what %s holds", b.Number, e.Lock.Owner, l.lock.Owner)
		}
		if op, undoes := strings.CutPrefix(l.lock.Owner, "roll-back/"); undoes {
			o := l.ops[manifest.OperationID(op)]
			if at := l.writers[manifest.Recoverer]; o.outcome == manifest.KindRollBack && o.restored == 0 && b.By.Process != at.Process {
				l.breach("ASuccessorsLockIsLeftAlone", "publication %d by %s releases the lock under which %s undoes %s", b.Number, b.By.Process, at.Process, op)
			}
		}
		l.lock = nil
	case e.Kind == manifest.KindExpire && e.LockOwner == l.lock.Owner:
		if e.Date.Before(l.lock.Until) {
			l.breach("ALockEndsByAnEntry", "publication %d expires at %s a lock until %s", b.Number, e.Date, l.lock.Until)
		}
		l.lock = nil
	}
}
