// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// spoilt is every way in which an object can be wrong that has a good one of the
// same kind, under another number, beside it.
func spoilt(t *testing.T, good, other []byte) map[string][]byte {
	t.Helper()
	_, body, err := envelope.ParseHeader(good)
	must(t, err)
	flipped := bytes.Clone(good)
	flipped[body+(len(good)-body)/2] ^= 1
	kind, _, _ := bytes.Cut(bytes.TrimPrefix(good, []byte("salvor ")), []byte(" "))
	swap := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	return map[string][]byte{
		"empty":                     {},
		"cut in its first line":     good[:body/2],
		"cut after its first line":  good[:body],
		"cut in its body":           good[:body+(len(good)-body)/2],
		"cut by its last byte":      good[:len(good)-1],
		"longer by a byte":          append(bytes.Clone(good), ' '),
		"a bit flipped":             flipped,
		"the digest of another one": swap("sha256:", "sha256:0")[:len(good)],
		"a newer format":            swap(string(kind)+" 1", string(kind)+" 99"),
		"another kind":              swap("salvor "+string(kind), "salvor sidecar"),
		"a copy of another one":     other,
		"no object of ours":         []byte("<html>Service Unavailable</html>"),
	}
}

// put writes over an object, as nobody who keeps the protocol does.
func (r *root) put(key string, raw []byte) {
	r.t.Helper()
	must(r.t, r.disk.Delete(r.t.Context(), key))
	_, err := r.disk.PutIfAbsent(r.t.Context(), key, raw, "x")
	must(r.t, err)
}

func (r *root) get(key string) []byte {
	r.t.Helper()
	o, err := r.disk.Get(r.t.Context(), key)
	must(r.t, err)
	return o.Body
}

// Whatever is wrong with an object, whoever needs it is told its name and what to
// do, and writes nothing; once the object is as it was, all goes on.
func TestABadObjectIsNamedAndNothingIsWritten(t *testing.T) {
	contract.Row(t, 129)
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	r.history(s, by, "t", 29)
	early := r.disk.Clone()
	r.history(s, by, "t", 4) // 34 publications, checkpoints at 8, 16, 24, 32
	snap, err := s.Snapshot(t.Context(), time.Hour, "why")
	must(t, err)
	r.age(2 * manifest.MinAge)
	whole := r.disk
	identity, err := envelope.Encode("store", 1, manifest.Identity{})
	must(t, err)
	readers := r.keys(manifest.ReaderPrefix)

	for _, c := range []struct {
		key   string
		other []byte // what a confused restore might put there; nil: spoils nothing
		cold  bool   // a process that starts needs it
		warm  bool   // one that was at publication 30 does
	}{
		{manifest.IdentityKey, r.get(manifest.Key(1)), true, false},
		{manifest.Key(33), r.get(manifest.Key(32)), true, true},
		{manifest.Key(31), r.get(manifest.Key(30)), false, true},
		{manifest.CheckpointKey(32), r.get(manifest.CheckpointKey(24)), false, false}, // history reaches back to an older one
		{manifest.ReaderPrefix + readers[0], identity, false, false},
	} {
		for how, raw := range spoilt(t, r.get(c.key), c.other) {
			t.Run(strings.ReplaceAll(c.key, "/", " ")+" "+how, func(t *testing.T) {
				r := &root{t: t, now: r.clock(), disk: whole.Clone()}
				r.ids.Store(1e6)
				good := r.get(c.key)
				r.put(c.key, raw)
				before := snapshotOf(t, r.disk)
				check := func(what string, err error) {
					t.Helper()
					var o *manifest.ObjectError
					if !errors.As(err, &o) || o.Key != c.key {
						t.Errorf("%s: %v; want an ObjectError that names %s", what, err, c.key)
						return
					}
					if len(o.Error()) < len(c.key)+40 {
						t.Errorf("%s: no remedy in: %v", what, err)
					}
				}
				opened, err := manifest.Open(t.Context(), r.disk, manifest.Options{NewID: r.id, Now: r.clock, Sleep: r.sleep})
				if c.cold || c.key == manifest.CheckpointKey(32) && how == "a newer format" { // that is no damage
					check("open", err)
				} else {
					must(t, err)
					if st := opened.View(); st.Version != snap.State.Version || st.Digest != snap.State.Digest {
						t.Errorf("it opened at %d", st.Version)
					}
					if c.key == manifest.ReaderPrefix+readers[0] {
						_, err = opened.Collect(t.Context(), collectOptions(1))
						check("collect", err)
					}
				}
				if c.warm {
					way := &door{early}
					late := r.open(way)
					way.Bucket = r.disk
					_, err = late.Latest(t.Context())
					check("read on", err)
					_, err = late.Publish(t.Context(), move(late.View(), by, "NEW", "t"))
					check("publish", err)
				}
				if after := snapshotOf(t, r.disk); !slices.Equal(before, after) && (c.cold || c.warm) {
					t.Errorf("something was written:\n%q\n%q", before, after)
				}
				v, err := manifest.Verify(t.Context(), r.disk, manifest.VerifyOptions{Deep: true})
				if c.key == manifest.IdentityKey {
					check("verify", err)
				} else if must(t, err); !strings.HasPrefix(c.key, manifest.ReaderPrefix) && !slices.ContainsFunc(v.Problems, func(p manifest.Problem) bool { return p.Key == c.key && p.Remedy != "" }) {
					t.Errorf("verify: %+v", v.Problems)
				}
				r.put(c.key, good)
				if st := r.open(r.disk).View(); st.Version != snap.State.Version {
					t.Errorf("restored, it is at %d", st.Version)
				}
			})
		}
	}
}

// snapshotOf lists what a bucket holds, for comparison.
func snapshotOf(t *testing.T, b *mem.Bucket) (out []string) {
	t.Helper()
	for e, err := range b.List(t.Context(), "", "") {
		must(t, err)
		out = append(out, e.Key)
	}
	return out
}

// door is a way to a bucket that can be exchanged.
type door struct{ objstore.Bucket }
