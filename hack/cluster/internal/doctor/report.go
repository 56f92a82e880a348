// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Blocking tells whether any finding blocks.
func Blocking(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Blocking })
}

// Packages lists the Debian packages that remedy findings.
func Packages(found []Finding) []string {
	var names []string
	for _, f := range found {
		if f.Package != "" && !slices.Contains(names, f.Package) {
			names = append(names, f.Package)
		}
	}
	slices.Sort(names)
	return names
}

// AptLine is the one command that installs packages.
func AptLine(packages []string) string {
	return "apt-get install -y --no-install-recommends " + strings.Join(packages, " ")
}

func size(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/gib) }
