// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/test/teeth"
)

// rowsOf reads which rows each function of a package's tests names (contract.Row), by
// itself or by the helpers that it calls.
func rowsOf(t *testing.T, dir string) map[string][]int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	own, calls := map[string][]int{}, map[string][]string{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				switch f := call.Fun.(type) {
				case *ast.Ident:
					calls[fn.Name.Name] = append(calls[fn.Name.Name], f.Name)
				case *ast.SelectorExpr:
					if x, ok := f.X.(*ast.Ident); !ok || x.Name != "contract" || f.Sel.Name != "Row" {
						return true
					}
					for _, a := range call.Args[1:] {
						if lit, ok := a.(*ast.BasicLit); ok {
							row, _ := strconv.Atoi(lit.Value)
							own[fn.Name.Name] = append(own[fn.Name.Name], row)
						}
					}
				}
				return true
			})
		}
	}
	out := map[string][]int{}
	for _, fn := range slices.Concat(keysOf(own), keysOf(calls)) {
		rows := slices.Clone(own[fn])
		for _, callee := range calls[fn] {
			rows = append(rows, own[callee]...)
		}
		out[fn] = rows
	}
	return out
}

func keysOf[V any](m map[string]V) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// A mutant shows something of the rows that it names only if a test that it runs names
// them too. That is found out when it is run, which may be once in many days; here, at once.
func TestMutantsNameRowsOfTheirTests(t *testing.T) {
	top := root(t)
	mutants, broken, err := teeth.Load(top)
	if err != nil || len(broken) > 0 || len(mutants) < 200 {
		t.Fatalf("%d mutants, %v, %v", len(mutants), broken, err)
	}
	packages := map[string]map[string][]int{}
	for _, m := range mutants {
		first, _, _ := strings.Cut(m.Command.Run, "/")
		run, err := regexp.Compile(first)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		var named []int
		for _, p := range strings.Fields(m.Command.Packages) {
			if strings.HasSuffix(p, "test/e2e") { // ginkgo: rows are labels of specs
				named = append(named, m.Rows...)
			}
			if packages[p] == nil {
				packages[p] = rowsOf(t, filepath.Join(top, p))
			}
			for fn, rows := range packages[p] {
				if strings.HasPrefix(fn, "Test") && run.MatchString(fn) {
					named = append(named, rows...)
				}
			}
		}
		for _, row := range m.Rows {
			if !slices.Contains(named, row) {
				t.Errorf("%s: no test that %s runs in %s names row %d", m.Name, m.Command.Run, m.Command.Packages, row)
			}
		}
	}
}

// So is a patch that does not apply any more.
func TestMutantsApply(t *testing.T) {
	top := root(t)
	mutants, _, err := teeth.Load(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		cmd := exec.CommandContext(t.Context(), "git", "apply", "--check", "--whitespace=nowarn", m.File)
		cmd.Dir = top
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", m.Name, err, out)
		}
	}
}
