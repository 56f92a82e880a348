// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every reason and every condition is a word that Kubernetes takes, is there
// once, and is explained; an explanation that nobody uses is none.
func TestEveryReasonHasItsSentence(t *testing.T) {
	word := regexp.MustCompile(`^[A-Z][A-Za-z0-9]{1,63}$`)
	constants := stringConstants(t, "reasons.go", "Reason")
	if len(constants) < 50 {
		t.Fatalf("found only %d reasons: the parser of this test is broken", len(constants))
	}
	of := map[string]string{}
	for name, reason := range constants {
		if !word.MatchString(reason) {
			t.Errorf("%s = %q is not one CamelCase word", name, reason)
		}
		if other, twice := of[reason]; twice {
			t.Errorf("%s and %s are both %q", name, other, reason)
		}
		of[reason] = name
		if _, ok := Explain(reason); !ok {
			t.Errorf("%s (%q) has no sentence in Explanations", name, reason)
		}
	}
	seen := map[string]bool{}
	for _, e := range Explanations {
		if of[e.Reason] == "" || seen[e.Reason] {
			t.Errorf("Explanations has %q twice, or it is no constant", e.Reason)
		}
		seen[e.Reason] = true
		for _, s := range []string{e.Means, e.Next} {
			if s != "" && !strings.HasSuffix(s, ".") {
				t.Errorf("%s: %q is not a sentence", e.Reason, s)
			}
		}
		if e.Means == "" {
			t.Errorf("%s: a reason without a meaning", e.Reason)
		}
	}
}

// The lists of conditions are complete: what is not in them is not written as
// Unknown at first sight.
func TestEveryConditionIsInAList(t *testing.T) {
	listed := map[string]bool{}
	for _, c := range slices.Concat(WALStoreConditions, RecoverySidecarConditions, StoreMaintenanceConditions) {
		listed[c] = true
	}
	constants := stringConstants(t, "conditions.go", "Condition")
	if len(constants) < 15 {
		t.Fatalf("found only %d conditions: the parser of this test is broken", len(constants))
	}
	for name, c := range constants {
		if name != "Condition"+c {
			t.Errorf("%s is %q: constant and word differ", name, c)
		}
		if !listed[c] {
			t.Errorf("%s is in no list", name)
		}
	}
}

func TestExplainKnowsOnlyReasons(t *testing.T) {
	if e, ok := Explain("NoSuchReason"); ok {
		t.Fatalf("explained an unknown reason: %+v", e)
	}
	e, ok := Explain(ReasonConditionalWritesNotEnforced)
	if !ok || !strings.Contains(e.Next, "If-None-Match") {
		t.Fatalf("got %+v, %v", e, ok)
	}
}

// stringConstants returns the string constants of a file whose names begin with
// prefix.
func stringConstants(t *testing.T, file, prefix string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			lit, ok := v.Values[0].(*ast.BasicLit)
			if !ok || !strings.HasPrefix(v.Names[0].Name, prefix) {
				continue
			}
			if found[v.Names[0].Name], err = strconv.Unquote(lit.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return found
}
