// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build emulators

package gcs_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/gcs"
	"github.com/salvor-io/salvor/objstore/objstoretest"
)

var buckets atomic.Int32

// newBucket creates a bucket on the emulator.
func newBucket(t *testing.T, endpoint string) gcs.Options {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", buckets.Add(1))
	resp, err := http.Post(endpoint+"/storage/v1/b?project=p", "application/json", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("create bucket: %s", resp.Status)
	}
	return gcs.Options{Bucket: name, Endpoint: endpoint, Anonymous: true}
}

func TestAcceptanceFakeGCS(t *testing.T) {
	endpoint := objstoretest.StartFakeGCS(t)
	objstoretest.Acceptance(t, func() objstore.Bucket { return open(t, newBucket(t, endpoint)) })
}

func TestProbeFakeGCS(t *testing.T) {
	b := open(t, newBucket(t, objstoretest.StartFakeGCS(t)))
	if err := objstore.Probe(t.Context(), b, "probe"); err != nil {
		t.Fatal(err)
	}
}

// The put was applied, the answer never came.
func TestADroppedAnswerFakeGCS(t *testing.T) {
	endpoint := objstoretest.StartFakeGCS(t)
	lossy := objstoretest.StartLossy(t, endpoint)
	o := newBucket(t, endpoint)
	o.Endpoint = lossy.Endpoint
	b := open(t, o)
	lossy.DropAnswers(func(r *http.Request) bool { return r.Method == http.MethodPost || r.Method == http.MethodDelete })
	for _, size := range []int{0, 100, objstore.MaxObject} {
		key, body := fmt.Sprintf("manifest/%d", size), bytes.Repeat([]byte("x"), size)
		before := len(lossy.Requests())
		r, err := b.PutIfAbsent(t.Context(), key, body, "attempt-1")
		if r.Outcome != objstore.Unknown || err == nil {
			t.Fatalf("%d bytes: %v, %v; want Unknown", size, r.Outcome, err)
		}
		if got := lossy.Requests()[before:]; len(got) != 1 {
			t.Errorf("%d bytes: %q; want one request", size, got)
		}
		if o, err := b.Get(t.Context(), key); err != nil || !bytes.Equal(o.Body, body) {
			t.Errorf("%d bytes: not applied: %v", size, err)
		}
	}
	if err := b.Delete(t.Context(), "manifest/0"); err == nil {
		t.Error("a delete without an answer is success")
	}
	lossy.DropAnswers(nil)
	if r, err := b.PutIfAbsent(t.Context(), "manifest/100", nil, "attempt-2"); r.Outcome != objstore.Exists || err != nil {
		t.Errorf("then: %v, %v; want Exists", r.Outcome, err)
	}
}
