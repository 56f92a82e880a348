// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/contract/fixture"
	"github.com/salvor-io/salvor/test/teeth"
)

const header = `# why this one
Rows: 66, 71
Package: ./recovery ./manifest/...
Run: TestCrash
Story: something breaks.
`

const diff = `diff --git a/recovery/a.go b/recovery/a.go
--- a/recovery/a.go
+++ b/recovery/a.go
@@ -1 +1 @@
-a
+b
`

func TestParse(t *testing.T) {
	m, err := teeth.Parse("name", header+"Tags: failpoint\nTier: prove\nTimeout: ok\nRace: yes\nEnv: A=1 B=2\n"+diff)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Rows, []int{66, 71}) || !slices.Equal(m.Touches, []string{"recovery/a.go"}) || m.File != "test/teeth/name.patch" {
		t.Errorf("%+v", m)
	}
	want := teeth.Command{Packages: "./recovery ./manifest/...", Run: "TestCrash", Tags: "failpoint", Env: "A=1 B=2", Race: true, Full: true}
	if m.Command != want || m.Tier != contract.TierProve || !m.TimeoutOK {
		t.Errorf("%+v", m)
	}
}

func TestParseABugOfTheProtocol(t *testing.T) {
	m, err := teeth.Parse("name", header+"Group: lost answer\nUnseen: yes\nReplays: lance #7722\nCloses: H6, N7\n"+diff)
	if err != nil || !slices.Equal(m.Closes, []string{"H6", "N7"}) || m.Group != "lost answer" || !m.Unseen || m.Replays != "lance #7722" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no diff":               header,
		"no rows":               strings.Replace(header, "Rows: 66, 71\n", "", 1) + diff,
		"no story":              strings.Replace(header, "Story: something breaks.\n", "", 1) + diff,
		"a row that is none":    strings.Replace(header, "71", "710", 1) + diff,
		"a group that is none":  header + "Group: luck\n" + diff,
		"unseen, of no group":   header + "Unseen: yes\n" + diff,
		"a hole of no group":    header + "Closes: H1\n" + diff,
		"a hole that is none":   header + "Group: lock\nCloses: H15\n" + diff,
		"like one, of no group": header + "Replays: lance #7722\n" + diff,
		"a key that is none":    header + "Colour: red\n" + diff,
		"a key twice":           header + "Rows: 5\n" + diff,
		"another timeout":       header + "Timeout: 10s\n" + diff,
		"another tier":          header + "Tier: often\n" + diff,
		"a bad expression":      header + "Says: (\n" + diff,
		"a foreign package":     strings.Replace(header, "./recovery", "fmt", 1) + diff,
		"a patch of a test":     header + strings.ReplaceAll(diff, "a.go", "a_test.go"),
		"a patch of test data":  header + strings.ReplaceAll(diff, "recovery/a.go", "recovery/testdata/a.go"),
		"a patch of elsewhere":  header + strings.ReplaceAll(diff, "recovery/a.go", "../a.go"),
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := teeth.Parse("name", text); err == nil {
				t.Errorf("accepted as %+v", m)
			}
		})
	}
}

func TestWhatMakesAMutantStale(t *testing.T) {
	files := map[string]string{
		"test/teeth/name.patch":      header + strings.ReplaceAll(diff, "recovery/a.go", "objstore/a.go"),
		"objstore/a.go":              "package objstore\n",
		"recovery/recovery.go":       "package recovery\n",
		"recovery/recovery_test.go":  "package recovery\n",
		"recovery/testdata/x/in.txt": "in\n",
		"recovery/sub/sub.go":        "package sub\n",
		"manifest/deep/deep.go":      "package deep\n",
		"objstore/b.go":              "package objstore\n",
	}
	root := fixture.Module(t, files)
	m, err := teeth.Parse("name", files["test/teeth/name.patch"])
	if err != nil {
		t.Fatal(err)
	}
	hash := func() string {
		t.Helper()
		h, err := m.Hash(root)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	before := hash()
	for file, stale := range map[string]bool{
		"test/teeth/name.patch": true, "objstore/a.go": true, "recovery/recovery.go": true, "recovery/recovery_test.go": true,
		"recovery/testdata/x/in.txt": true, "manifest/deep/deep.go": true,
		"recovery/sub/sub.go": false, "objstore/b.go": false,
	} {
		fixture.Write(t, root, map[string]string{file: files[file] + "// changed\n"})
		if changed := hash() != before; changed != stale {
			t.Errorf("%s changed: stale %v, want %v", file, changed, stale)
		}
		fixture.Write(t, root, map[string]string{file: files[file]})
	}
}

func TestASampleTakesWhatWasShownLongestAgo(t *testing.T) {
	day := func(n int) teeth.Record {
		return teeth.Record{Verdict: teeth.Caught, Hash: "now", Time: fixtureTime.AddDate(0, 0, n)}
	}
	mutants := []teeth.Mutant{
		{Name: "fresh", Rows: []int{1}, Tier: contract.TierTest},
		{Name: "old", Rows: []int{1}, Tier: contract.TierTest},
		{Name: "stale", Rows: []int{1}, Tier: contract.TierTest},
		{Name: "never", Rows: []int{2}, Tier: contract.TierTest},
		{Name: "slow", Rows: []int{2}, Tier: contract.TierProve},
	}
	newest := map[string]teeth.Record{"fresh": day(9), "old": day(1), "stale": day(10)}
	hashes := map[string]string{"fresh": "now", "old": "now", "stale": "other", "never": "now", "slow": "now"}

	for _, c := range []struct {
		name string
		s    teeth.Selection
		want string
	}{
		{"two", teeth.Selection{Sample: 2}, "never stale"},
		{"more than there are", teeth.Selection{Sample: 9}, "never stale old fresh"},
		{"all", teeth.Selection{}, "fresh old stale never slow"},
		{"of a row", teeth.Selection{Rows: []int{2}}, "never slow"},
		{"by name", teeth.Selection{Name: "old"}, "old"},
	} {
		var got []string
		for _, m := range c.s.Select(mutants, newest, hashes) {
			got = append(got, m.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}
