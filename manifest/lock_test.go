// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

var operator = manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}

func (r *root) terms(owner string, mode manifest.LockMode, d time.Duration) manifest.Lock {
	return manifest.Lock{Owner: owner, Reason: "database restart", Mode: mode, Since: r.clock(), Until: r.clock().Add(d)}
}

func isLocked(err error) bool {
	var l *manifest.LockedError
	return errors.As(err, &l)
}

func TestWhatALockLetsThrough(t *testing.T) {
	contract.Row(t, 127)
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	old := s.View()
	_, err := s.Lock(t.Context(), operator, r.terms("M1", manifest.Draining, time.Hour))
	must(t, err)
	young := s.View()
	if young.Lock == nil || young.Lock.Version != young.Version || young.Lock.Mode != manifest.Draining {
		t.Fatalf("%+v", young.Lock)
	}
	presents := func(p manifest.Publication, owner string) manifest.Publication {
		p.Entries[0].LockOwner = owner
		return p
	}
	publish := func(p manifest.Publication) error { _, err := s.Publish(t.Context(), p); return err }

	must(t, publish(move(old, by, "STARTED-BEFORE", "a")))
	if err := publish(move(young, by, "STARTED-AFTER", "b")); !isLocked(err) {
		t.Errorf("draining: %v", err)
	}
	if err := publish(presents(move(young, by, "STRANGER", "b"), "M2")); !isLocked(err) {
		t.Errorf("a stranger: %v", err)
	}
	must(t, publish(presents(move(young, by, "OWNER", "b"), "M1")))
	_, err = s.Lock(t.Context(), operator, r.terms("M1", manifest.Frozen, time.Hour))
	must(t, err)
	if l := s.View().Lock; l.Mode != manifest.Frozen || l.Version != young.Lock.Version || !l.Until.Equal(young.Lock.Until) {
		t.Errorf("frozen: %+v, was %+v", l, young.Lock)
	}
	if err := publish(move(old, by, "TOO-LATE", "c")); !isLocked(err) {
		t.Errorf("frozen: %v", err)
	}
	must(t, publish(presents(move(s.View(), by, "OWNER-AGAIN", "c"), "M1")))
	// Control entries always publish.
	abandon := manifest.Publication{By: by, Entries: []manifest.Entry{{Kind: manifest.KindAbandon, Operation: "STARTED-AFTER", Writer: by.Writer, Epoch: by.Epoch, Base: young.Version}}}
	must(t, publish(abandon))
	must(t, publish(manifest.Publication{By: operator, Entries: []manifest.Entry{manifest.Fence(by.Writer, by.Epoch)}}))
	by = r.writer(s, "w")
	if r.author("TOO-LATE")+r.author("STRANGER") != 0 {
		t.Error("a refused operation is in the manifest")
	}
	_, err = s.Release(t.Context(), operator, "M1")
	must(t, err)
	must(t, publish(move(s.View(), by, "AFTERWARDS", "c")))
	if st := r.open(r.disk).View(); st.Lock != nil || st.EndedLock.How != manifest.KindRelease || st.EndedLock.Owner != "M1" {
		t.Errorf("%+v %+v", st.Lock, st.EndedLock)
	}
}

func TestWhoMayChangeALock(t *testing.T) {
	contract.Row(t, 107)
	r := newRoot(t)
	s := r.open(r.disk)
	refuse := func(what string, err error, want func(error) bool) {
		t.Helper()
		before := r.open(r.disk).View().Version
		if !want(err) {
			t.Errorf("%s: %v", what, err)
		}
		if s.View().Version != before {
			t.Errorf("%s: something was published", what)
		}
	}
	notHeld := func(err error) bool { var e *manifest.NotHeldError; return errors.As(err, &e) }
	invalid := func(err error) bool { return errors.Is(err, manifest.ErrInvalidLock) }
	lock := func(l manifest.Lock) error { _, err := s.Lock(t.Context(), operator, l); return err }
	extend := func(owner string, d time.Duration) error {
		_, err := s.Extend(t.Context(), operator, owner, r.clock().Add(d))
		return err
	}
	release := func(owner string) error { _, err := s.Release(t.Context(), operator, owner); return err }

	refuse("no owner", lock(r.terms("", manifest.Frozen, time.Hour)), invalid)
	refuse("no mode", lock(r.terms("M", "Thawed", time.Hour)), invalid)
	refuse("no end", lock(manifest.Lock{Owner: "M", Mode: manifest.Frozen, Since: r.clock()}), invalid)
	refuse("an end before its beginning", lock(r.terms("M", manifest.Frozen, -time.Hour)), invalid)
	refuse("release of nothing", release("M"), notHeld)
	refuse("extension of nothing", extend("M", time.Hour), notHeld)

	must(t, lock(r.terms("M", manifest.Frozen, time.Hour)))
	held := s.View().Version
	must(t, lock(r.terms("M", manifest.Frozen, time.Hour))) // as it is: nothing to publish
	if s.View().Version != held {
		t.Error("the same lock was published twice")
	}
	refuse("another's lock", lock(r.terms("N", manifest.Draining, time.Hour)), isLocked)
	refuse("another's release", release("N"), notHeld)
	refuse("another's extension", extend("N", 2*time.Hour), notHeld)
	refuse("shorter", extend("M", time.Minute), invalid)
	refuse("back to draining", lock(r.terms("M", manifest.Draining, time.Hour)), invalid)
	must(t, extend("M", 2*time.Hour))
	must(t, release("M"))
	drains := r.terms("M", manifest.Draining, time.Hour)
	must(t, lock(drains))
	continues := r.terms("M", manifest.Frozen, time.Hour)
	continues.Version = s.View().Lock.Version - 1
	refuse("frozen, but another lock of the same owner", lock(continues), notHeld)
	continues.Version++
	must(t, lock(continues))
	if l := s.View().Lock; l.Mode != manifest.Frozen || l.Version != continues.Version {
		t.Errorf("the lock that was continued: %+v", l)
	}
	must(t, release("M"))
	refuse("frozen, and it has ended meanwhile", lock(continues), notHeld)
	var e *manifest.NotHeldError
	if err := release("M"); !errors.As(err, &e) || e.Ended == nil || e.Ended.Version != s.View().Version {
		t.Errorf("a second release does not say what became of the first: %v", err)
	}
}

