// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

func keys(t *testing.T, b objstore.Bucket) []string {
	t.Helper()
	var keys []string
	for e, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

func TestProbePassesAnHonestStoreAndLeavesNothing(t *testing.T) {
	contract.Row(t, 124)
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	if err := objstore.Probe(t.Context(), b, "probe/1/"); err != nil {
		t.Fatal(err)
	}
	if left := keys(t, store); len(left) != 0 {
		t.Errorf("left %q", left)
	}
	if n := b.Count(fault.Any); n != 10 {
		t.Errorf("%d requests: %v", n, b.Calls())
	}
}

func TestProbeFindsEachBrokenPromise(t *testing.T) {
	contract.Row(t, 124)
	for _, c := range []struct {
		name  string
		store func(objstore.Bucket) objstore.Bucket
		check string
		why   objstore.Reason
	}{
		{"ignores the condition", fault.IgnoresIfAbsent, "create a key that is taken", objstore.ConditionalWritesNotEnforced},
		{"checks, then writes", func(b objstore.Bucket) objstore.Bucket {
			return fault.ChecksThenWrites(b, func(key string) bool { return strings.HasSuffix(key, "/b") })
		}, "create an absent key twice at once", objstore.ConditionalWritesNotEnforced},
		{"lists late", fault.ListsLate, "list what was created", objstore.ReadsNotConsistent},
		{"remembers what was deleted", fault.RemembersDeleted, "create a key that was deleted", objstore.DeletesNotEffective},
		{"keeps what was deleted", fault.KeepsDeleted, "create a key that was deleted", objstore.DeletesNotEffective},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := mem.New(mem.Options{})
			err := objstore.Probe(t.Context(), c.store(store), "probe/1/")
			var found *objstore.ProbeError
			if !errors.As(err, &found) || found.Check != c.check || found.Why != c.why || found.Hint == "" {
				t.Fatalf("%v; want %s at %q, with a hint", err, c.why, c.check)
			}
			if left := keys(t, store); c.name != "keeps what was deleted" && len(left) != 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}

// Every call of the probe fails once, in each way: that is never a verdict about
// the store's promises, and nothing stays behind that can be deleted.
func TestProbeNeverTakesAFailureForAVerdict(t *testing.T) {
	contract.Row(t, 124)
	throttled := fmt.Errorf("busy: %w", objstore.ErrAccessDenied)
	for n := 1; n <= 8; n++ { // 9 and 10 tidy up, and are tried again
		for name, fail := range map[string]func(*fault.Rule){
			"refused":      func(r *fault.Rule) { r.Fail(throttled) },
			"lost request": func(r *fault.Rule) { r.LoseRequest() },
			"lost answer":  func(r *fault.Rule) { r.LoseAnswer() },
		} {
			store := mem.New(mem.Options{})
			b := fault.Wrap(store)
			fail(b.On(fault.Any, "").Nth(n))
			err := objstore.Probe(t.Context(), b, "probe/1/")
			var found *objstore.ProbeError
			if !errors.As(err, &found) || (found.Why != objstore.Unreachable && found.Why != objstore.AccessDenied) {
				t.Errorf("call %d, %s: %v", n, name, err)
			}
			b.VerifyFired(t)
			if left := keys(t, store); len(left) != 0 {
				t.Errorf("call %d, %s: left %q", n, name, left)
			}
		}
	}
}

func TestProbeTidiesUpAgainWhenItFailed(t *testing.T) {
	contract.Row(t, 124)
	for _, n := range []int{2, 3} { // the first delete is part of a check, the last two tidy up
		store := mem.New(mem.Options{})
		b := fault.Wrap(store)
		b.On(fault.Delete, "").Nth(n).LoseRequest()
		if err := objstore.Probe(t.Context(), b, "probe/1/"); err != nil {
			t.Errorf("%v", err)
		}
		b.VerifyFired(t)
		if left := keys(t, store); len(left) != 0 {
			t.Errorf("left %q", left)
		}
	}
}

func TestProbeFollowsRetry(t *testing.T) {
	contract.Row(t, 124)
	b := fault.Wrap(mem.New(mem.Options{}))
	b.On(fault.PutIfAbsent, "").Nth(1).Fail(errors.New("slow down"))
	b.On(fault.PutIfAbsent, "").Nth(4).Fail(errors.New("slow down"))
	if err := objstore.Probe(t.Context(), b, "probe/1/"); err != nil {
		t.Fatal(err)
	}
	b.VerifyFired(t)
}

func TestProbeTidiesUpAfterItsContextEnded(t *testing.T) {
	contract.Row(t, 124)
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	ctx, cancel := context.WithCancel(t.Context())
	b.OnCall(func(c fault.Call) {
		if c.Verb == fault.List {
			cancel()
		}
	})
	if err := objstore.Probe(ctx, b, "probe/1/"); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if left := keys(t, store); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

func TestProbeOnARealServerAndThroughAProxyThatStripsTheCondition(t *testing.T) {
	contract.Row(t, 124)
	server := objstoretest.StartVersitygw(t)
	proxy := objstoretest.StartProxy(t, server)
	name := server.NewBucket(t)
	b, err := s3.Open(t.Context(), proxy.Options(name))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	began := time.Now()
	if err := objstore.Probe(t.Context(), b, "probe/1/"); err != nil {
		t.Fatalf("the proxy as it is: %v", err)
	}
	t.Logf("a probe takes %d requests and %v", len(proxy.Requests()), time.Since(began))

	proxy.StripIfNoneMatch()
	err = objstore.Probe(t.Context(), b, "probe/2/")
	var found *objstore.ProbeError
	if !errors.As(err, &found) || found.Why != objstore.ConditionalWritesNotEnforced {
		t.Fatalf("%v; want %s", err, objstore.ConditionalWritesNotEnforced)
	}
	if left := keys(t, b); len(left) != 0 {
		t.Errorf("left %q", left)
	}
	for _, r := range proxy.Requests() {
		if !slices.ContainsFunc([]string{"/probe/1/", "/probe/2/"}, func(p string) bool { return strings.Contains(r, p) }) && !strings.HasPrefix(r, "LIST /"+name) {
			t.Errorf("a request outside the probe: %s", r)
		}
	}
}

func TestProbeNamesAMissingBucketAndWrongCredentials(t *testing.T) {
	contract.Row(t, 124)
	server := objstoretest.StartVersitygw(t)
	wrong := server.Options(server.NewBucket(t))
	wrong.SecretAccessKey = "wrong"
	for why, o := range map[objstore.Reason]s3.Options{
		objstore.NoSuchBucket: server.Options("nowhere"),
		objstore.AccessDenied: wrong,
	} {
		b, err := s3.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		err = objstore.Probe(t.Context(), b, "probe/1/")
		var found *objstore.ProbeError
		if !errors.As(err, &found) || found.Why != why {
			t.Errorf("%v; want %s", err, why)
		}
	}
}
