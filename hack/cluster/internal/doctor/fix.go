// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Fix installs the packages and loads the kernel modules that findings name.
// Nothing else is changed: the other remedies are a person's to choose.
func Fix(ctx context.Context, found []Finding, w io.Writer) error {
	var errs []error
	for _, f := range found {
		if module, ok := strings.CutPrefix(f.Remedy, "modprobe "); ok {
			errs = append(errs, run(ctx, w, "modprobe", module))
		}
	}
	if packages := Packages(found); len(packages) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return errors.Join(append(errs, fmt.Errorf("no apt-get here: install what your system calls %s", strings.Join(packages, ", ")))...)
		}
		// Old lists name files that are gone: refresh them first.
		errs = append(errs, run(ctx, w, "apt-get", "update", "-qq"),
			run(ctx, w, "apt-get", append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)...))
	}
	return errors.Join(errs...)
}

func run(ctx context.Context, w io.Writer, name string, args ...string) error {
	fmt.Fprintf(w, "%s %s\n", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
