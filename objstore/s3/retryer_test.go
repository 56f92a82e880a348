// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"errors"
	"testing"
	"time"
)

// Pauses are random below their bound, so that what failed together does not come
// back together.
func TestPausesAreRandomAndBounded(t *testing.T) {
	const most = 200 * time.Millisecond
	o, err := Options{Bucket: "b", MaxBackoff: most, ReadAttempts: 9}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r, seen := o.retryer(), map[time.Duration]bool{}
	for range 50 {
		d, err := r.RetryDelay(8, errors.New("x"))
		if err != nil || d < 0 || d > most {
			t.Fatalf("%s, %v; want at most %s", d, err, most)
		}
		seen[d] = true
	}
	if len(seen) < 25 || r.MaxAttempts() != 9 {
		t.Errorf("%d of 50 pauses differ, %d attempts", len(seen), r.MaxAttempts())
	}
	o.Jitter, o.MaxBackoff = func() float64 { return 1 }, time.Second
	for i, want := range []time.Duration{200, 200, 400, 800, 1000, 1000} {
		if d, _ := o.retryer().RetryDelay(i, nil); d != want*time.Millisecond {
			t.Errorf("the room of pause %d is %s, want %d ms", i, d, want)
		}
	}
}

// A call has time for its attempts, whatever they are set to.
func TestACallLastsAsLongAsItsAttempts(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want time.Duration
	}{
		{Options{}, time.Minute},
		{Options{AnswerTimeout: 5 * time.Minute, ReadAttempts: 2, DialTimeout: time.Second, MaxBackoff: 9 * time.Second}, 10*time.Minute + 20*time.Second},
		{Options{AnswerTimeout: time.Second, ReadAttempts: 1}, 20 * time.Second},
		{Options{CallTimeout: time.Second}, time.Second},
	} {
		c.o.Bucket = "b"
		if o, err := c.o.withDefaults(); err != nil || o.CallTimeout != c.want {
			t.Errorf("%s, %v; want %s", o.CallTimeout, err, c.want)
		}
	}
}
