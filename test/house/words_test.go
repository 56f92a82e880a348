// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package house

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// The library's reasons and the resources' are two lists, because neither may
// import the other; they are the same words.
func TestEveryReasonOfTheLibraryIsExplained(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "recovery", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, _ := parse(t, file)
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if typ, ok := v.Type.(*ast.Ident); !ok || typ.Name != "Reason" {
					continue
				}
				reason, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				found++
				if _, ok := v1alpha1.Explain(reason); !ok {
					t.Errorf("recovery.%s (%q) has no sentence in api/v1alpha1/reasons.go", v.Names[0].Name, reason)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("found only %d reasons in recovery", found)
	}
}

// The page of reasons is made from the words in the code: UPDATE=1 writes it.
func TestPageOfReasonsIsCurrent(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "reasons.md")
	want := reasonsPage()
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/reasons.md is not what api/v1alpha1/reasons.go says: run UPDATE=1 go test ./test/house -run TestPageOfReasonsIsCurrent")
	}
}

func reasonsPage() string {
	var b strings.Builder
	b.WriteString("# Reasons\n\nThe words in the column Reason and in conditions, what each means, and what to do. " +
		"Made from `api/v1alpha1/reasons.go`; do not edit.\n\n| reason | means | next |\n|---|---|---|\n")
	for _, e := range v1alpha1.Explanations {
		b.WriteString("| " + e.Reason + " | " + e.Means + " | " + e.Next + " |\n")
	}
	return b.String()
}

// Every file says whose it is and under which licence, also what is generated.
func TestEveryFileNamesItsLicence(t *testing.T) {
	for _, p := range packages(t, "") {
		for _, file := range p.GoFiles {
			raw, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(raw[:min(200, len(raw))]), "// Copyright The salvor authors.\n// SPDX-License-Identifier: Apache-2.0\n") {
				t.Errorf("%s/%s does not begin with hack/boilerplate.go.txt", p.path(), file)
			}
		}
	}
}
