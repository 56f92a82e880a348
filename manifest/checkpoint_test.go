// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// small opens the root with checkpoints every 8 publications that are cut at 1 KiB.
func (r *root) small(b objstore.Bucket) (*manifest.Store, error) {
	return manifest.Open(r.t.Context(), b, manifest.Options{
		NewID: r.id, Now: r.clock, Sleep: r.sleep, Rebase: 64, Resolve: 2 * time.Second, CheckpointEvery: 8, CheckpointPart: 1 << 10,
	})
}

// wide publishes up to version v, with tables so many that a state has several parts.
func (r *root) wide(b objstore.Bucket, v manifest.Version) (*manifest.Store, manifest.Publisher) {
	r.t.Helper()
	s, err := r.small(b)
	must(r.t, err)
	by := r.writer(s, "w")
	for i := 0; s.View().Version < v; i++ {
		_, err := s.Publish(r.t.Context(), move(s.View(), by, r.id(), fmt.Sprintf("t%d", i), fmt.Sprintf("u%d", i)))
		must(r.t, err)
	}
	return s, by
}

// same fails unless a reader that knows nothing sees what want says.
func (r *root) same(when string, want *manifest.State) {
	r.t.Helper()
	s, err := r.small(r.disk)
	if err != nil {
		r.t.Errorf("%s: %v", when, err)
		return
	}
	if got := s.View(); got.Version != want.Version || !reflect.DeepEqual(got.Tables, want.Tables) || !reflect.DeepEqual(got.Outcomes, want.Outcomes) {
		r.t.Errorf("%s: read %d with %d tables, want %d with %d", when, got.Version, len(got.Tables), want.Version, len(want.Tables))
	}
}

func TestALargeStateIsCutIntoParts(t *testing.T) {
	contract.Row(t, 128)
	r := newRoot(t)
	s, _ := r.wide(r.disk, 17)
	parts := r.keys(manifest.PartPrefix)
	if len(parts) < 4 {
		t.Fatalf("parts %q", parts)
	}
	for _, prefix := range []string{manifest.PartPrefix, manifest.CheckpointPrefix} {
		for e, err := range r.disk.List(t.Context(), prefix, "") {
			if must(t, err); e.Size > 1<<10 {
				t.Errorf("%s has %d bytes", e.Key, e.Size)
			}
		}
	}
	r.same("cut", s.View())
	v, err := manifest.Verify(t.Context(), r.disk, manifest.VerifyOptions{})
	must(t, err)
	for _, p := range v.Problems { // the tables' objects are not there; nothing else may be wrong
		if !strings.HasPrefix(p.Key, manifest.TablePrefix) {
			t.Errorf("%s", p)
		}
	}
	if v.Checkpoints != 2 {
		t.Errorf("%d checkpoints were looked at", v.Checkpoints)
	}
	// An older version is read from the checkpoint before it.
	if st, err := s.At(t.Context(), 9); err != nil || st.Version != 9 {
		t.Errorf("version 9: %v", err)
	}
}

// A store of so many tables that its state does not fit in one object.
func TestThirtyThousandTablesHaveACheckpoint(t *testing.T) {
	contract.Row(t, 128)
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	for i := range 7 {
		var names []string
		for k := range 5000 {
			names = append(names, fmt.Sprintf("%d-%05d-%s", i, k, strings.Repeat("n", 110)))
		}
		p := move(s.View(), by, r.id(), names...)
		for k := range p.Entries[0].Tables {
			p.Entries[0].Tables[k].To.Digest = "sha256:" + strings.Repeat("d", 64)
		}
		pub, err := s.Publish(t.Context(), p)
		must(t, err)
		must(t, pub.CheckpointErr)
	}
	var sizes []int64
	for e, err := range r.disk.List(t.Context(), manifest.PartPrefix, "") {
		must(t, err)
		sizes = append(sizes, e.Size)
	}
	if len(sizes) != 2 || slices.Max(sizes) != objstore.MaxObject {
		t.Errorf("parts of %d bytes", sizes)
	}
	if got := r.open(r.disk).View(); got.Version != 8 || len(got.Tables) != 35_000 || !reflect.DeepEqual(got.Tables, s.View().Tables) {
		t.Errorf("read %d with %d tables", got.Version, len(got.Tables))
	}
}

