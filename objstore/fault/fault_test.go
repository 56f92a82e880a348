// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
)

var errThrottled = errors.New("slow down")

func put(t *testing.T, b objstore.Bucket, key string) (objstore.Outcome, error) {
	t.Helper()
	r, err := b.PutIfAbsent(t.Context(), key, []byte("body"), "a")
	return r.Outcome, err
}

func has(b objstore.Bucket, key string) bool {
	_, err := b.Get(context.Background(), key)
	return err == nil
}

func expect(t *testing.T, what string, got, want objstore.Outcome, err, wantErr error) {
	t.Helper()
	if got != want || !errors.Is(err, wantErr) {
		t.Fatalf("%s: %v, %v; want %v, %v", what, got, err, want, wantErr)
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestWithoutRulesItIsTheBucketItWraps(t *testing.T) {
	objstoretest.Acceptance(t, func() objstore.Bucket { return fault.Wrap(mem.New(mem.Options{})) })
}

func TestTheNthCallFails(t *testing.T) {
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	b.On(fault.PutIfAbsent, "manifest/").Nth(2).Fail(errThrottled)

	for i, want := range []objstore.Outcome{objstore.Created, objstore.Retry, objstore.Created} {
		if _, err := put(t, b, "tables/"+fmt.Sprint(i)); err != nil {
			t.Fatal(err) // another prefix: not counted by the rule
		}
		got, err := put(t, b, "manifest/"+fmt.Sprint(i))
		if got != want || (want == objstore.Retry) != errors.Is(err, errThrottled) {
			t.Fatalf("put %d: %v, %v; want %v", i, got, err, want)
		}
	}
	if has(store, "manifest/1") {
		t.Fatal("a call that failed before had an effect")
	}
	b.VerifyFired(t)
}

func TestFromTheNthCallOnAllFail(t *testing.T) {
	b := fault.Wrap(mem.New(mem.Options{}))
	b.On(fault.Any, "").From(3).Fail(errThrottled)
	for i := 1; i <= 5; i++ {
		_, err := put(t, b, fmt.Sprint(i))
		if (i >= 3) != errors.Is(err, errThrottled) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

func TestALostAnswerTookEffectAndALostRequestDidNot(t *testing.T) {
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	b.On(fault.PutIfAbsent, "answer").LoseAnswer()
	b.On(fault.PutIfAbsent, "request").LoseRequest()
	b.On(fault.Delete, "answer").LoseAnswer()

	got, err := put(t, b, "answer")
	expect(t, "lost answer", got, objstore.Unknown, err, fault.ErrAnswerLost)
	if !has(store, "answer") {
		t.Fatal("it did not take effect")
	}
	got, err = put(t, b, "request")
	expect(t, "lost request", got, objstore.Unknown, err, fault.ErrAnswerLost)
	if has(store, "request") {
		t.Fatal("it took effect")
	}
	if err := b.Delete(t.Context(), "answer"); !errors.Is(err, fault.ErrAnswerLost) || has(store, "answer") {
		t.Fatalf("delete: %v, still there: %v", err, has(store, "answer"))
	}
	b.VerifyFired(t)
}

func TestAListingThatFailsLate(t *testing.T) {
	b := fault.Wrap(mem.New(mem.Options{}))
	b.On(fault.List, "k").LoseAnswer()
	_, _ = put(t, b, "k1")
	_, _ = put(t, b, "k2")
	var got []string
	for e, err := range b.List(t.Context(), "k", "") {
		got = append(got, fmt.Sprint(e.Key, errors.Is(err, fault.ErrAnswerLost)))
	}
	if !slices.Equal(got, []string{"k1false", "k2false", "true"}) {
		t.Fatalf("%q", got)
	}
}

func TestATornPutLeavesTheBeginning(t *testing.T) {
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	b.On(fault.PutIfAbsent, "k").Tear(2)
	got, err := put(t, b, "k")
	expect(t, "torn", got, objstore.Unknown, err, fault.ErrAnswerLost)
	if o, err := store.Get(t.Context(), "k"); err != nil || string(o.Body) != "bo" {
		t.Fatalf("%q, %v", o.Body, err)
	}
}

func TestAParkedCallWaitsForTheTest(t *testing.T) {
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	gate := b.On(fault.PutIfAbsent, "manifest/").ParkBefore()
	after := b.On(fault.PutIfAbsent, "audit/").ParkAfter()
	done := make(chan objstore.Outcome)
	go func() {
		first, _ := put(t, b, "manifest/1")
		done <- first
		second, _ := put(t, b, "audit/1")
		done <- second
	}()

	call, err := gate.Await(within(t))
	if err != nil || call.Key != "manifest/1" || call.Write != 1 {
		t.Fatalf("%v, %v", call, err)
	}
	if has(store, "manifest/1") {
		t.Fatal("it took effect before the gate")
	}
	if got, err := put(t, b, "manifest/1"); got != objstore.Created {
		t.Fatalf("the second call is not held: %v, %v", got, err)
	}
	gate.Release()
	gate.Release()
	if got := <-done; got != objstore.Exists {
		t.Fatalf("the parked put: %v; want Exists", got)
	}

	<-after.Arrived()
	if !has(store, "audit/1") {
		t.Fatal("it has not taken effect at the gate behind it")
	}
	after.Release()
	if got := <-done; got != objstore.Created {
		t.Fatalf("the put parked behind its effect: %v; want Created", got)
	}
	b.VerifyFired(t)
}

func TestAParkedCallSeesItsContextEnd(t *testing.T) {
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	before := b.On(fault.PutIfAbsent, "before").ParkBefore()
	after := b.On(fault.PutIfAbsent, "after").ParkAfter()
	for _, c := range []struct {
		key  string
		gate *fault.Gate
		want objstore.Outcome
		has  bool
	}{{"before", before, objstore.Retry, false}, {"after", after, objstore.Unknown, true}} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-c.gate.Arrived(); cancel() }()
		r, err := b.PutIfAbsent(ctx, c.key, nil, "")
		expect(t, c.key, r.Outcome, c.want, err, context.Canceled)
		if has(store, c.key) != c.has {
			t.Fatalf("%s: there: %v", c.key, !c.has)
		}
	}
}

func TestAGateThatNobodyReachesSaysSo(t *testing.T) {
	b := fault.Wrap(mem.New(mem.Options{}))
	gate := b.On(fault.Delete, "recovery/").ParkBefore()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := gate.Await(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "Delete recovery/") {
		t.Fatalf("%v", err)
	}
	if got := b.Unfired(); len(got) != 1 || !strings.Contains(got[0], "Delete recovery/") {
		t.Fatalf("%q", got)
	}
}

func TestAWriteThatLandsLater(t *testing.T) {
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	late := b.On(fault.PutIfAbsent, "tables/").LandLater()
	if _, err := late.Land(t.Context()); err == nil {
		t.Fatal("landed before it was sent")
	}
	got, err := put(t, b, "tables/1")
	expect(t, "on its way", got, objstore.Unknown, err, fault.ErrAnswerLost)
	if has(store, "tables/1") {
		t.Fatal("it landed at once")
	}
	if r, err := late.Land(t.Context()); r.Outcome != objstore.Created || err != nil || !has(store, "tables/1") {
		t.Fatalf("landed: %v, %v", r.Outcome, err)
	}
	if _, err := late.Land(t.Context()); err == nil {
		t.Fatal("landed twice")
	}
}

func TestADeadProcessReachesNothing(t *testing.T) {
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	b.On(fault.PutIfAbsent, "").Nth(2).Crash(fault.Before)
	gate := b.On(fault.Delete, "one").ParkBefore()
	_, _ = put(t, b, "one")
	parked := make(chan error)
	go func() { parked <- b.Delete(context.Background(), "one") }()
	<-gate.Arrived()

	got, err := put(t, b, "two")
	expect(t, "the crash", got, objstore.Unknown, err, fault.ErrCrashed)
	<-b.Crashed()
	if err := <-parked; !errors.Is(err, fault.ErrCrashed) {
		t.Fatalf("parked: %v", err)
	}
	calls := len(b.Calls())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := b.Get(ctx, "one")
	_, rangeErr := b.GetRange(ctx, "one", 0, 1)
	_, putErr := b.PutIfAbsent(ctx, "three", nil, "")
	delErr := b.Delete(ctx, "one")
	var listErr error
	for _, err := range b.List(ctx, "", "") {
		listErr = err
	}
	for _, err := range []error{getErr, rangeErr, putErr, delErr, listErr} {
		if !errors.Is(err, fault.ErrCrashed) || errors.Is(err, context.Canceled) {
			t.Errorf("%v; want ErrCrashed and no word of the context", err)
		}
	}
	if len(b.Calls()) != calls {
		t.Error("calls of the dead are counted")
	}
	if !has(store, "one") || has(store, "two") || has(store, "three") {
		t.Error("something got through")
	}
}

// TestEveryCrashPoint is how a crash test is written: a run without faults says
// how many durable writes there are; then each is visited.
func TestEveryCrashPoint(t *testing.T) {
	scenario := func(b objstore.Bucket) error {
		if _, err := b.PutIfAbsent(t.Context(), "recovery/op", []byte("armed"), "a"); err != nil {
			return err
		}
		if _, err := b.Get(t.Context(), "recovery/op"); err != nil {
			return err
		}
		if _, err := b.PutIfAbsent(t.Context(), "manifest/1", []byte("published"), "a"); err != nil {
			return err
		}
		return b.Delete(t.Context(), "recovery/op")
	}
	whole := fault.Wrap(mem.New(mem.Options{}))
	if err := scenario(whole); err != nil || whole.DurableWrites() != 3 || whole.Count(fault.Any) != 4 {
		t.Fatalf("%v; %d durable writes, %d calls", err, whole.DurableWrites(), whole.Count(fault.Any))
	}

	var got []string
	for _, point := range fault.CrashPoints(whole.DurableWrites()) {
		store := mem.New(mem.Options{})
		b := fault.Wrap(store)
		b.CrashAt(point)
		if err := scenario(b); !errors.Is(err, fault.ErrCrashed) {
			t.Errorf("%v: %v; want ErrCrashed", point, err)
		}
		b.VerifyFired(t)
		var left []string
		for e := range store.List(t.Context(), "", "") {
			left = append(left, e.Key)
		}
		got = append(got, fmt.Sprintf("%v: %s", point, strings.Join(left, " ")))
	}
	want := []string{
		"durable write 1, before: ",
		"durable write 1, unacknowledged: recovery/op",
		"durable write 2, before: recovery/op",
		"durable write 2, unacknowledged: manifest/1 recovery/op",
		"durable write 3, before: manifest/1 recovery/op",
		"durable write 3, unacknowledged: manifest/1",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("\n got %q\nwant %q", got, want)
	}
}

func TestACrashCanTearABody(t *testing.T) {
	store := mem.New(mem.Options{})
	b := fault.Wrap(store)
	b.CrashAt(fault.CrashPoint{Write: 1, Moment: fault.Torn})
	got, err := put(t, b, "k")
	expect(t, "torn", got, objstore.Unknown, err, fault.ErrCrashed)
	if o, err := store.Get(t.Context(), "k"); err != nil || string(o.Body) != "bo" {
		t.Fatalf("%q, %v", o.Body, err)
	}
}

func TestTheHookSeesEveryCallInOrder(t *testing.T) {
	b := fault.Wrap(mem.New(mem.Options{}))
	var seen []string
	b.OnCall(func(c fault.Call) { seen = append(seen, c.String()) })
	_, _ = put(t, b, "k")
	_, _ = b.Get(t.Context(), "k")
	_, _ = b.GetRange(t.Context(), "k", 0, 1)
	for range b.List(t.Context(), "k", "") {
		continue
	}
	_ = b.Delete(t.Context(), "k")
	want := []string{"PutIfAbsent k (durable write 1)", "Get k", "GetRange k", "List k", "Delete k (durable write 2)"}
	if !slices.Equal(seen, want) || b.Count(fault.Get) != 1 {
		t.Fatalf("\n got %q\nwant %q", seen, want)
	}
}

func TestTheFirstRuleThatFiresActs(t *testing.T) {
	b := fault.Wrap(mem.New(mem.Options{}))
	b.On(fault.Get, "").Nth(1).LoseAnswer()
	b.On(fault.Get, "").Fail(errThrottled)
	_, _ = put(t, b, "k")
	_, first := b.Get(t.Context(), "k")
	_, second := b.Get(t.Context(), "k")
	if !errors.Is(first, fault.ErrAnswerLost) || !errors.Is(second, errThrottled) {
		t.Fatalf("%v, then %v", first, second)
	}
}

func TestCountsHoldUnderManyCallers(t *testing.T) {
	b := fault.Wrap(mem.New(mem.Options{}))
	b.On(fault.PutIfAbsent, "").Nth(50).Fail(errThrottled)
	var failed sync.Map
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if _, err := b.PutIfAbsent(t.Context(), fmt.Sprint("k", i), nil, ""); err != nil {
				failed.Store(i, err)
			}
		})
	}
	wg.Wait()
	n := 0
	for range failed.Range {
		n++
	}
	if n != 1 || b.DurableWrites() != 100 {
		t.Fatalf("%d failed, %d durable writes", n, b.DurableWrites())
	}
}
