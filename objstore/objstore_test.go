// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstore_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
)

func TestCheckKey(t *testing.T) {
	for _, key := range []string{
		"a", "store", "manifest/00000000000000000042", "recovery/01J.confirmed", "a/.b", "...", "a..b", "~!@#$%^&*()'\"`",
		strings.Repeat("s", 255), strings.Repeat("s", 255) + "/" + strings.Repeat("s", 255) + "/",
	} {
		key = strings.TrimSuffix(key, "/")
		if err := objstore.CheckKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/..", "../a", "a b", "a\tb", "a\x7f", "a\x80", "é", `a\b`,
		strings.Repeat("s", 256), "a/" + strings.Repeat("s", 256), strings.Repeat("ab/", 170) + "abc",
	} {
		if err := objstore.CheckKey(key); !errors.Is(err, objstore.ErrInvalidKey) {
			t.Errorf("%q: %v; want ErrInvalidKey", key, err)
		}
	}
}

func TestCheckPutAndRange(t *testing.T) {
	if err := objstore.CheckPut("k", make([]byte, objstore.MaxObject)); err != nil {
		t.Error(err)
	}
	if err := objstore.CheckPut("k", make([]byte, objstore.MaxObject+1)); !errors.Is(err, objstore.ErrTooLarge) {
		t.Error(err)
	}
	if err := objstore.CheckRange("k", 0, math.MaxInt64); err != nil {
		t.Error(err)
	}
	for _, c := range [][2]int64{{-1, 1}, {0, 0}, {0, math.MinInt64}} {
		if err := objstore.CheckRange("k", c[0], c[1]); !errors.Is(err, objstore.ErrInvalidRange) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	for o, want := range map[objstore.Outcome]string{
		objstore.Created: "Created", objstore.Exists: "Exists", objstore.Retry: "Retry", objstore.Unknown: "Unknown",
		objstore.OutcomeInvalid: "Outcome(0)",
	} {
		if o.String() != want {
			t.Errorf("%s, want %s", o, want)
		}
	}
}
