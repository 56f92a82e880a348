// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract/fixture"
	"github.com/salvor-io/salvor/test/teeth"
)

var fixtureTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const product = `package sum

// Add adds.
func Add(a, b int) int {
	return a + b
}

// Spin spins n times.
func Spin(n int) {
	for i := 0; i < n; i++ {
	}
}
`

const productTest = `package sum

import (
	"os"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/test/contract"
)

func TestAdd(t *testing.T) {
	contract.Row(t, 66)
	if got := Add(2, 3); got != 5 {
		t.Errorf("2 + 3 = %d", got)
	}
}

func TestAddNothing(t *testing.T) {
	contract.Row(t, 67)
	if Add(0, 0) != 0 {
		t.Error("0 + 0")
	}
}

func TestSpin(t *testing.T) {
	contract.Row(t, 68)
	Spin(3)
}

func TestSkipped(t *testing.T) {
	contract.Row(t, 69)
	t.Skip("no cluster")
}

func TestRed(t *testing.T) {
	contract.Row(t, 70)
	t.Error("always")
}

func TestNeedsEnv(t *testing.T) {
	contract.Row(t, 71)
	if os.Getenv("WORD") != "yes" {
		t.Skip("no word")
	}
	if Add(1, 1) != 2 {
		t.Error("1 + 1")
	}
}

func TestSkipsWhenBroken(t *testing.T) {
	contract.Row(t, 72)
	if Add(1, 1) != 2 {
		t.Skip("cannot add here")
	}
}

func TestTalks(t *testing.T) {
	contract.Row(t, 73)
	t.Log(strings.Repeat("a word of many\n", 20_000))
	if Add(1, 1) != 2 {
		t.Error("and at last 1 + 1")
	}
}

func TestNamesNoRow(t *testing.T) {
	if Add(1, 1) != 2 {
		t.Error("1 + 1")
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if Add(7, 7) != 14 && os.Getenv("STRICT") != "" {
		code = 1
	}
	os.Exit(code)
}
`

// plant is a patch that changes one line of the product.
func plant(header, from, to string) string {
	lines := strings.Split(strings.TrimSuffix(product, "\n"), "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "%s\ndiff --git a/sum/sum.go b/sum/sum.go\n--- a/sum/sum.go\n+++ b/sum/sum.go\n", header)
	for i, line := range lines {
		if strings.Contains(line, from) {
			fmt.Fprintf(&b, "@@ -%d,3 +%d,3 @@\n %s\n-%s\n+%s\n %s\n", i, i, lines[i-1], line, strings.Replace(line, from, to, 1), lines[i+1])
			return b.String()
		}
	}
	panic("the product has no " + from)
}

func headerOf(row int, run, more string) string {
	return fmt.Sprintf("Rows: %d\nPackage: ./sum\nRun: ^%s$\nStory: it cannot add.%s", row, run, more)
}

func TestVerdicts(t *testing.T) {
	broken := func(row int, run, more string) string { return plant(headerOf(row, run, more), "a + b", "a - b") }
	cases := map[string]struct {
		patch   string
		verdict teeth.Verdict
		why     string
	}{
		"caught":            {broken(66, "TestAdd", ""), teeth.Caught, ""},
		"caught-saying":     {broken(66, "TestAdd", "\nSays: 2 \\+ 3"), teeth.Caught, ""},
		"caught-at-last":    {broken(73, "TestTalks", "\nSays: at last"), teeth.Caught, ""},
		"caught-with-env":   {broken(71, "TestNeedsEnv", "\nEnv: WORD=yes"), teeth.Caught, ""},
		"caught-hanging":    {plant(headerOf(68, "TestSpin", "\nTimeout: ok"), "i < n", "i < n || true"), teeth.Caught, ""},
		"caught-panicking":  {plant(headerOf(66, "TestAdd", ""), "return a + b", "panic(b)"), teeth.Caught, ""},
		"survived":          {broken(67, "TestAddNothing", ""), teeth.Survived, "the tests pass"},
		"saying-other":      {broken(66, "TestAdd", "\nSays: order"), teeth.Failed, "does not say"},
		"not-applying":      {strings.Replace(broken(66, "TestAdd", ""), "-	return", "-	return 1 +", 1), teeth.Failed, "does not apply"},
		"not-compiling":     {plant(headerOf(66, "TestAdd", ""), "a + b", "a + c"), teeth.Failed, "does not compile"},
		"skipped":           {broken(69, "TestSkipped", ""), teeth.Failed, "the test is skipped"},
		"skipped-when-sick": {broken(72, "TestSkipsWhenBroken", ""), teeth.Failed, "a test is skipped"},
		"missing-test":      {broken(66, "TestSubtract", ""), teeth.Failed, "no test of ./sum matches"},
		"missing-package":   {strings.Replace(broken(66, "TestAdd", ""), "./sum", "./product", 1), teeth.Failed, "without the patch"},
		"red-anyway":        {broken(70, "TestRed", ""), teeth.Failed, "fails even without the patch"},
		"row-not-named":     {broken(66, "TestNamesNoRow", ""), teeth.Failed, "names row 66"},
		"another-row-named": {broken(67, "(TestAdd|TestAddNothing)", ""), teeth.Failed, "none of those that name row 67"},
		"hanging":           {plant(headerOf(68, "TestSpin", ""), "i < n", "i < n || true"), teeth.Failed, "hangs"},
		"outside-of-a-test": {broken(67, "TestAddNothing", "\nEnv: STRICT=1"), teeth.Failed, "no test did"},
	}
	files := map[string]string{"sum/sum.go": product, "sum/sum_test.go": productTest}
	for name, c := range cases {
		files["test/teeth/"+name+".patch"] = c.patch
	}
	root := fixture.Module(t, files)
	t.Setenv("GOFLAGS", "-buildvcs=false")
	records := run(t, root)
	if len(records) != len(cases) {
		t.Errorf("%d records of %d mutants", len(records), len(cases))
	}
	for name, c := range cases {
		r := records[name]
		if r.Verdict != c.verdict || !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: %s (%s), want %s (%s)", name, r.Verdict, r.Why, c.verdict, c.why)
		}
		if c.verdict == teeth.Caught && len(r.Rows) != 1 {
			t.Errorf("%s: rows %v", name, r.Rows)
		}
	}
	for file, want := range map[string]string{"sum/sum.go": product} {
		for _, copy := range []string{"copy-0", "copy-1"} {
			if got, err := os.ReadFile(filepath.Join(root, ".cache/teeth", copy, file)); err != nil || string(got) != want {
				t.Errorf("%s was not restored: %v\n%s", copy, err, got)
			}
		}
	}
	kept, err := teeth.Journal(filepath.Join(root, ".cache/teeth.jsonl")).Newest()
	if err != nil || len(kept) != len(cases) || kept["caught"].Hash == "" {
		t.Errorf("journal: %d records, %v", len(kept), err)
	}
}

