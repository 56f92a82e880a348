// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// The order of the checks decides what a publisher is told: identity, epoch, pins.
func TestAdmitLooksAtIdentityBeforeEpochBeforePins(t *testing.T) {
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	base := s.View()
	_, err := s.Publish(t.Context(), move(base, by, "OP", "t"))
	must(t, err)
	successor := r.writer(s, "w")
	st := s.View()

	_, err = manifest.Admit(st, move(base, by, "OP", "t")) // decided, fenced and moved
	if o, ok := manifest.AsDecided(err); !ok || o.By.Process != by.Process || o.Kind != manifest.KindPublish {
		t.Errorf("the owner of a published operation was told %v", err)
	}
	_, err = manifest.Admit(st, move(base, by, "OTHER", "t")) // fenced and moved
	if !errors.Is(err, manifest.ErrFenced) {
		t.Errorf("a fenced writer was told %v", err)
	}
	_, err = manifest.Admit(st, move(base, successor, "OTHER", "t"))
	if !manifest.IsMismatch(err) {
		t.Errorf("a moved table: %v", err)
	}
	live := move(st, successor, "LIVE", "t")
	live.By = manifest.Publisher{Role: manifest.RoleRecovery, Process: "R"}
	if _, err = manifest.Admit(st, live); !errors.Is(err, manifest.ErrWriterLive) {
		t.Errorf("a recoverer may decide for a live writer: %v", err)
	}
	live.Entries = append([]manifest.Entry{manifest.Fence("w", successor.Epoch)}, live.Entries...)
	if kept, err := manifest.Admit(st, live); err != nil || len(kept) != 2 {
		t.Errorf("fence and outcome in one publication: %v %v", kept, err)
	}
}

// The list of outcomes is cut; absence from it proves nothing below the cut.
func TestTrimmedListIsNotEvidence(t *testing.T) {
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	base := s.View()
	_, err := s.Publish(t.Context(), move(base, by, "OLD", "t"))
	must(t, err)
	_, err = s.Publish(t.Context(), move(s.View(), by, "NEW", "t"))
	must(t, err)
	low := s.View().Version - 1
	operator := manifest.Publisher{Role: manifest.RoleRecovery, Process: "R"}
	cut := manifest.Publication{By: operator, Entries: []manifest.Entry{{Kind: manifest.KindTrim, LowWater: low}}}
	if _, err := s.Publish(t.Context(), cut); err == nil {
		t.Fatal("trimmed without an announcement")
	}
	_, err = s.Publish(t.Context(), manifest.Publication{By: operator, Entries: []manifest.Entry{{Kind: manifest.KindAnnounce, LowWater: low}}})
	must(t, err)
	_, err = s.Publish(t.Context(), cut)
	must(t, err)
	st := s.View()
	if _, ok := st.Outcome("OLD"); ok || st.LowWater != low || len(st.Outcomes) != 1 {
		t.Fatalf("outcomes %+v, low-water %d", st.Outcomes, st.LowWater)
	}
	r.writer(s, "w") // by's epoch ends
	again := move(base, by, "OLD", "t")
	again.By = operator
	var trimmed *manifest.TrimmedError
	if _, err := manifest.Admit(s.View(), again); !errors.As(err, &trimmed) || !errors.Is(err, manifest.ErrUnknown) {
		t.Fatalf("the outcome of a forgotten operation was guessed: %v", err)
	}
}

// The first outcome wins, for every reader, even if a broken publisher wrote a second.
func TestFirstOutcomeWins(t *testing.T) {
	st := manifest.NewState("uid")
	by := manifest.Publisher{Role: manifest.RoleWriter, Process: "P", Writer: "w", Epoch: manifest.Epoch{Number: 1, Process: "P"}}
	abandon := &manifest.Batch{Store: "uid", Number: 1, By: by, Entries: []manifest.Entry{{Kind: manifest.KindAbandon, Operation: "OP"}}}
	st, err := manifest.Apply(st, abandon, "d1")
	must(t, err)
	p := move(st, by, "OP", "t")
	st, err = manifest.Apply(st, &manifest.Batch{Store: "uid", Number: 2, Parent: "d1", By: by, Entries: p.Entries}, "d2")
	must(t, err)
	if o, _ := st.Outcome("OP"); o.Kind != manifest.KindAbandon || len(st.Tables) != 0 {
		t.Fatalf("outcome %+v, tables %v", o, st.Tables)
	}
}

