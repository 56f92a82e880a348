// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/conformance"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

// asWriter makes this test binary the writer that is driven.
const asWriter = "SALVOR_TEST_WRITER"

func TestMain(m *testing.M) {
	if broken := os.Getenv(asWriter); broken != "" {
		if err := runWriter(broken); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func drive(t *testing.T, broken, only string) *conformance.Result {
	t.Helper()
	return driveOn(t, mem.New(mem.Options{}), broken, only)
}

func driveOn(t *testing.T, b objstore.Bucket, broken, only string) *conformance.Result {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	res, err := conformance.Drive(t.Context(), conformance.Options{
		Bucket: b, Writer: "exec env " + asWriter + "=" + broken + " '" + self + "'", Dir: t.TempDir(), NewID: newID,
		Patience: 2 * time.Minute, Only: only,
	})
	must(t, err)
	return res
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A writer that keeps the protocol passes every case, and every fault was met.
func TestWriterThatKeepsTheProtocolPasses(t *testing.T) {
	contract.Row(t, 125)
	res := drive(t, "not", "")
	for _, c := range res.Cases {
		t.Logf("%-70s %4d requests, %s", c.Name, c.Requests, c.Took.Round(time.Millisecond))
		for _, v := range c.Violations {
			t.Errorf("%s: %s", c.Name, v)
		}
		if c.NotReached {
			t.Errorf("%s: the fault was not reached", c.Name)
		}
	}
	// 2 writes at the start and 7 in a commit of two tables, 5 faults each; 5 fences; 5 others; no fault.
	if want := 9*5 + 5 + 5 + 1; len(res.Cases) != want {
		t.Errorf("%d cases, want %d", len(res.Cases), want)
	}
}

// The root may be anywhere; what its server answers is passed on.
func TestDrivenOnARealServer(t *testing.T) {
	server := objstoretest.StartVersitygw(t)
	b, err := s3.Open(t.Context(), server.Options(server.NewBucket(t)))
	must(t, err)
	defer b.Close()
	res := driveOn(t, b, "not", "write 5 of 7, PUT manifest/")
	for _, c := range res.Cases {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", c.Name, v)
		}
	}
	if len(res.Cases) != 7 || res.NotReached() > 0 {
		t.Errorf("%d cases, %d not reached", len(res.Cases), res.NotReached())
	}
	for e, err := range b.List(t.Context(), "", "") {
		must(t, err)
		t.Errorf("left behind: %s", e.Key)
	}
}

// Each way to break the protocol is found, and its rule named.
func TestBrokenWritersAreFailedByRule(t *testing.T) {
	contract.Row(t, 125)
	for _, c := range []struct {
		broken, only, rule string
	}{
		{"no-sidecar", "no fault", "intent-first"},
		{"no-confirmation", "no fault", "confirm"},
		{"overwrites", "no fault", "create-only"},
		{"cleans-up-before-it-publishes", "no fault", "delete"},
		{"sidecar-goes-first", "no fault", "delete"},
		{"wrong-digest", "no fault", "envelope"},
		{"own-names", "no fault", "names"},
		{"says-ok-at-once", "no fault", "told"},
		{"reads-something-else", "no fault", "reads"},
		{"failed-is-ok", "moves a table", "moved-pin"},
		{"lost-answer-is-success", "request lost of write 5 of 7", "told"},
	} {
		t.Run(c.broken, func(t *testing.T) {
			res := drive(t, c.broken, c.only)
			if res.Failed == 0 {
				t.Fatal("it passed")
			}
			var said []string
			for _, run := range res.Cases {
				for _, v := range run.Violations {
					said = append(said, v.String())
				}
			}
			if all := strings.Join(said, "\n"); !strings.Contains(all, "["+c.rule+", docs/protocol.md ") {
				t.Errorf("%s is not named:\n%s", c.rule, all)
			}
		})
	}
}
