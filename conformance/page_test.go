// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/conformance"
	"github.com/salvor-io/salvor/manifest"
)

// The page has every rule, under a section that is there, every kind of entry, and
// golden files that are there.
func TestPageOfTheProtocolIsCurrent(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "docs", "protocol.md"))
	must(t, err)
	page := string(raw)
	for _, r := range conformance.Rules {
		if !strings.Contains(page, "\n## "+r.Section+"\n") {
			t.Errorf("rule %s: docs/protocol.md has no section %q", r.Name, r.Section)
		}
		if row := fmt.Sprintf("| `%s` | %s | %s |", r.Name, r.Section, r.Asks); !strings.Contains(page, row) {
			t.Errorf("docs/protocol.md lacks the row\n%s", row)
		}
	}
	for _, k := range []manifest.Kind{
		manifest.KindRegister, manifest.KindFence, manifest.KindPublish, manifest.KindAbandon, manifest.KindClaim, manifest.KindAdopt, manifest.KindAnnounce,
		manifest.KindTrim, manifest.KindLock, manifest.KindExtend, manifest.KindRelease, manifest.KindExpire, manifest.KindAnchor, manifest.KindFormat,
	} {
		if !strings.Contains(page, "\n| `"+string(k)+"` | ") {
			t.Errorf("docs/protocol.md has no row for entries of kind %s", k)
		}
	}
	named := regexp.MustCompile("`((?:root|refuse)/[a-zA-Z0-9./…-]+)`").FindAllStringSubmatch(page, -1)
	for _, m := range named {
		pattern := filepath.Join(goldenDir, strings.ReplaceAll(m[1], "…", "*"))
		if found, err := filepath.Glob(pattern); err != nil || len(found) == 0 {
			t.Errorf("docs/protocol.md names the golden file %s, which is not there", m[1])
		}
	}
	if len(named) < 10 {
		t.Errorf("docs/protocol.md names only %d golden files", len(named))
	}
}
