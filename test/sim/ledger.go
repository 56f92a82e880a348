// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
)

// Ledger watches a bucket. It keeps its own book of the store, made from the
// objects alone and by the rules of docs/protocol.md, not by the product's code,
// and writes down every breach of a law at the moment at which it happens. It
// also keeps what clients were told.
type Ledger struct {
	// Breaches are laws that were broken, in order.
	Breaches []Breach

	version manifest.Version
	digest  string
	tables  map[manifest.TableID]manifest.Pin
	writers map[manifest.WriterID]manifest.Epoch
	lock    *manifest.Lock
	// announced, low: the low-water as it was announced and as it is.
	announced, low manifest.Version
	head           manifest.ChainHead
	ops            map[manifest.OperationID]operation
	// seen are the tables whose readers follow their head.
	seen map[manifest.TableID]bool
	// armed are processes that have had an epoch, and know it; rows the newest row of
	// whose sidecar a recoverer has deleted.
	armed map[manifest.ProcessID]bool
	// given are the epochs that the line has given.
	given map[manifest.Epoch]bool
	rows  map[string]uint64
	// frozen are the freezes that have had their lock, by its owner.
	frozen map[string]bool
}

// Breach is a law that was broken.
type Breach struct {
	// Law is the name of the oracle, and of the line in docs/invariants.md.
	Law  string
	What string
}

func (b Breach) String() string { return b.Law + ": " + b.What }

// operation is what is known of one operation. It is a value: a copy of the
// ledger shares none.
type operation struct {
	plan      *recovery.Sidecar // as it was armed
	intent    string            // what its client wanted
	confirmed bool
	gone      bool // its intent was deleted: one that comes back is late
	outcome   manifest.Kind
	version   manifest.Version
	restored  manifest.Version // the end of its roll-back
	undone    int              // tables that the end names
	by        manifest.Publisher
	told      told
}

// told is what a client heard of its operation.
type told uint8

const (
	toldNothing told = iota
	toldPublished
	toldFailed
)

func newLedger() *Ledger {
	return &Ledger{
		tables:  map[manifest.TableID]manifest.Pin{},
		writers: map[manifest.WriterID]manifest.Epoch{},
		ops:     map[manifest.OperationID]operation{},
		seen:    map[manifest.TableID]bool{},
		armed:   map[manifest.ProcessID]bool{},
		given:   map[manifest.Epoch]bool{},
		rows:    map[string]uint64{},
		frozen:  map[string]bool{},
	}
}

func (l *Ledger) clone() *Ledger {
	c := *l
	c.Breaches = slices.Clone(l.Breaches)
	c.tables, c.writers, c.ops, c.seen = maps.Clone(l.tables), maps.Clone(l.writers), maps.Clone(l.ops), maps.Clone(l.seen)
	c.armed, c.rows, c.given = maps.Clone(l.armed), maps.Clone(l.rows), maps.Clone(l.given)
	c.frozen = maps.Clone(l.frozen)
	if l.lock != nil {
		lock := *l.lock
		c.lock = &lock
	}
	return &c
}

// promises is what clients were told, as a text: a part of the state.
func (l *Ledger) promises() string {
	var b strings.Builder
	for _, op := range slices.Sorted(maps.Keys(l.ops)) {
		if o := l.ops[op]; o.told != toldNothing {
			fmt.Fprintf(&b, "%s=%d ", op, o.told)
		}
	}
	return b.String()
}

func (l *Ledger) breach(law, format string, args ...any) {
	l.Breaches = append(l.Breaches, Breach{law, fmt.Sprintf(format, args...)})
}

// intends says which of its client's wishes an operation is for.
func (l *Ledger) intends(op manifest.OperationID, intent string) {
	o := l.ops[op]
	o.intent = intent
	l.ops[op] = o
}

