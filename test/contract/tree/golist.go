// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// listed is what is asked of "go list".
type listed struct {
	ImportPath      string
	Dir             string
	Standard        bool
	Deps            []string
	EmbedFiles      []string
	TestEmbedFiles  []string
	XTestEmbedFiles []string
	Module          *module
}

type module struct {
	Path    string
	Version string
	Main    bool
	Replace *module
}

// plain takes the "[pkg.test]" off the name of a package that go list shows as
// recompiled for a test.
func plain(path string) string {
	path, _, _ = strings.Cut(path, " ")
	return path
}

const fields = "-json=ImportPath,Dir,Standard,Deps,EmbedFiles,TestEmbedFiles,XTestEmbedFiles,Module"

func list(root, tags string, patterns []string, flags ...string) (map[string]listed, error) {
	args := slices.Concat([]string{"list", "-e", "-tags=" + tags, fields}, flags, []string{"--"}, patterns)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, cmp.Or(strings.TrimSpace(stderr.String()), "no message"))
	}
	out := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		// What a test only has recompiled for itself is the same code: whether it is also
		// listed as it is depends on what else was asked for, and must not matter.
		if name := plain(p.ImportPath); p.Dir != "" && (name == p.ImportPath || out[name].Dir == "") {
			out[name] = p
		}
	}
}
