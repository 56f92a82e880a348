// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract/fixture"
	"github.com/salvor-io/salvor/test/contract/ledger"
	"github.com/salvor-io/salvor/test/teeth"
)

const (
	product = "package sum\n\n// Add adds.\nfunc Add(a, b int) int {\n\treturn a + b\n}\n"
	test    = `package sum

import (
	"testing"

	"github.com/salvor-io/salvor/test/contract"
)

func TestAdd(t *testing.T) {
	contract.Row(t, 66)
	if Add(2, 3) != 5 {
		t.Error("2 + 3")
	}
}
`
	patch = `Rows: 66
Package: ./sum
Run: TestAdd
Story: it subtracts.
diff --git a/sum/sum.go b/sum/sum.go
--- a/sum/sum.go
+++ b/sum/sum.go
@@ -4,3 +4,3 @@
 func Add(a, b int) int {
-	return a + b
+	return a - b
 }
`
)

// The whole way: tests record, mutants are caught, the row is met; and then, one
// after the other, everything that must take that back.
func TestARowIsMetUntilSomethingChanges(t *testing.T) {
	files := map[string]string{"sum/sum.go": product, "sum/sum_test.go": test, "test/teeth/subtracts.patch": patch}
	root := fixture.Module(t, files)
	t.Setenv("GOFLAGS", "-buildvcs=false")

	says := func(step, want string) {
		t.Helper()
		e, err := ledger.Load(root)
		if err != nil {
			t.Fatal(err)
		}
		v := ledger.Judge([]int{66}, e)
		if v[0].Met != (want == "") || !strings.Contains(v[0].Why, want) {
			t.Errorf("%s: met %v, %q; want %q", step, v[0].Met, v[0].Why, want)
		}
	}
	says("at first", "no result of any test")
	results := "SALVOR_CONTRACT_DIR=" + filepath.Join(root, ledger.ResultsDir)
	if out, err := fixture.Go(t, root, []string{results}, "test", "./sum"); err != nil {
		t.Fatal(out)
	}
	says("tested", "its mutant was not run")
	mutants, _, err := teeth.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	records, err := teeth.Run(t.Context(), teeth.Options{
		Root: root, Work: filepath.Join(root, ".cache/teeth"), Journal: teeth.Journal(filepath.Join(root, ledger.TeethFile)),
	}, mutants)
	if err != nil || records[0].Verdict != teeth.Caught {
		t.Fatal(records, err)
	}
	says("tested and caught", "")

	// The mutant's own run, in which the test failed, is no result of the tree.
	for name, text := range map[string]string{
		"sum/sum.go":                 "its code changed",
		"sum/sum_test.go":            "its code changed",
		"test/teeth/subtracts.patch": "its mutant's code changed",
	} {
		change := map[string]string{name: files[name] + "\n// changed\n"}
		if strings.HasSuffix(name, ".patch") {
			change[name] = strings.Replace(files[name], "it subtracts", "it takes away", 1)
		}
		fixture.Write(t, root, change)
		says(name+" changed", text)
		fixture.Write(t, root, files)
		says(name+" as before", "")
	}
	if err := os.Remove(filepath.Join(root, "test/teeth/subtracts.patch")); err != nil {
		t.Fatal(err)
	}
	says("without the mutant", "no mutant")
	fixture.Write(t, root, files)

	// A fresh clone has the proof and nothing else.
	e, err := ledger.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.NewProof(ledger.Judge([]int{66}, e), "abc").Write(root); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, ".cache")); err != nil {
		t.Fatal(err)
	}
	says("a fresh clone", "")
	fixture.Write(t, root, map[string]string{"sum/sum.go": product + "\n// changed\n"})
	says("a fresh clone, changed", "proved at abc, but its code changed since")
}

func TestPruneKeepsWhatIsYoung(t *testing.T) {
	root := t.TempDir()
	name := ledger.ResultsDir + "/1.jsonl"
	fixture.Write(t, root, map[string]string{name: ""})
	for _, c := range []struct {
		days int
		kept bool
	}{{1, true}, {60, false}} {
		if err := ledger.Prune(root, time.Now().AddDate(0, 0, c.days)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != c.kept {
			t.Errorf("after %d days: there %v, want %v", c.days, err == nil, c.kept)
		}
	}
}
