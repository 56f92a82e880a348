// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/test/contract"
)

const failpointPath = module + "/internal/failpoint"

// root is the module's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// catalogue reads the points that there are from their one file.
func catalogue(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root(t), "internal/failpoint/failpoint.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if lit, ok := v.Values[0].(*ast.CompositeLit); ok {
				if id, ok := lit.Type.(*ast.Ident); ok && id.Name == "Point" {
					out = append(out, v.Names[0].Name)
				}
			}
		}
	}
	return out
}

// strayPoints lists the uses of failpoint.Here in a file that are not a call with one
// name of the catalogue. What is called Here(p) elsewhere is not looked at: only who
// imports the package can reach it, whatever it is called there.
func strayPoints(fset *token.FileSet, f *ast.File, known []string) []string {
	name := ""
	for _, i := range f.Imports {
		if strings.Trim(i.Path.Value, `"`) != failpointPath {
			continue
		}
		if name = "failpoint"; i.Name != nil {
			name = i.Name.Name
		}
	}
	if name == "" {
		return nil
	}
	var out []string
	stray := func(n ast.Node, why string) {
		out = append(out, fmt.Sprintf("%s: %s", fset.Position(n.Pos()), why))
	}
	if name == "." || name == "_" {
		stray(f, "failpoint is imported as "+name)
		return out
	}
	of := func(e ast.Expr) string {
		if s, ok := e.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
				return s.Sel.Name
			}
		}
		return ""
	}
	fine := map[ast.Expr]bool{} // that are the function of a call as it should be
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if of(n.Fun) == "Here" && len(n.Args) == 1 && slices.Contains(known, of(n.Args[0])) {
				fine[n.Fun] = true
			}
		case *ast.SelectorExpr:
			if of(n) == "Here" && !fine[n] {
				stray(n, "want failpoint.Here(failpoint.<a name of the catalogue>), nothing else")
			}
		}
		return true
	})
	return out
}

// Everywhere in the product, a place where a process can be parked is one name of the
// catalogue, and each name stands at one place at least.
func TestFailpointsComeFromTheCatalogue(t *testing.T) {
	contract.Row(t, 104)
	known, used := catalogue(t), map[string]bool{}
	if len(known) < 8 {
		t.Fatalf("the catalogue: %v", known)
	}
	files := 0
	err := filepath.WalkDir(root(t), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root(t) || d.Name() == "testdata" || d.Name() == "dist" || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err // a file that cannot be read is not one without failpoints
		}
		files++
		for _, s := range strayPoints(fset, f, known) {
			t.Error(s)
		}
		src, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`failpoint\.Here\(failpoint\.(\w+)\)`).FindAllSubmatch(src, -1) {
			used[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range known {
		if !used[name] {
			t.Errorf("nobody stops at failpoint.%s", name)
		}
	}
	t.Logf("%d points in %d files", len(known), files)
}

// The guard guards: each way around it is seen.
func TestTheFailpointGuardSees(t *testing.T) {
	contract.Row(t, 104)
	known := catalogue(t)
	for name, c := range map[string]struct {
		body  string
		stray bool
	}{
		"as it should be":          {`func f() { failpoint.Here(failpoint.WriterArmed) }`, false},
		"on several lines":         {"func f() { failpoint.Here(\n\tfailpoint.WriterArmed,\n) }", false},
		"a name from nowhere":      {`func f() { failpoint.Here(failpoint.WriterAmred) }`, true},
		"a literal":                {`func f() { failpoint.Here("writer-armed") }`, true},
		"a literal on its line":    {"func f() { failpoint.Here(\n\t\"writer-armed\",\n) }", true},
		"a conversion":             {`func f() { failpoint.Here(failpoint.Point("writer-armed")) }`, true},
		"a zero point":             {`func f() { failpoint.Here(failpoint.Point{}) }`, true},
		"forwarded by a helper":    {`func stop(p failpoint.Point) { failpoint.Here(p) }; func f() { stop(failpoint.WriterArmed) }`, true},
		"a function value":         {`var stop = failpoint.Here; func f() { stop(failpoint.WriterArmed) }`, true},
		"handed on":                {`func g(func(failpoint.Point)) {}; func f() { g(failpoint.Here) }`, true},
		"under another name":       {`func f() { failpoint.Here(other.WriterArmed) }`, true},
		"not the package's at all": {`type x struct{}; func (x) Here(string) {}; func f() { x{}.Here("anything") }; var _ = failpoint.All`, false},
	} {
		fset := token.NewFileSet()
		src := "package p\nimport failpoint \"" + failpointPath + "\"\n" + c.body
		f, err := parser.ParseFile(fset, name, src, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := strayPoints(fset, f, known); (len(got) > 0) != c.stray {
			t.Errorf("%s: %v", name, got)
		}
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "dot", "package p\nimport . \""+failpointPath+"\"\nfunc f() { Here(WriterArmed) }", 0)
	if err != nil || len(strayPoints(fset, f, known)) == 0 {
		t.Errorf("a dot import: %v", err)
	}
}

// only imports one package.
type only struct{ p *types.Package }

func (o only) Import(path string) (*types.Package, error) {
	if path != o.p.Path() {
		return nil, fmt.Errorf("import %s", path)
	}
	return o.p, nil
}

// A point cannot be made up: whatever names one that is not in the catalogue does
// not compile, also where it is only handed on.
func TestAMadeUpFailpointDoesNotCompile(t *testing.T) {
	contract.Row(t, 104)
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range []string{"failpoint.go", "off.go"} {
		f, err := parser.ParseFile(fset, filepath.Join(root(t), "internal/failpoint", name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	conf := types.Config{}
	points, err := conf.Check(failpointPath, fset, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	conf.Importer = only{points}
	for body, compiles := range map[string]bool{
		`func f() { failpoint.Here(failpoint.WriterArmed) }`:                                              true,
		`func f() { failpoint.Here(failpoint.WriterAmred) }`:                                              false,
		`func f() { failpoint.Here("writer-armed") }`:                                                     false,
		"func f() { failpoint.Here(\n`writer\n-armed`) }":                                                 false,
		`func f() { failpoint.Here(failpoint.Point("writer-armed")) }`:                                    false,
		`func f() { failpoint.Here(failpoint.Point{"writer-armed"}) }`:                                    false,
		`func f() { failpoint.Here(failpoint.Point{name: "writer-armed"}) }`:                              false,
		`func stop(p failpoint.Point) { failpoint.Here(p) }; func f() { stop("writer-armed") }`:           false,
		`const name = "writer-armed"; var p failpoint.Point = name; func f() { failpoint.Here(p) }`:       false,
		`func stop(p string) { failpoint.Here(failpoint.Point(p)) }; func f() { stop("writer-armed") }`:   false,
		`func stop[P ~string](p P) { failpoint.Here(failpoint.Point(p)) }; func f() { stop("whatever") }`: false,
	} {
		f, err := parser.ParseFile(fset, "", "package p\nimport \""+failpointPath+"\"\n"+body, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conf.Check("p", fset, []*ast.File{f}, nil); (err == nil) != compiles {
			t.Errorf("%s: %v", body, err)
		}
	}
}