// tell takes down what a client heard, and checks what can be checked at once.
func (l *Ledger) tell(op manifest.OperationID, what told, v manifest.Version) {
	o := l.ops[op]
	o.told = what
	l.ops[op] = o
	switch {
	case what == toldPublished && o.outcome != manifest.KindPublish:
		l.breach("NobodyIsToldSomethingFalse", "the client of %s was told published, and the manifest says %q", op, o.outcome)
	case what == toldPublished && o.version != v:
		l.breach("NobodyIsToldSomethingFalse", "the client of %s was told version %d, it is %d", op, v, o.version)
	case what == toldFailed && o.outcome == manifest.KindPublish:
		l.breach("NobodyIsToldSomethingFalse", "the client of %s was told failed, and it is published in %d", op, o.version)
	}
}

func there(d *mem.Bucket, key string) bool {
	_, err := d.Get(always, key)
	return err == nil
}

// created is called behind the creation of an object.
func (l *Ledger) created(d *mem.Bucket, by, key string, body []byte) {
	switch {
	case strings.HasPrefix(key, recovery.Prefix):
		l.intent(d, by, key, body)
	case strings.HasPrefix(key, commitlog.Prefix):
		l.commit(d, by, key, body)
	case strings.HasPrefix(key, manifest.TablePrefix):
		if _, op, ok := manifest.VersionKey(key); ok && l.ops[op].plan == nil {
			l.breach("IntentBeforeEffect", "%s created %s before anything announced it", by, short(key))
		}
	case strings.HasPrefix(key, manifest.Prefix):
		l.publication(d, by, key, body)
	}
}

// intent takes down a sidecar or a confirmation.
func (l *Ledger) intent(d *mem.Bucket, by, key string, body []byte) {
	name := strings.TrimPrefix(key, recovery.Prefix)
	if op, ok := strings.CutSuffix(name, ".confirmed"); ok {
		o := l.ops[manifest.OperationID(op)]
		if o.plan == nil {
			l.breach("IntentBeforeEffect", "%s confirmed %s, which was never armed", by, op)
			return
		}
		o.confirmed = true
		if o.plan.Base < l.low && o.outcome == "" {
			l.breach("AnnouncedBeforeTrimmed", "%s confirmed %s, which started from %d, and everything before %d is forgotten", by, op, o.plan.Base, l.low)
		}
		l.ops[manifest.OperationID(op)] = o
		for _, t := range o.plan.Tables {
			key := l.object(t.Table, manifest.Ref{Number: t.Number, Operation: o.plan.Operation})
			if !t.Drop && o.outcome == "" && !there(d, key) {
				l.breach("EffectBeforeConfirmation", "%s confirmed %s, and %s is not there", by, op, short(key))
			}
		}
		return
	}
	s, err := recovery.DecodeSidecar(body)
	if err != nil {
		return // torn, or written by a test: recovery refuses it
	}
	o := l.ops[s.Operation]
	if o.plan != nil && o.plan.Attempt != s.Attempt {
		l.breach("AnIdIsArmedOnce", "%s armed %s again, as another attempt", by, s.Operation)
	}
	o.plan = s
	l.ops[s.Operation], l.armed[s.Epoch.Process] = o, true
}

