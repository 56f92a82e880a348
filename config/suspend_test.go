// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

func pause(by, reason, until string) map[string]any {
	return map[string]any{"by": by, "reason": reason, "until": until}
}

// A suspension says who, why and until when, or it is none.
func TestSuspensionSaysWhoWhyAndUntilWhen(t *testing.T) {
	contract.Row(t, 119, 144)
	s := server(t)
	a := parse(t, adopted)
	for says, o := range map[string]object{
		"must be of type object":      a.with("spec.suspend", true),
		"spec.suspend.by: Required":   a.with("spec.suspend", map[string]any{"reason": "x", "until": "2030-01-01T00:00:00Z"}),
		"spec.suspend.reason":         a.with("spec.suspend", pause("ada", "", "2030-01-01T00:00:00Z")),
		"spec.suspend.until: Invalid": a.with("spec.suspend", pause("ada", "x", "next week")),
	} {
		refuses(t, s.create(t.Context(), o), says)
	}
}

// In one's own name, whoever may edit the store; to end it and to delete the store
// nobody's name is asked for.
func TestWhoSuspends(t *testing.T) {
	contract.Row(t, 119)
	s := server(t)
	s.mustKubectl(t, s.build(t, "default"), "apply", "--server-side", "-f", "-")
	ns := s.namespace(t, nil)
	for _, user := range []string{"ada", "ed"} {
		s.bind(t, ns, "salvor-editor", user)
		s.bind(t, ns, "salvor-viewer", user)
	}
	s.mustKubectl(t, asYAML(t, parse(t, adopted).with("metadata.namespace", ns)), "create", "-f", "-")
	patch := func(user, body string, more ...string) (string, error) {
		return s.kubectl(t, "", append([]string{"patch", "wals", "orders", "-n", ns, "--as", user, "--type=merge", "-p", body}, more...)...)
	}
	suspend := func(by, until string) string {
		return fmt.Sprintf(`{"spec":{"suspend":{"by":%q,"reason":"the root moves","until":%q}}}`, by, until)
	}
	const later, muchLater = "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"
	// The API server takes its policies up some time after they are made.
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := patch("ed", suspend("ada", later), "--dry-run=server")
		if err != nil && strings.Contains(out, "ValidatingAdmissionPolicy") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no policy after a minute: %v %s", err, out)
		}
	}
	for _, c := range []struct{ name, user, body, says string }{
		{"in another's name", "ed", suspend("ada", later), "spec.suspend.by must be who suspends: ed"},
		{"in one's own", "ada", suspend("ada", later), ""},
		{"longer, in another's name", "ed", suspend("ada", muchLater), "spec.suspend.by must be who suspends: ed"},
		{"longer, by another", "ed", suspend("ed", muchLater), ""},
		{"something else of a suspended store", "ada", `{"spec":{"retention":{"versions":2048}}}`, ""},
		{"its end, by another", "ada", `{"spec":{"suspend":null}}`, ""},
		{"suspended again", "ada", suspend("ada", later), ""},
	} {
		out, err := patch(c.user, c.body)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %s", c.name, out)
		case c.says != "" && (err == nil || !strings.Contains(out, c.says)):
			t.Errorf("%s: %v, want %q in:\n%s", c.name, err, c.says, out)
		}
	}
	out := s.mustKubectl(t, "", "get", "wals", "-n", ns, "-o", "wide")
	wantLine(t, out, "NAME READY REASON PENDING WRITERS MANIFEST AGE RECOVERING STALLED ISOLATED SUSPENDED-UNTIL SUSPENDED-BY ROOT")
	if !strings.Contains(out, later) || !strings.Contains(out, "ada") {
		t.Errorf("who and until when is not shown:\n%s", out)
	}
	if out, err := s.kubectl(t, "", "delete", "wals", "orders", "-n", ns, "--as", "ed"); err != nil {
		t.Errorf("a suspended store cannot be deleted: %s", out)
	}
}
