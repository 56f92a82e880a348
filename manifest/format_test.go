// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/test/contract"
)

// release opens the root as a process of a release that knows formats up to n.
func (r *root) release(n int) (*manifest.Store, error) {
	return manifest.Open(r.t.Context(), r.disk, manifest.Options{
		NewID: r.id, Now: r.clock, Sleep: r.sleep, Resolve: 2 * time.Second, CheckpointEvery: 8,
	}.Knowing(n))
}

func (r *root) mustRelease(n int) *manifest.Store {
	r.t.Helper()
	s, err := r.release(n)
	must(r.t, err)
	return s
}

// bytes returns every object of the root.
func (r *root) bytes() map[string][]byte {
	r.t.Helper()
	out := map[string][]byte{}
	for e, err := range r.disk.List(r.t.Context(), "", "") {
		must(r.t, err)
		o, err := r.disk.Get(r.t.Context(), e.Key)
		must(r.t, err)
		out[e.Key] = o.Body
	}
	return out
}

func formatOf(t *testing.T, o []byte) int {
	t.Helper()
	h, _, err := envelope.ParseHeader(o)
	must(t, err)
	return h.Format
}

// wantsUpgrade fails unless err names the object and says what to do.
func wantsUpgrade(t *testing.T, err error, key string) {
	t.Helper()
	var newer *envelope.FormatError
	var object *manifest.ObjectError
	if !errors.As(err, &newer) || !errors.As(err, &object) {
		t.Fatalf("got %v, want an *ObjectError with a *FormatError", err)
	}
	if object.Key != key || newer.Found != 2 || newer.Max != 1 || !strings.Contains(err.Error(), "upgrade salvor") || strings.Contains(err.Error(), "restore") {
		t.Errorf("%s (%+v)", err, newer)
	}
}

// An upgrade that can be taken back: nothing of the new format is in the root
// until somebody says so, and whoever does not know it stops there.
func TestOlderReleaseGoesOnUntilTheFormatIsRaised(t *testing.T) {
	contract.Row(t, 162)
	r := newRoot(t)
	older, newer := r.mustRelease(1), r.mustRelease(2)
	a, b := r.writer(older, "a"), r.writer(newer, "b")
	publish := func(s *manifest.Store, by manifest.Publisher, op string) (manifest.Published, error) {
		st, err := s.Latest(t.Context())
		if err != nil {
			return manifest.Published{}, err
		}
		return s.Publish(t.Context(), move(st, by, op, op[:1]))
	}
	for _, op := range []string{"b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"} { // past a checkpoint
		_, err := publish(newer, b, op)
		must(t, err)
	}
	pub, err := publish(older, a, "a1")
	must(t, err)
	if st := pub.State; st.Level() != 1 || st.Format != 0 {
		t.Errorf("level %d (%d) before anybody raised it", st.Level(), st.Format)
	}
	for key, raw := range r.bytes() {
		if formatOf(t, raw) != 1 {
			t.Errorf("%s has format %d before anybody raised it", key, formatOf(t, raw))
		}
	}
	_, err = older.Snapshot(t.Context(), time.Hour, "a reader of the older release")
	must(t, err)

	by := manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}
	at := newer.View().Version
	if _, err := newer.RaiseFormat(t.Context(), by, 2, at); err == nil || !strings.Contains(err.Error(), "not 10") { // a1 came after
		t.Errorf("raised although the root moved on: %v", err)
	}
	var refused *envelope.FormatError
	if _, err := older.RaiseFormat(t.Context(), by, 2, at+1); !errors.As(err, &refused) {
		t.Errorf("the older release raised it: %v", err)
	}
	pub, err = newer.RaiseFormat(t.Context(), by, 2, at+1)
	must(t, err)
	raised := manifest.Key(pub.Version)
	if got := formatOf(t, r.bytes()[raised]); got != 2 || pub.State.Level() != 2 {
		t.Errorf("the raise is in format %d, the level is %d", got, pub.State.Level())
	}
	again, err := newer.RaiseFormat(t.Context(), by, 2, 1)
	if err != nil || again.Version != 0 {
		t.Errorf("raised twice: %+v, %v", again, err)
	}
	if _, err := newer.RaiseFormat(t.Context(), by, 1, pub.Version); !errors.Is(err, manifest.ErrFormatLower) {
		t.Errorf("lowered: %v", err)
	}

	before := r.bytes()
	_, err = older.Publish(t.Context(), move(older.View(), a, "a2", "a"))
	wantsUpgrade(t, err, raised)
	_, err = older.Latest(t.Context())
	wantsUpgrade(t, err, raised)
	_, err = r.release(1)
	wantsUpgrade(t, err, raised)
	_, err = older.Collect(t.Context(), manifest.CollectOptions{Pending: func(context.Context) ([]manifest.Pending, error) { return nil, nil }, By: "C"})
	wantsUpgrade(t, err, raised)
	after := r.bytes()
	for key, raw := range before {
		if !bytes.Equal(after[key], raw) {
			t.Errorf("%s was changed", key)
		}
	}
	if len(after) != len(before) {
		t.Errorf("the older release wrote: %d objects, before %d", len(after), len(before))
	}

	for _, op := range []string{"b9", "bA", "bB", "bC", "bD", "bE"} { // past the next checkpoint
		_, err = publish(newer, b, op)
		must(t, err)
	}
	if got := formatOf(t, r.bytes()[manifest.CheckpointKey(16)]); got != 2 {
		t.Errorf("checkpoint in format %d", got)
	}
	_, err = r.release(1)
	wantsUpgrade(t, err, manifest.CheckpointKey(16))
	if st := r.mustRelease(2).View(); st.Level() != 2 || st.Version != newer.View().Version {
		t.Errorf("a cold reader sees level %d at %d", st.Level(), st.Version)
	}
}

