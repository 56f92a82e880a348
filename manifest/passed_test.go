// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// passing is the bucket of a publisher whose put lands, counts, and is collected
// before it hears of it. Once more then, its listings fail.
type passing struct {
	objstore.Bucket
	key   string
	land  func() // what happens while the publisher sleeps
	fail  string // a listing of this prefix fails
	slept bool
}

func (p *passing) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	res, err := p.Bucket.PutIfAbsent(ctx, key, body, attempt)
	if key != p.key || p.slept {
		return res, err
	}
	p.slept = true
	p.land()
	return objstore.PutResult{Outcome: objstore.Unknown}, fault.ErrAnswerLost
}

func (p *passing) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	if p.slept && prefix == p.fail {
		return func(yield func(objstore.Entry, error) bool) { yield(objstore.Entry{}, fault.ErrAnswerLost) }
	}
	return p.Bucket.List(ctx, prefix, after)
}

// A publication that counted and was collected meanwhile is published; as long as
// the newest state cannot be read it is unknown, and never "nothing was published".
func TestPublicationThatWasCollectedMeanwhile(t *testing.T) {
	contract.Row(t, 125)
	for _, fail := range []string{"", manifest.CheckpointPrefix, manifest.BoundaryPrefix} {
		r := newRoot(t)
		others := r.open(r.disk)
		by := r.writer(others, "other")
		p := &passing{Bucket: r.disk, fail: fail}
		s := r.open(p)
		me := r.writer(s, "me")
		at := s.View().Version + 1
		p.key = manifest.Key(at)
		p.land = func() {
			st, err := others.Latest(t.Context())
			must(t, err)
			for i := range 16 { // past two checkpoints
				pub, err := others.Publish(t.Context(), move(st, by, "o"+string(rune('a'+i)), "o"))
				must(t, err)
				st = pub.State
			}
			raw, err := envelope.Encode("boundary", 1, map[string]any{"store": "uid-1", "number": 9})
			must(t, err)
			_, err = r.disk.PutIfAbsent(t.Context(), manifest.BoundaryKey(9), raw, "C")
			must(t, err)
		}
		pub, err := s.Publish(t.Context(), move(s.View(), me, "mine", "mine"))
		if fail != "" {
			if !errors.Is(err, manifest.ErrUnknown) {
				t.Errorf("listing %s fails: %v, want ErrUnknown", fail, err)
			}
			continue
		}
		if err != nil || pub.Version != at || pub.Batch == nil || pub.State.Ref("mine").Operation != "mine" {
			t.Errorf("%+v, %v: want it to be published in %d", pub, err, at)
		}
	}
}
