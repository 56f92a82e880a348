// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
	"github.com/salvor-io/salvor/hack/cluster/internal/progress"
)

// Ensure builds those of the named programs that are not there yet and returns
// the path of each.
//
// All programs of a module are built by one "go build", because then one
// program is linked while another is compiled. An interrupted build loses its
// links and keeps what it compiled.
func Ensure(ctx context.Context, log *progress.Log, names ...string) (map[string]string, error) {
	root, err := paths.Root()
	if err != nil {
		return nil, err
	}
	cache, err := paths.Cache()
	if err != nil {
		return nil, err
	}
	version, err := goVersion(ctx, root)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, ok := find(name); !ok {
			return nil, fmt.Errorf("unknown program %q: known are %s", name, strings.Join(Names(), ", "))
		}
	}
	found, todo, err := plan(root, cache, version, names)
	if err != nil {
		return nil, err
	}
	prune(cache, found)
	for i, j := range todo {
		var left time.Duration
		for _, rest := range todo[i:] {
			left += log.Estimate(rest.step(), rest.guess())
		}
		log.Printf("%d module(s) to build, about %s in all", len(todo)-i, progress.Round(left))
		if err := log.Step(j.step(), j.guess(), func() error { return j.run(ctx) }); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Ready tells whether all the named programs are built.
func Ready(ctx context.Context, names ...string) bool {
	root, err := paths.Root()
	if err != nil {
		return false
	}
	cache, err := paths.Cache()
	if err != nil {
		return false
	}
	version, err := goVersion(ctx, root)
	if err != nil {
		return false
	}
	_, todo, err := plan(root, cache, version, names)
	return err == nil && len(todo) == 0
}

// plan finds where the named programs are or will be, and what must be built.
func plan(root, cache, version string, names []string) (map[string]string, []job, error) {
	found := map[string]string{}
	var todo []job
	for _, m := range Modules {
		if !wants(m, names) {
			continue
		}
		key, err := m.key(root, version)
		if err != nil {
			return nil, nil, err
		}
		j := job{module: m, root: root, dir: filepath.Join(cache, "bin", key)}
		for _, name := range names {
			if _, ok := m.Programs[name]; !ok {
				continue
			}
			found[name] = filepath.Join(j.dir, name)
			if _, err := os.Stat(found[name]); err != nil {
				j.missing = append(j.missing, name)
			}
		}
		if len(j.missing) > 0 {
			todo = append(todo, j)
		}
	}
	return found, todo, nil
}

func wants(m Module, names []string) bool {
	for _, name := range names {
		if _, ok := m.Programs[name]; ok {
			return true
		}
	}
	return false
}

// job is the missing programs of one module.
type job struct {
	module  Module
	root    string
	dir     string
	missing []string
}

func (j job) step() string {
	sort.Strings(j.missing)
	return "go build " + strings.Join(j.missing, " ")
}

func (j job) guess() time.Duration {
	return j.module.Cold * time.Duration(len(j.missing)) / time.Duration(len(j.module.Programs))
}

func (j job) run(ctx context.Context) error {
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, j.dir+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	// Another process may have built them while this one waited.
	j.missing = slices.DeleteFunc(slices.Clone(j.missing), func(name string) bool {
		_, err := os.Stat(filepath.Join(j.dir, name))
		return err == nil
	})
	if len(j.missing) == 0 {
		return nil
	}
	tmp, err := os.MkdirTemp(j.dir, ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	args := append([]string{"build"}, j.module.flags()...)
	if len(j.missing) == 1 {
		args = append(args, "-o", filepath.Join(tmp, j.missing[0]))
	} else {
		args = append(args, "-o", tmp+string(filepath.Separator))
	}
	for _, name := range j.missing {
		args = append(args, j.module.Programs[name])
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(j.root, j.module.Dir)
	cmd.Env = append(os.Environ(), j.module.env()...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s\nthe build ran in %s", err, tail(out, 30), cmd.Dir)
	}
	for _, name := range j.missing {
		built := filepath.Join(tmp, name)
		if _, err := os.Stat(built); err != nil {
			built = filepath.Join(tmp, outputName(j.module.Programs[name]))
		}
		if err := os.Rename(built, filepath.Join(j.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// outputName is what "go build -o dir/" calls the program of a package: the
// last element of its path that is no version.
func outputName(pkg string) string {
	base := filepath.Base(pkg)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		return filepath.Base(filepath.Dir(pkg))
	}
	return base
}

// goVersion asks the toolchain that will build, inside hack/cluster where its
// go.mod may choose one.
func goVersion(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env GOVERSION: %w (is Go on the PATH?)", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func tail(out []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