// What looks at a root from outside does not advise to mend what only is newer.
func TestVerifyOfANewerFormatSaysUpgrade(t *testing.T) {
	r := newRoot(t)
	newer := r.mustRelease(2)
	_, err := newer.RaiseFormat(t.Context(), manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}, 2, 0)
	must(t, err)
	v, err := manifest.Verify(t.Context(), r.disk, manifest.VerifyOptions{})
	must(t, err)
	if len(v.Problems) == 0 || v.Problems[0].Key != manifest.Key(1) || !strings.Contains(v.Problems[0].Remedy, "knows this format") {
		t.Errorf("%+v", v.Problems)
	}
}

// A process that is asleep in its put while the level is raised overwrites nothing.
func TestPublicationUnderWayMeetsTheRaise(t *testing.T) {
	contract.Row(t, 162)
	r := newRoot(t)
	newer := r.mustRelease(2)
	asleep := &beforePut{Bucket: r.disk, key: manifest.Key(3)}
	older, err := manifest.Open(t.Context(), asleep, manifest.Options{NewID: r.id, Now: r.clock, Sleep: r.sleep}.Knowing(1))
	must(t, err)
	a := r.writer(older, "a")
	_, err = older.Publish(t.Context(), move(older.View(), a, "a1", "a"))
	must(t, err)
	asleep.do = func() {
		_, err := newer.RaiseFormat(t.Context(), manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}, 2, 2)
		must(t, err)
	}
	_, err = newer.Latest(t.Context())
	must(t, err)
	_, err = older.Publish(t.Context(), move(older.View(), a, "a2", "a"))
	wantsUpgrade(t, err, manifest.Key(3))
	st, err := newer.Latest(t.Context())
	must(t, err)
	if st.Version != 3 || st.Ref("a").Operation != "a1" {
		t.Errorf("version %d, table a is %s", st.Version, st.Ref("a"))
	}
}

// beforePut runs do before the put of a key.
type beforePut struct {
	objstore.Bucket
	key string
	do  func()
}

func (b *beforePut) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if key == b.key {
		b.do()
	}
	return b.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

// The level of the store chooses the format of every kind.
func TestFormatsAt(t *testing.T) {
	f := envelope.Formats{1, 3, 4}
	for level, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 3, 4: 4, 9: 4} {
		if got := f.At(level); got != want {
			t.Errorf("level %d: format %d, want %d", level, got, want)
		}
	}
	if f.Newest() != 4 {
		t.Error(f.Newest())
	}
}
