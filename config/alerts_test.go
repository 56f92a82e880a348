// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/salvor-io/salvor/test/contract"
)

var _ = contract.Uses("docs/runbooks/", "./controllers")

type alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func alerts(t *testing.T) []alert {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rule struct {
		Spec struct {
			Groups []struct {
				Rules []alert `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(raw, &rule); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range rule.Spec.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 5 {
		t.Fatalf("found only %d alerts", len(all))
	}
	return all
}

// An alert on a metric that nobody exports never fires and never says so.
func TestEveryAlertNamesAMetricThatExists(t *testing.T) {
	contract.Row(t, 149)
	exported := exportedMetrics(t)
	name := regexp.MustCompile(`\b[a-z]+_[a-z_]+\b`)
	for _, a := range alerts(t) {
		metrics := 0
		for _, m := range name.FindAllString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(a.Expr, ""), -1) {
			if strings.HasSuffix(m, "_over_time") {
				continue
			}
			metrics++
			if !exported[m] {
				t.Errorf("%s: nobody exports %s", a.Alert, m)
			}
		}
		if metrics == 0 {
			t.Errorf("%s names no metric: %s", a.Alert, a.Expr)
		}
	}
}

// exportedMetrics reads the names of metrics out of the controllers' source.
func exportedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "controllers", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isIdent := kv.Key.(*ast.Ident)
			value, isLit := kv.Value.(*ast.BasicLit)
			if isIdent && key.Name == "Name" && isLit && value.Kind == token.STRING {
				if s, err := strconv.Unquote(value.Value); err == nil && strings.HasPrefix(s, "salvor_") {
					found[s] = true
				}
			}
			return true
		})
	}
	if len(found) == 0 {
		t.Fatal("the controllers export no metric")
	}
	return found
}

// Whoever is woken by an alert finds its section; no section is left of an alert
// that is gone.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	contract.Row(t, 149)
	raw, err := os.ReadFile(filepath.Join("..", "docs", "runbooks", "alerts.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			sections[strings.TrimSpace(title)] = true
		}
	}
	const page = "https://github.com/salvor-io/salvor/blob/main/docs/runbooks/alerts.md#"
	for _, a := range alerts(t) {
		if got, want := a.Annotations["runbook_url"], page+strings.ToLower(a.Alert); got != want {
			t.Errorf("%s: runbook_url is %q, want %q", a.Alert, got, want)
		}
		if !sections[a.Alert] {
			t.Errorf("%s has no section in docs/runbooks/alerts.md", a.Alert)
		}
		delete(sections, a.Alert)
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || a.Labels["severity"] == "" {
			t.Errorf("%s lacks a summary, a description or a severity", a.Alert)
		}
	}
	for left := range sections {
		t.Errorf("docs/runbooks/alerts.md has a section for %s, which is no alert", left)
	}
}
