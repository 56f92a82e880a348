// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/contract/fixture"
)

func TestTheContractHasEveryRow(t *testing.T) {
	rows := contract.Rows()
	if len(rows) != 167 {
		t.Fatalf("%d rows, want 167", len(rows))
	}
	for i, r := range rows {
		if r.Number != i+1 || r.Capability == "" || r.Check == "" {
			t.Errorf("row %d: %+v", i+1, r)
		}
	}
}

func TestParseRowsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"a tier that does not exist": "1 wal often\n  a\n  check: b\n",
		"no check":                   "1 wal test\n  a\n",
		"numbers out of order":       "2 wal test\n  a\n  check: b\n\n1 wal test\n  a\n  check: b\n",
		"no number":                  "wal test\n  a\n  check: b\n",
	} {
		t.Run(name, func(t *testing.T) {
			if rows, err := contract.ParseRows(text); err == nil {
				t.Errorf("accepted as %+v", rows)
			}
		})
	}
}

func TestParseList(t *testing.T) {
	got, err := contract.ParseList("121, 3-5,4")
	if err != nil || len(got) != 4 || got[0] != 3 || got[3] != 121 {
		t.Errorf("got %v, %v", got, err)
	}
	if all, err := contract.ParseList(""); err != nil || len(all) != 167 {
		t.Errorf("empty: %d rows, %v", len(all), err)
	}
	for _, bad := range []string{"x", "5-3", "166-168", "0", "1,,2"} {
		if got, err := contract.ParseList(bad); err == nil {
			t.Errorf("%q accepted as %v", bad, got)
		}
	}
}

const endings = `package ends

import (
	"os"
	"testing"

	"github.com/salvor-io/salvor/test/contract"
)

func TestPasses(t *testing.T) {
	contract.Row(t, 66, 71)
	t.Run("inside", func(t *testing.T) { contract.Count(t, "kills", 7) })
}
func TestFails(t *testing.T) { contract.Row(t, 67); t.Error("no") }
func TestFailsBelow(t *testing.T) {
	contract.Row(t, 68)
	t.Run("inside", func(t *testing.T) { t.Parallel(); t.Fatal("no") })
}
func TestSkips(t *testing.T)  { contract.Row(t, 69); t.Skip("no") }
func TestSamples(t *testing.T) {
	contract.Row(t, 70)
	if contract.Scale(t, "states", 3, 9) == 0 { t.Fatal("nothing to do") }
}
func TestLater(t *testing.T) { contract.Row(t, 72); contract.FullRunOnly(t) }
func TestTwice(t *testing.T) { contract.Row(t, 73); contract.Row(t, 74) }
func TestPanics(t *testing.T) {
	contract.Row(t, 75)
	if os.Getenv("DIE") == "panic" { panic("no") }
}
func TestExits(t *testing.T) {
	contract.Row(t, 76)
	if os.Getenv("DIE") == "exit" { os.Exit(1) }
}
`

func TestEveryEndIsRecorded(t *testing.T) {
	root := fixture.Module(t, map[string]string{"ends/ends_test.go": endings})

	records := run(t, root, "", "-tags", "odd")
	want := map[string]contract.Result{
		"TestPasses": contract.Pass, "TestFails": contract.Fail, "TestFailsBelow": contract.Fail, "TestSkips": contract.Skip,
		"TestSamples": contract.Pass, "TestLater": contract.Skip, "TestTwice": contract.Pass, "TestPanics": contract.Pass, "TestExits": contract.Pass,
	}
	ends := byTest(records)
	for test, result := range want {
		r := ends[test]
		if r.Result != result {
			t.Errorf("%s: recorded as %q, want %q", test, r.Result, result)
		}
		if r.Package != fixture.ModulePath+"/ends" || r.Tags != "odd" || len(r.Hash) != 32 || r.Full {
			t.Errorf("%s: %+v", test, r)
		}
	}
	if r := ends["TestPasses"]; len(r.Rows) != 2 || r.Counts["kills"] != 7 || r.Sampled {
		t.Errorf("TestPasses: %+v", r)
	}
	if r := ends["TestTwice"]; len(r.Rows) != 2 {
		t.Errorf("rows of two calls: %v", r.Rows)
	}
	if r := ends["TestSamples"]; !r.Sampled || r.Counts["states"] != 3 {
		t.Errorf("a sample passed for the whole: %+v", r)
	}
	full := byTest(run(t, root, "SALVOR_PROVE=1", "-run", "Samples"))["TestSamples"]
	if full.Sampled || !full.Full || full.Counts["states"] != 9 {
		t.Errorf("full run: %+v", full)
	}
}

func TestADeadProcessLeavesAStartWithoutAnEnd(t *testing.T) {
	root := fixture.Module(t, map[string]string{"ends/ends_test.go": endings})
	for die, test := range map[string]string{"panic": "TestPanics", "exit": "TestExits"} {
		records := run(t, root, "DIE="+die, "-run", test)
		if len(records) != 1 || records[0].Test != test || records[0].Result != "" {
			t.Errorf("%s: recorded %+v, want the start of %s alone", die, records, test)
		}
	}
}

func TestWithoutADirectoryNothingIsWritten(t *testing.T) {
	root := fixture.Module(t, map[string]string{"ends/ends_test.go": endings})
	if out, err := fixture.Go(t, root, []string{"SALVOR_CONTRACT_DIR="}, "test", "-run", "Passes", "./ends"); err != nil {
		t.Fatal(out)
	}
	if _, err := os.Stat(filepath.Join(root, ".cache")); err == nil {
		t.Error("something was written")
	}
}

func TestARowThatDoesNotExistFailsItsTest(t *testing.T) {
	root := fixture.Module(t, map[string]string{"ends/ends_test.go": strings.Replace(endings, "66, 71", "66, 999", 1)})
	out, err := fixture.Go(t, root, nil, "test", "-run", "Passes", "./ends")
	if err == nil || !strings.Contains(out, "there is no row 999") {
		t.Errorf("err %v, output:\n%s", err, out)
	}
}

// run runs the fixture's tests and returns what they recorded.
func run(t *testing.T, root, env string, args ...string) []contract.Record {
	t.Helper()
	dir := t.TempDir()
	out, _ := fixture.Go(t, root, []string{"SALVOR_CONTRACT_DIR=" + dir, env}, append([]string{"test", "-count=1", "./ends"}, args...)...)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files of results, %v; output:\n%s", len(files), err, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	var records []contract.Record
	for line := range strings.Lines(string(raw)) {
		var r contract.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// byTest returns the last record of each test.
func byTest(records []contract.Record) map[string]contract.Record {
	out := map[string]contract.Record{}
	for _, r := range records {
		out[r.Test] = r
	}
	return out
}
