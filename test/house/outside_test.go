// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// What comes in from outside, by package: nothing in the library calls these but
// where an Options default is made.
var outside = map[string][]string{
	"time":         {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"crypto/rand":  {"*"},
	"math/rand":    {"*"},
	"math/rand/v2": {"*"},
	"os":           {"Getenv", "LookupEnv", "Environ", "Exit"},
	"fmt":          {"Print", "Printf", "Println"},

	"github.com/oklog/ulid/v2": {"Make", "Now", "MustNew", "MustNewDefault"},
	"github.com/google/uuid":   {"*"},
}

// allowed are the uses that stand, by file and function. One that is not used any
// more is an error too, so that the list only says what is.
var allowed = map[string]string{
	"audit/log.go: time.Now":                    "the default of Options.Now",
	"audit/log.go: rand.Text":                   "the default of Options.NewAttempt",
	"audit/log.go: time.NewTimer":               "the default of Options.Wait",
	"control/request.go: time.Now":              "the default of DialOptions.Now",
	"control/server.go: time.Now":               "the default of ServerOptions.Now",
	"control/server.go: time.NewTimer":          "the heartbeat of a stream that is served on a real connection",
	"manifest/store.go: time.Now":               "the default of Options.Now",
	"objstore/settle.go: time.Now":              "the default of Patience.Now",
	"objstore/settle.go: time.NewTimer":         "Sleep, which is the default of every Options.Sleep",
	"objstore/file/file.go: time.Now":           "the default of Options.Now",
	"objstore/file/named.go: rand.Text":         "the name of a file that is linked under its own name and removed",
	"objstore/mem/mem.go: time.Now":             "the default of Options.Now",
	"objstore/s3/credentials.go: time.Now":      "when mounted credentials are read again, which the SDK compares with its own clock",
	"objstore/s3/options.go: os.Getenv":         "AWS_CA_BUNDLE, which people set for every S3 tool; the default of Options.CA",
	"objstore/s3/options.go: rand.Float64":      "the default of Options.Jitter",
	"objstore/s3/webidentity.go: time.Now":      "how long credentials last, which the SDK compares with its own clock",
	"recovery/recoverer.go: time.Now":           "the default of RecovererOptions.Now",
	"recovery/writer.go: time.Now":              "the default of WriterOptions.Now",
	"store/store.go: time.Now":                  "the default of Options.Now",
	"store/store.go: time.After":                "the default of Options.After",
	"store/load/load.go: time.Now":              "the default of Options.Now",
	"store/log/mirror/options.go: time.Now":     "the default of Options.Now",
	"store/log/mirror/options.go: time.After":   "the default of Options.After",
	"store/load/inside.go: time.Now":            "the default of Inside.Now",
	"store/log/open.go: time.After":             "the default of Options.After",
	"objstore/azblob/credentials.go: os.Getenv": "the variables that the az command reads; the default of Options' credentials",
}

func TestLibraryTakesTimeAndChanceFromOutside(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t, "") {
		if !atAny(p.path(), library) || atAny(p.path(), []string{"objstore/objstoretest", "store/log/logtest"}) {
			continue
		}
		for _, file := range p.GoFiles {
			f, fset := parse(t, filepath.Join(p.Dir, file))
			for _, u := range usesOf(f) {
				key := fmt.Sprintf("%s/%s: %s", p.path(), file, u.name)
				used[key] = true
				if allowed[key] == "" {
					t.Errorf("%s at line %d: time, chance and the process come in through Options; if this is the default of one, add it to allowed", key, fset.Position(u.at).Line)
				}
			}
		}
	}
	for key := range allowed {
		if !used[key] {
			t.Errorf("allowed names %s, which is not there any more", key)
		}
	}
}

type use struct {
	name string
	at   token.Pos
}

// usesOf finds the names of outside in a file, by the names that the file gives
// to the packages.
func usesOf(f *ast.File) []use {
	paths := map[string]string{}
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil || outside[path] == nil {
			continue
		}
		name := filepath.Base(path)
		if name == "v2" {
			name = filepath.Base(filepath.Dir(path))
		}
		if i.Name != nil {
			name = i.Name.Name
		}
		paths[name] = path
	}
	var found []use
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Obj == nil {
			banned := outside[paths[x.Name]]
			if slices.Contains(banned, "*") || slices.Contains(banned, s.Sel.Name) {
				found = append(found, use{x.Name + "." + s.Sel.Name, s.Pos()})
			}
		}
		return true
	})
	return found
}

func parse(t *testing.T, file string) (*ast.File, *token.FileSet) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f, fset
}

// The search itself finds what it should, under any name.
func TestUsesOf(t *testing.T) {
	const source = `package x
import (
	"time"
	dice "math/rand/v2"
	"os"
)
var a, b, c = time.Now, dice.IntN, os.Open
func f(time interface{ Now() int }) { time.Now() }
type t struct{ time.Time }
`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range usesOf(f) {
		got = append(got, u.name)
	}
	if want := []string{"time.Now", "dice.IntN"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