func TestRootThatIsNotTheStoreIsRefused(t *testing.T) {
	contract.Row(t, 162)
	refused := func(t *testing.T, err error, says string) {
		t.Helper()
		var id *manifest.IdentityError
		if !errors.As(err, &id) || !strings.Contains(err.Error(), says) {
			t.Fatalf("want a refusal that says %q, got %v", says, err)
		}
	}
	t.Run("another store's publication", func(t *testing.T) {
		_, err := manifest.Apply(manifest.NewState("uid"), &manifest.Batch{Store: "other", Number: 1}, "d")
		refused(t, err, "swapped")
	})
	t.Run("restored from a copy while somebody publishes", func(t *testing.T) {
		r := newRoot(t)
		s := r.open(r.disk)
		by := r.writer(s, "w")
		copied := r.disk.Clone()
		_, err := s.Publish(t.Context(), move(s.View(), by, "LOST", "t"))
		must(t, err)
		// The copy goes on without what was published after it was made.
		inCopy := r.open(copied)
		_, err = inCopy.Publish(t.Context(), move(inCopy.View(), by, "KEPT", "t"))
		must(t, err)
		_, err = inCopy.Publish(t.Context(), move(inCopy.View(), by, "MORE", "t"))
		must(t, err)
		swap := &switchable{Bucket: r.disk}
		known := r.open(swap)
		swap.Bucket = copied
		_, err = known.Latest(t.Context())
		refused(t, err, "adopt")
	})
	t.Run("emptied by half", func(t *testing.T) {
		r := newRoot(t)
		r.writer(r.open(r.disk), "w")
		must(t, r.disk.Delete(t.Context(), manifest.IdentityKey))
		_, err := manifest.CreateIdentity(t.Context(), r.disk, "uid-2", "a", nil)
		refused(t, err, "empty prefix")
	})
	t.Run("claimed", func(t *testing.T) {
		r := newRoot(t)
		s := r.open(r.disk)
		op := manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}
		mine := manifest.Claimant{Cluster: "c", Namespace: "shop", Name: "orders", UID: "u1"}
		must(t, s.Claim(t.Context(), op, mine))
		must(t, s.Claim(t.Context(), op, mine))
		theirs := mine
		theirs.UID = "u2"
		refused(t, r.open(r.disk).Claim(t.Context(), op, theirs), "claimed by shop/orders")
	})
	t.Run("adopted, with every epoch ended", func(t *testing.T) {
		r := newRoot(t)
		s := r.open(r.disk)
		by := r.writer(s, "w")
		op := manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}
		mine := manifest.Claimant{Name: "me", UID: "u1"}
		_, err := s.Adopt(t.Context(), op, mine, 99)
		refused(t, err, "not 99")
		_, err = s.Adopt(t.Context(), op, mine, s.View().Version)
		must(t, err)
		if st := s.View(); st.Generation != 1 || *st.Claimant != mine || !st.Writers["w"].Fenced() {
			t.Fatalf("%+v", st)
		}
		if _, err := s.Publish(t.Context(), move(s.View(), by, "OP", "t")); !errors.Is(err, manifest.ErrFenced) {
			t.Fatalf("a writer of before the adoption published: %v", err)
		}
	})
}

type switchable struct{ objstore.Bucket }

// Opening costs the same at any history: the newest checkpoint and what follows.
func TestColdReaderDoesNotPayForHistory(t *testing.T) {
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	cost := func() int {
		b := fault.Wrap(r.disk)
		st := r.open(b).View()
		if st.Version != s.View().Version || st.Ref("t") != s.View().Ref("t") || len(st.Outcomes) != len(s.View().Outcomes) {
			t.Fatalf("a cold reader sees %+v", st)
		}
		return b.Count(fault.Get)
	}
	most := 0
	for i := range 40 {
		_, err := s.Publish(t.Context(), move(s.View(), by, "OP"+string(rune('A'+i)), "t"))
		if err != nil { // ids beyond Z are not letters
			_, err = s.Publish(t.Context(), move(s.View(), by, "OPx"+strings.Repeat("i", i), "t"))
		}
		must(t, err)
		most = max(most, cost())
	}
	if most > 11 { // identity, checkpoint, at most 8 publications, and the one that is not there
		t.Fatalf("a cold open made %d gets", most)
	}
}

func TestBadObjectsAreNamed(t *testing.T) {
	r := newRoot(t)
	s := r.open(r.disk)
	r.writer(s, "w")
	for name, raw := range map[string]string{
		"not a publication": "garbage",
		"upgrade salvor":    "salvor manifest 99 sha256:00\n{}\n",
		"damaged":           "salvor manifest 1 sha256:00\n{}\n",
	} {
		key := manifest.Key(2)
		must(t, r.disk.Delete(t.Context(), key))
		_, err := r.disk.PutIfAbsent(t.Context(), key, []byte(raw), "x")
		must(t, err)
		_, err = s.Latest(t.Context())
		var oe *manifest.ObjectError
		if !errors.As(err, &oe) || oe.Key != key {
			t.Errorf("%s: %v", name, err)
		}
		if raw == "garbage" {
			if !errors.Is(err, envelope.ErrMalformed) {
				t.Errorf("%v", err)
			}
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("want %q in %v", name, err)
		}
	}
}
