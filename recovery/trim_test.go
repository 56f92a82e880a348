// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import "testing"

// In a store in which nothing was decided yet there is nothing to forget, however
// little is to be kept.
func TestNothingIsTrimmedBeforeAnythingIsDecided(t *testing.T) {
	w := onMemory(t)
	r, err := w.recoverer(w.disk)
	must(t, err)
	before := w.state().Version
	must(t, r.Trim(ctx(t), 0))
	if st := w.state(); st.Version != before || st.Announced != 0 {
		t.Errorf("version %d became %d, announced is %d", before, st.Version, st.Announced)
	}
}
