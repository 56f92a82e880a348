// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

type pkg struct {
	ImportPath   string
	ForTest      string
	Deps         []string
	TestGoFiles  []string
	XTestGoFiles []string
}

func (p pkg) tests() []string { return slices.Concat(p.TestGoFiles, p.XTestGoFiles) }

// choose lists the packages with tests among the patterns.
func choose(patterns []string, tags, only string) ([]string, error) {
	listed, err := list(patterns, tags)
	if err != nil {
		return nil, err
	}
	plain := listed
	if only == "tagged" {
		if plain, err = list(patterns, ""); err != nil {
			return nil, err
		}
	}
	var out []string
	for path, p := range listed {
		if len(p.tests()) == 0 {
			continue
		}
		deps := append(listed[path+".test"].Deps, p.Deps...)
		needs := slices.ContainsFunc(deps, func(d string) bool {
			return strings.HasPrefix(d, "k8s.io/") || strings.HasPrefix(d, "sigs.k8s.io/controller-runtime")
		})
		switch only {
		case "":
		case "library":
			if needs {
				continue
			}
		case "kubernetes":
			if !needs {
				continue
			}
		case "tagged":
			if slices.Equal(p.tests(), plain[path].tests()) {
				continue
			}
		default:
			return nil, fmt.Errorf("-only %s: want library, kubernetes or tagged", only)
		}
		out = append(out, path)
	}
	slices.Sort(out)
	return out, nil
}

func list(patterns []string, tags string) (map[string]pkg, error) {
	cmd := exec.Command("go", append([]string{"list", "-e", "-test", "-tags=" + tags, "-json=ImportPath,ForTest,Deps,TestGoFiles,XTestGoFiles", "--"}, patterns...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	out := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(stdout))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.ForTest == "" { // not one that is compiled again for a test
			out[p.ImportPath] = p
		}
	}
}