// A lock ends by the date in object storage's answers: pods whose clocks are ten
// minutes off either way agree on the version at which it ended.
func TestALockEndsByTheObjectStoresClock(t *testing.T) {
	r := newRoot(t)
	open := func(skew time.Duration) *manifest.Store {
		s, err := manifest.Open(t.Context(), r.disk, manifest.Options{
			NewID: r.id, Sleep: r.sleep, Now: func() time.Time { return r.clock().Add(skew) },
		})
		must(t, err)
		return s
	}
	slow, fast := open(-10*time.Minute), open(10*time.Minute)
	bySlow, byFast := r.writer(slow, "slow"), r.writer(fast, "fast")
	_, err := fast.Lock(t.Context(), operator, r.terms("M", manifest.Frozen, 5*time.Minute))
	must(t, err)
	publish := func(s *manifest.Store, by manifest.Publisher, op string) error {
		_, err := s.Publish(t.Context(), move(s.View(), by, op, op))
		return err
	}
	for _, at := range []time.Duration{0, 4*time.Minute + 59*time.Second} {
		r.age(at)
		if err := publish(fast, byFast, "FAST-EARLY"); !isLocked(err) {
			t.Fatalf("a clock that runs ahead ended the lock %s early: %v", at, err)
		}
		if err := publish(slow, bySlow, "SLOW-EARLY"); !isLocked(err) {
			t.Fatal(err)
		}
	}
	_, err = fast.Extend(t.Context(), operator, "M", r.clock().Add(10*time.Second))
	must(t, err)
	r.age(2 * time.Second) // past the first end
	if err := publish(slow, bySlow, "SLOW-EARLY"); !isLocked(err) {
		t.Fatalf("the extension does not count: %v", err)
	}
	r.age(8 * time.Second)
	must(t, publish(slow, bySlow, "SLOW")) // its own clock says that there are minutes left
	must(t, publish(fast, byFast, "FAST"))
	a, b := slow.View().EndedLock, fast.View().EndedLock
	if a == nil || *a != *b || a.How != manifest.KindExpire || a.Version != r.author("SLOW") || r.author("FAST") != a.Version+1 {
		t.Errorf("ended %+v and %+v; SLOW is in %d, FAST in %d", a, b, r.author("SLOW"), r.author("FAST"))
	}
	if r.author("FAST-EARLY")+r.author("SLOW-EARLY") != 0 {
		t.Error("a frozen store was written to")
	}
}

// Whoever says that a lock is over without an answer that shows it is not believed.
func TestAnExpiryNeedsADate(t *testing.T) {
	r := newRoot(t)
	s := r.open(r.disk)
	_, err := s.Lock(t.Context(), operator, r.terms("M", manifest.Frozen, time.Hour))
	must(t, err)
	early := manifest.Entry{Kind: manifest.KindExpire, LockOwner: "M", Date: r.clock().Add(time.Minute)}
	if _, err := s.Publish(t.Context(), manifest.Publication{By: operator, Entries: []manifest.Entry{early}}); !errors.Is(err, manifest.ErrInvalidLock) {
		t.Errorf("%v", err)
	}
	st := s.View()
	broken := &manifest.Batch{Store: st.Store, Number: st.Version + 1, Parent: st.Digest, By: operator, Entries: []manifest.Entry{early}}
	if next, err := manifest.Apply(st, broken, "d"); err != nil || next.Lock == nil {
		t.Errorf("a reader believed an early expiry: %v", err)
	}
	// Of another lock, or of one that is over: nothing to do.
	late := manifest.Entry{Kind: manifest.KindExpire, LockOwner: "OTHER", Date: r.clock().Add(2 * time.Hour)}
	if pub, err := s.Publish(t.Context(), manifest.Publication{By: operator, Entries: []manifest.Entry{late}}); err != nil || pub.Version != 0 {
		t.Errorf("%+v %v", pub, err)
	}
}

// Taking a restored root over ends a lock whose owner was elsewhere.
func TestAdoptionEndsALock(t *testing.T) {
	r := newRoot(t)
	s := r.open(r.disk)
	_, err := s.Lock(t.Context(), operator, r.terms("M", manifest.Frozen, time.Hour))
	must(t, err)
	_, err = s.Adopt(t.Context(), operator, manifest.Claimant{Name: "orders"}, s.View().Version)
	must(t, err)
	if st := s.View(); st.Lock != nil || st.EndedLock.How != manifest.KindAdopt {
		t.Errorf("%+v", st.Lock)
	}
}