func TestASetupRunsPatchedAndThenRestored(t *testing.T) {
	root := fixture.Module(t, map[string]string{
		"sum/sum.go": product, "sum/sum_test.go": productTest,
		"test/teeth/set-up.patch": plant(headerOf(66, "TestAdd", "\nSetup: grep -e '[+-] b' sum/sum.go >> ../setups"), "a + b", "a - b"),
	})
	if r := run(t, root)["set-up"]; r.Verdict != teeth.Caught {
		t.Errorf("%+v", r)
	}
	raw, err := os.ReadFile(filepath.Join(root, ".cache/teeth/setups"))
	if want := "\treturn a + b\n\treturn a - b\n\treturn a + b\n"; err != nil || string(raw) != want {
		t.Errorf("setups saw %q, want %q; %v", raw, want, err)
	}
}

func TestWhatFallsToTheExplorersOnlyIsShownToPassTheOthers(t *testing.T) {
	const more = "\nGroup: publish\nUnseen: yes"
	root := fixture.Module(t, map[string]string{
		"sum/sum.go": product, "sum/sum_test.go": productTest,
		"lib/lib_test.go":         "package lib\n\nimport (\n\t\"testing\"\n\n\t\"github.com/salvor-io/salvor/sum\"\n)\n\nfunc TestTwice(t *testing.T) {\n\tif sum.Add(0, 0) != 0 {\n\t\tt.Error(0)\n\t}\n}\n",
		"test/teeth/unseen.patch": plant(headerOf(66, "TestAdd", more), "a + b", "a - b"),
		"test/teeth/seen.patch":   plant(headerOf(66, "TestAdd", more), "a + b", "a + b + 1"),
	})
	mutants, _, err := teeth.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range []string{"", "./lib"} {
		records, err := teeth.Run(t.Context(), teeth.Options{
			Root: root, Work: filepath.Join(root, ".cache/teeth"), Journal: teeth.Journal(filepath.Join(root, "journal")), Library: library,
		}, mutants)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			want, why := teeth.Caught, ""
			if r.Name == "seen" && library != "" {
				want, why = teeth.Failed, "TestTwice fails too"
			}
			if r.Verdict != want || !strings.Contains(r.Why, why) || r.Unseen != (r.Name == "unseen" && library != "") {
				t.Errorf("library %q: %+v", library, r)
			}
		}
	}
}

func TestAnInterruptedRunRecordsNothing(t *testing.T) {
	root := fixture.Module(t, map[string]string{
		"sum/sum.go": product, "sum/sum_test.go": productTest,
		"test/teeth/one.patch": plant(headerOf(66, "TestAdd", ""), "a + b", "a - b"),
	})
	mutants, _, err := teeth.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	journal := teeth.Journal(filepath.Join(root, "journal"))
	_, err = teeth.Run(ctx, teeth.Options{Root: root, Work: filepath.Join(root, ".cache/teeth"), Journal: journal}, mutants)
	if kept, _ := journal.Newest(); err == nil || len(kept) != 0 {
		t.Errorf("err %v, journal %v", err, kept)
	}
}

func run(t *testing.T, root string) map[string]teeth.Record {
	t.Helper()
	mutants, broken, err := teeth.Load(root)
	if err != nil || len(broken) > 0 {
		t.Fatal(err, broken)
	}
	records, err := teeth.Run(t.Context(), teeth.Options{
		Root: root, Work: filepath.Join(root, ".cache/teeth"), Journal: teeth.Journal(filepath.Join(root, ".cache/teeth.jsonl")),
		Slack: 3 * time.Second,
	}, mutants)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]teeth.Record{}
	for _, r := range records {
		out[r.Name] = r
	}
	return out
}
