// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"testing"

	"github.com/salvor-io/salvor/manifest"
)

// The bytes of format 1. Stores in other languages read and write them: this
// text is never edited; a change is format 2, beside it.
const goldenBatch = "salvor manifest 1 sha256:4791396a33ee94bf6decdc9a5a0a457422f54019b17ffb75baa2d49594f6e29b\n" + `{"store":"uid","number":42,"parent":"sha256:p","attempt":"AT","by":{"role":"recovery","process":"P"},"head":{"number":7,"hash":"sha256:h"},"entries":[{"kind":"fence","writer":"w","epoch":{"number":3,"process":"Q"}},{"kind":"publish","operation":"OP","writer":"w","epoch":{"number":3,"process":"Q"},"base":40,"reason":"Confirmed","outcomeID":"OUT","tables":[{"table":"t","expected":{"number":1,"operation":"OLD"},"to":{"number":2,"operation":"OP","digest":"sha256:d","position":99}},{"table":"u","expected":{"number":5,"operation":"OLD"}}]}]}
`

func TestBytesOfAPublication(t *testing.T) {
	b := &manifest.Batch{
		Store: "uid", Number: 42, Parent: "sha256:p", Attempt: "AT",
		By:   manifest.Publisher{Role: manifest.RoleRecovery, Process: "P"},
		Head: manifest.ChainHead{Number: 7, Hash: "sha256:h"},
		Entries: []manifest.Entry{
			manifest.Fence("w", manifest.Epoch{Number: 3, Process: "Q"}),
			{
				Kind: manifest.KindPublish, Operation: "OP", Writer: "w", Epoch: manifest.Epoch{Number: 3, Process: "Q"},
				Base: 40, Reason: "Confirmed", OutcomeID: "OUT",
				Tables: []manifest.Change{
					{
						Table: "t", Expected: manifest.Ref{Number: 1, Operation: "OLD"},
						To: &manifest.Pin{Ref: manifest.Ref{Number: 2, Operation: "OP"}, Digest: "sha256:d", Position: 99},
					},
					{Table: "u", Expected: manifest.Ref{Number: 5, Operation: "OLD"}},
				},
			},
		},
	}
	raw, _, err := manifest.EncodeBatch(b)
	must(t, err)
	if string(raw) != goldenBatch {
		t.Errorf("the bytes changed:\n%s", raw)
	}
	back, _, err := manifest.DecodeBatch(manifest.Key(42), []byte(goldenBatch))
	must(t, err)
	again, _, err := manifest.EncodeBatch(back)
	must(t, err)
	if string(again) != goldenBatch {
		t.Errorf("decoding lost something:\n%s", again)
	}
}
