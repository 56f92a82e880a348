// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

// flags are the arguments of "go build" for a module, without output and packages.
func (m Module) flags() []string {
	args := []string{"-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w " + m.LDFlags)}
	if m.Tags != "" {
		args = append(args, "-tags", m.Tags)
	}
	return args
}

// env is what the environment must say for the build to depend on the module
// alone: a workspace or flags of the user's would change the result unseen.
func (m Module) env() []string {
	cgo := "0"
	if m.CGO {
		cgo = "1"
	}
	return []string{"CGO_ENABLED=" + cgo, "GOFLAGS=", "GOWORK=off", "GOOS=linux", "GOARCH=" + runtime.GOARCH}
}

// key names the folder of a module's programs: a hash of its module files and
// sources, the build flags, and the Go version.
func (m Module) key(root, goVersion string) (string, error) {
	dir := filepath.Join(root, m.Dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("pinned module %s: %w", m.Dir, err)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		if name == "go.mod" || name == "go.sum" || strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			files = append(files, name)
		}
	}
	sort.Strings(files)
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%q\n%q\n", goVersion, m.flags(), m.env())
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(data))
	}
	return filepath.Base(m.Dir) + "-" + hex.EncodeToString(h.Sum(nil))[:16], nil
}
