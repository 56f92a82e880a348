// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/test/contract"
)

// Whoever suspended a store with an older definition is neither overruled nor in
// anybody's way.
func TestSuspensionReadsWhatItWasBefore(t *testing.T) {
	contract.Row(t, 119)
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for raw, holds := range map[string]bool{
		`{}`: false, `{"suspend":null}`: false, `{"suspend":false}`: false, `{"suspend":true}`: true,
		`{"suspend":{"by":"ada","reason":"x","until":"2026-11-23T08:00:01Z"}}`: true,
		`{"suspend":{"by":"ada","reason":"x","until":"2026-11-23T08:00:00Z"}}`: false,
	} {
		var spec WALStoreSpec
		if err := json.Unmarshal([]byte(raw), &spec); err != nil || spec.Suspend.Holds(now) != holds {
			t.Errorf("%s: %v %+v", raw, err, spec.Suspend)
		}
	}
	if err := json.Unmarshal([]byte(`{"suspend":"yes"}`), &WALStoreSpec{}); err == nil {
		t.Error("a word is no suspension")
	}
	s := &Suspension{By: "ada", Reason: "the root moves", Until: metav1.NewTime(now)}
	if got, want := s.String(), "suspended by ada until 2026-11-23T08:00:00Z: the root moves"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
