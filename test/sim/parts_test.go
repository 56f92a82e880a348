// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"encoding/gob"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/test/contract"
)

// A process of the simulation has one processor (TestMain), so what takes long is
// done by as many processes as there are: the test starts its own binary, which
// does one part and writes down what it came to.
const (
	envPart   = "SALVOR_SIM_PART" // the part's name; set in such a process only
	envResult = "SALVOR_SIM_RESULT"
)

// partOf returns the part that this process was started for; "" in the one that the
// go command has started.
func partOf() string { return os.Getenv(envPart) }

// lanes bounds the parts that run at the same time.
var lanes = make(chan struct{}, runtime.NumCPU())

// inAProcess does one part of test in a process of its own, and reads its result
// into to. A part that fails fails the test, with all that it said.
func inAProcess(t *testing.T, test, part string, to any) {
	t.Helper()
	lanes <- struct{}{}
	defer func() { <-lanes }()
	result := filepath.Join(t.TempDir(), "result")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v", "-test.timeout=0")
	for _, e := range os.Environ() {
		// The result of a part is no result of the test, and its coverage no coverage.
		if !strings.HasPrefix(e, contract.EnvDir+"=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, envPart+"="+part, envResult+"="+result)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("part %q: %v\n%s", part, err, out)
	}
	f, err := os.Open(result)
	if err != nil {
		t.Fatalf("part %q left no result: %v\n%s", part, err, out)
	}
	defer f.Close()
	if err := gob.NewDecoder(f).Decode(to); err != nil {
		t.Fatalf("result of part %q: %v", part, err)
	}
}

// leave writes down what this part came to.
func leave(t *testing.T, result any) {
	t.Helper()
	f, err := os.Create(os.Getenv(envResult))
	if err != nil {
		t.Fatal(err)
	}
	if err := gob.NewEncoder(f).Encode(result); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