// Whatever happens to a request of a checkpoint: the publication stands, and a
// reader that knows nothing finds it.
func TestEveryRequestOfACheckpointMayGoWrong(t *testing.T) {
	contract.Row(t, 128)
	faults := map[string]func(*fault.Rule){
		"it is refused":       func(f *fault.Rule) { f.Fail(objstore.ErrAccessDenied) },
		"the request is lost": func(f *fault.Rule) { f.LoseRequest() },
		"the answer is lost":  func(f *fault.Rule) { f.LoseAnswer() },
		"half of it arrives":  func(f *fault.Rule) { f.Tear(300) },
		"it dies before":      func(f *fault.Rule) { f.Crash(fault.Before) },
		"it dies in it":       func(f *fault.Rule) { f.Crash(fault.Torn) },
		"it dies after":       func(f *fault.Rule) { f.Crash(fault.Unacknowledged) },
	}
	dry := newRoot(t)
	dry.wide(dry.disk, 16)
	n := 0
	for _, key := range dry.keys("") {
		if strings.HasPrefix(key, manifest.PartKey(16, "")) || key == manifest.CheckpointKey(16) {
			n++
		}
	}
	if n < 4 {
		t.Fatalf("%d requests", n)
	}
	for name, inject := range faults {
		for i := 1; i <= n; i++ {
			r := newRoot(t)
			b := fault.Wrap(r.disk)
			s, by := r.wide(b, 15)
			inject(b.When("a checkpoint's put", func(c fault.Call) bool {
				return c.Verb == fault.PutIfAbsent && (strings.HasPrefix(c.Key, manifest.PartPrefix) || strings.HasPrefix(c.Key, manifest.CheckpointPrefix))
			}).Nth(i))
			pub, err := s.Publish(t.Context(), move(s.View(), by, "OP", "last"))
			b.VerifyFired(t)
			when := fmt.Sprintf("%s, request %d of %d", name, i, n)
			if err != nil || pub.Version != 16 || r.author("OP") != 16 {
				t.Errorf("%s: %d, %v", when, pub.Version, err)
				continue
			}
			r.same(when, s.View())
			// The list is there only if all that it names is, whole.
			v, err := manifest.Verify(t.Context(), r.disk, manifest.VerifyOptions{})
			must(t, err)
			for _, p := range v.Problems {
				torn := i == n && p.Key == manifest.CheckpointKey(16) && p.Defect == manifest.Unreadable
				if !strings.HasPrefix(p.Key, manifest.TablePrefix) && !torn {
					t.Errorf("%s: %s", when, p)
				}
			}
		}
	}
}

// A damaged checkpoint costs reading, as long as history reaches back to an older
// one. Without it the object is named.
func TestADamagedCheckpointIsPassedOver(t *testing.T) {
	contract.Row(t, 128)
	origin := newRoot(t)
	s, _ := origin.wide(origin.disk, 26)
	want := s.View()
	var keys []string
	for _, k := range origin.keys("") {
		if strings.HasPrefix(k, manifest.PartKey(24, "")) || k == manifest.CheckpointKey(24) {
			keys = append(keys, k)
		}
	}
	for _, key := range keys {
		for _, how := range []string{"gone", "cut off", "another's"} {
			for _, older := range []bool{true, false} {
				if how == "gone" && key == manifest.CheckpointKey(24) {
					continue // it was never there
				}
				r := &root{t: t, disk: origin.disk.Clone(), now: origin.clock()}
				o, err := r.disk.Get(t.Context(), key)
				must(t, err)
				must(t, r.disk.Delete(t.Context(), key))
				switch how {
				case "cut off":
					_, err = r.disk.PutIfAbsent(t.Context(), key, o.Body[:len(o.Body)/2], "x")
				case "another's":
					_, err = r.disk.PutIfAbsent(t.Context(), key, []byte(strings.Repeat("x", len(o.Body))), "x")
				}
				must(t, err)
				if !older { // as a collection up to 24 leaves it
					_, err := r.disk.PutIfAbsent(t.Context(), manifest.BoundaryKey(25), []byte("x"), "x")
					must(t, err)
					for _, k := range r.keys("") {
						if k < manifest.CheckpointKey(24) && strings.HasPrefix(k, manifest.CheckpointPrefix) ||
							k < manifest.Key(25) && strings.HasPrefix(k, manifest.Prefix) {
							must(t, r.disk.Delete(t.Context(), k))
						}
					}
				}
				when := fmt.Sprintf("%s %s, an older one: %v", key, how, older)
				if older {
					r.same(when, want)
					continue
				}
				_, err = r.small(r.disk)
				var named *manifest.ObjectError
				if !errors.As(err, &named) || named.Key != key || named.Hint == "" {
					t.Errorf("%s: %v", when, err)
				}
			}
		}
	}
}

// Parts go with their checkpoint, and what a dead publisher left goes too.
func TestPartsAreCollectedWithTheirCheckpoint(t *testing.T) {
	contract.Row(t, 129)
	r := newRoot(t)
	s, _ := r.wide(r.disk, 41)
	before := r.keys(manifest.PartKey(32, ""))
	orphan := manifest.PartKey(13, "sha256:abc")
	_, err := r.disk.PutIfAbsent(t.Context(), orphan, []byte("x"), "x")
	must(t, err)
	r.age(2 * time.Hour)
	c := r.collect(s, 8)
	if c.Keep != 33 || c.Checkpoints != 3 {
		t.Fatalf("%+v", c)
	}
	for _, k := range r.keys(manifest.PartPrefix) {
		if k < manifest.Version(32).String() {
			t.Errorf("%s is left", k)
		}
	}
	if got := r.keys(manifest.PartKey(32, "")); !slices.Equal(got, before) || len(got) < 4 {
		t.Errorf("parts of the kept one: %q, were %q", got, before)
	}
	r.same("after a collection", s.View())
}

// What is before a checkpoint goes only when the checkpoint was read.
func TestACollectionDoesNotStartFromADamagedCheckpoint(t *testing.T) {
	contract.Row(t, 129)
	r := newRoot(t)
	s, _ := r.wide(r.disk, 41)
	part := manifest.PartKey(32, "") + r.keys(manifest.PartKey(32, ""))[1]
	must(t, r.disk.Delete(t.Context(), part))
	r.age(2 * time.Hour)
	if c := r.collect(s, 8); c.Boundary != 25 || c.Keep != 25 || !strings.Contains(c.HeldBy, "checkpoint 32") {
		t.Errorf("%+v", c)
	}
	r.same("after a collection", s.View())
	// And the newest is damaged too: history reaches back.
	must(t, r.disk.Delete(t.Context(), manifest.PartKey(40, "")+r.keys(manifest.PartKey(40, ""))[0]))
	r.same("after a second loss", s.View())
}
