// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/salvor-io/salvor/conformance"
	"github.com/salvor-io/salvor/test/contract"
)

// The reference store passes its own conformance: a sample here, every case in the
// full run.
func TestReferenceStoreConforms(t *testing.T) {
	contract.Row(t, 125)
	self, err := os.Executable()
	ok(t, err)
	args := []string{"conformance", "-o", "json", "--writer", fmt.Sprintf("exec env %s=1 '%s' store conform", asCommand, self)}
	if contract.Scale(t, "cases", 6, 56) < 56 {
		args = append(args, "--only", "write 5 of 7, PUT manifest/")
	}
	out := says(t, 0, nil, args...)
	var res conformance.Result
	ok(t, json.Unmarshal([]byte(out), &res))
	if res.Failed != 0 || len(res.Cases) < 6 || res.Cases[0].Name != "no fault" || res.Cases[0].Requests < 40 {
		t.Errorf("%s", out)
	}
}

func TestConformanceSaysWhatIsWrong(t *testing.T) {
	r := newRooted(t, 3)
	r.publishSloppily()
	says(t, 1, []string{"[names, docs/protocol.md 1. The root", "notes.txt", "1 breaches", "breaks the protocol in 1 places"},
		"conformance", "--root", r.url())
	ok(t, os.Remove(filepath.Join(r.dir, "notes.txt")))
	says(t, 0, []string{"0 pending operations, 0 breaches"}, "conformance", "--root", r.url())

	says(t, 2, []string{"want --root, --writer, or both"}, "conformance")
	says(t, 2, []string{"no store"}, "conformance", "--root", "file://"+t.TempDir())
	says(t, 2, []string{"want text or json"}, "conformance", "-o", "yaml", "--root", r.url())
	says(t, 1, []string{"FAILED\tno fault", "[lines, docs/protocol.md 9. Conformance", "its first line is \"hello\", want ready"},
		"conformance", "--writer", "echo hello")
	says(t, 1, []string{"the writer ended: exit status 3; it said: no disk"}, "conformance", "--writer", "echo no disk >&2; exit 3")
}

// publishSloppily leaves what no store leaves.
func (r *rooted) publishSloppily() {
	r.t.Helper()
	ok(r.t, os.WriteFile(filepath.Join(r.dir, "notes.txt"), []byte("to do"), 0o600))
}