// deleted is called behind the deletion of an object that was there.
func (l *Ledger) deleted(d *mem.Bucket, by string, object objstore.Object) {
	key := object.Key
	switch {
	case strings.HasPrefix(key, recovery.Prefix) && !strings.Contains(key, "."):
		op := manifest.OperationID(strings.TrimPrefix(key, recovery.Prefix))
		o := l.ops[op]
		switch {
		case o.outcome == "" && o.plan != nil && o.plan.Base >= l.low:
			l.breach("OutcomeBeforeCleanUp", "%s deleted the intent of %s, which nobody decided", by, op)
		case o.outcome == manifest.KindRollBack && o.restored == 0:
			l.breach("RestoredBeforeCleanUp", "%s deleted the intent of %s, whose roll-back has not ended", by, op)
		case o.outcome == "" && o.plan != nil && (o.confirmed || l.applied(d, o)):
			l.breach("OnlyWhatDidNothingIsDiscarded", "%s discarded %s, which has effects", by, op)
		case o.outcome != "" && o.by.Role == manifest.RoleRecovery && recorded(d, op) == 0:
			l.breach("AuditBeforeCleanUp", "%s deleted the intent of %s, which recovery decided, before there was a row", by, op)
		}
		if l.lock != nil && l.lock.Owner == "roll-back/"+string(op) && l.lock.Until.After(object.Date) {
			l.breach("TheLockGoesBeforeTheIntent", "%s deleted the intent of %s, whose roll-back holds the lock until %s", by, op, l.lock.Until)
		}
		o.gone = true
		l.ops[op], l.rows[by] = o, max(l.rows[by], recorded(d, op))
	case strings.HasPrefix(key, manifest.TablePrefix):
		version, op, _ := manifest.VersionKey(key)
		for t, pin := range l.tables {
			if version == manifest.TableKey(t, pin.Number, pin.Operation) {
				l.breach("NothingNamedIsCollected", "%s deleted %s, which manifest %d names", by, short(key), l.version)
			}
		}
		if o := l.ops[op]; o.outcome == "" && o.plan != nil && there(d, recovery.SidecarKey(op)) {
			l.breach("NothingNamedIsCollected", "%s deleted %s, whose operation is not decided", by, short(key))
		}
	case strings.HasPrefix(key, manifest.Prefix):
		if boundary(d) <= strings.TrimPrefix(key, manifest.Prefix) {
			l.breach("BoundaryBeforeCollection", "%s deleted %s above the boundary %q", by, short(key), short(boundary(d)))
		}
		if age := object.Date.Sub(object.Modified); age < manifest.MinAge {
			l.breach("TheLastHourIsKept", "%s deleted %s, which is %s old", by, short(key), age)
		}
		l.unneeded(d, by, key)
	case strings.HasPrefix(key, manifest.BoundaryPrefix):
		if manifest.BoundaryPrefix+boundary(d) < key {
			l.breach("BoundaryBeforeCollection", "%s deleted the boundary that holds", by)
		}
	case strings.HasPrefix(key, "audit/"), key == manifest.IdentityKey:
		l.breach("TheTrailIsKept", "%s deleted %s", by, short(key))
	}
}

// unneeded checks that a publication may go: no intent is there whose outcome it holds.
func (l *Ledger) unneeded(d *mem.Bucket, by, key string) {
	for op, o := range l.ops {
		decided := o.outcome != "" && (key == manifest.Key(o.version) || key == manifest.Key(o.restored))
		if decided && !o.gone && there(d, recovery.SidecarKey(op)) {
			l.breach("WhatIsUnfinishedKeepsItsHistory", "%s deleted %s, which decides %s, and its intent is there", by, short(key), op)
		}
	}
}

// applied reports whether an effect of o is there.
func (l *Ledger) applied(d *mem.Bucket, o operation) bool {
	for _, t := range o.plan.Tables {
		if l.seen[t.Table] && author(d, commitlog.Key(t.Table, t.Number)) == o.plan.Operation {
			return true
		}
		if !t.Drop && there(d, t.Object(o.plan.Operation)) {
			return true
		}
	}
	return false
}

// recorded is the number of the row that the trail has of op; zero when it has none.
func recorded(d *mem.Bucket, op manifest.OperationID) uint64 {
	for e, err := range d.List(always, "audit/", "") {
		if o, gone := d.Get(always, e.Key); err == nil && gone == nil && bytes.Contains(o.Body, []byte(`"operation":"`+string(op)+`"`)) {
			n, _ := strconv.ParseUint(e.Key[strings.LastIndexByte(e.Key, '/')+1:], 10, 64)
			return n
		}
	}
	return 0
}

func boundary(d *mem.Bucket) string {
	newest := ""
	for e, err := range d.List(always, manifest.BoundaryPrefix, "") {
		if err != nil {
			return err.Error()
		}
		newest = strings.TrimPrefix(e.Key, manifest.BoundaryPrefix)
	}
	return newest
}

// digestOf returns the digest that the object's first line has, if the body is
// what that line says.
func digestOf(o objstore.Object) string {
	h, _, err := envelope.ParseHeader(o.Body)
	var any any
	if err != nil {
		return ""
	}
	if _, err := envelope.Decode(h.Kind, h.Format, o.Body, &any); err != nil {
		return ""
	}
	return h.Digest
}
