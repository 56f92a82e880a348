// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package house

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// mayDelete is the last column of the table of docs/protocol.md, for the pods of a
// store and for the operator, which also collects. Nobody deletes what is not here.
var mayDelete = map[string][]string{
	"store":    {"readers/", "recovery/", "wal/", "snapshot/", "probe/"},
	"operator": {"manifest/", "checkpoint/", "parts/", "boundary/", "readers/", "orders/", "tables/", "recovery/", "probe/"},
}

// layout are the beginnings of the names in a root, from docs/protocol.md.
func layout(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n## 1. The root\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var found []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+/?)[^`]*` \\| [^|]* \\| [^|]* \\| [^|]* \\|$").FindAllStringSubmatch(table, -1) {
		if !slices.Contains(found, m[1]) {
			found = append(found, m[1])
		}
	}
	for _, must := range []string{"store", "manifest/", "checkpoint/", "parts/", "boundary/", "tables/", "recovery/", "audit/", "probe/"} {
		if !slices.Contains(found, must) {
			t.Fatalf("docs/protocol.md: the table of names has %q, and not %s", found, must)
		}
	}
	return found
}

// rights says what a cloud's sample lets a principal do to the object orders/name
// of the bucket stores.
type rights interface {
	may(t *testing.T, principal, verb, name string) bool
}

// The samples name every part of a root, and let nobody delete what the protocol
// does not.
func TestSamplesOfRightsFollowTheLayout(t *testing.T) {
	for cloud, r := range map[string]rights{"s3": s3Rights{}, "gcs": gcsRights{}, "azure": azureRights{}} {
		for principal, deletes := range mayDelete {
			for _, part := range layout(t) {
				name := part
				if strings.HasSuffix(part, "/") {
					name += "00000000000000000042"
				}
				for verb, want := range map[string]bool{"get": true, "put": true, "delete": slices.Contains(deletes, part), "overwrite": false} {
					if got := r.may(t, principal, verb, name); got != want {
						t.Errorf("%s: %s may %s %s: %v, want %v", cloud, principal, verb, name, got, want)
					}
				}
			}
			if r.may(t, principal, "delete", "../invoices/recovery/x") {
				t.Errorf("%s: %s may delete in another root", cloud, principal)
			}
		}
	}
}

func sample(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", "iam", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(raw, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if strings.HasSuffix(name, ".json") && !json.Valid(raw) {
		t.Fatalf("%s is no JSON", name)
	}
}

// object is the name in the bucket.
func object(name string) string {
	return strings.ReplaceAll("orders/"+name, "orders/../", "")
}

type s3Rights struct{}

func (s3Rights) may(t *testing.T, principal, verb, name string) bool {
	var policy struct {
		Version   string
		Statement []struct {
			Sid, Effect      string
			Action, Resource any
			Condition        map[string]map[string]string
		}
	}
	sample(t, "s3-"+principal+".json", &policy)
	action := map[string]string{"get": "s3:GetObject", "put": "s3:PutObject", "overwrite": "s3:PutObject", "delete": "s3:DeleteObject"}[verb]
	allowed := false
	for _, s := range policy.Statement {
		if !slices.Contains(words(s.Action), action) || !slices.ContainsFunc(words(s.Resource), func(p string) bool { return like(p, "arn:aws:s3:::stores/"+object(name)) }) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		// The condition: the request has If-None-Match.
		allowed = allowed || verb != "overwrite" || s.Condition["Null"]["s3:if-none-match"] != "false"
	}
	return allowed
}

type gcsRights struct{}

func (gcsRights) may(t *testing.T, principal, verb, name string) bool {
	permission := map[string]string{"get": "storage.objects.get", "put": "storage.objects.create", "overwrite": "storage.objects.delete", "delete": "storage.objects.delete"}[verb]
	roles := map[string][]string{}
	for role, file := range map[string]string{"projects/P/roles/salvorCreate": "gcs-create-role.yaml", "projects/P/roles/salvorDelete": "gcs-delete-role.yaml"} {
		var r struct {
			Title, Description, Stage string
			IncludedPermissions       []string
		}
		sample(t, file, &r)
		roles[role] = r.IncludedPermissions
	}
	var policy struct {
		Version  int
		Bindings []struct {
			Role      string
			Members   []string
			Condition *struct{ Title, Expression string }
		}
	}
	sample(t, "gcs-policy.yaml", &policy)
	for _, b := range policy.Bindings {
		if !slices.Contains(b.Members, "serviceAccount:"+principal+"@P.iam.gserviceaccount.com") || !slices.Contains(roles[b.Role], permission) {
			continue
		}
		if b.Condition == nil {
			return true
		}
		for _, m := range regexp.MustCompile(`resource\.name\.startsWith\('([^']+)'\)`).FindAllStringSubmatch(b.Condition.Expression, -1) {
			// Overwriting wants delete: it is possible just where that is, and counts there as one.
			if verb == "delete" && strings.HasPrefix("projects/_/buckets/stores/objects/"+object(name), m[1]) {
				return true
			}
		}
	}
	return false
}

type azureRights struct{}

func (azureRights) may(t *testing.T, principal, verb, name string) bool {
	const blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"
	action := blobs + map[string]string{"get": "read", "put": "add/action", "overwrite": "write", "delete": "delete"}[verb]
	roles := map[string][]string{}
	for _, file := range []string{"azure-create-role.json", "azure-delete-role.json"} {
		var r struct {
			Name, Description                                                  string
			IsCustom                                                           bool
			Actions, NotActions, DataActions, NotDataActions, AssignableScopes []string
		}
		sample(t, file, &r)
		roles[r.Name] = r.DataActions
	}
	var assignments []struct{ Principal, RoleDefinition, Scope, Condition, ConditionVersion string }
	sample(t, "azure-assignments.json", &assignments)
	for _, a := range assignments {
		if a.Principal != principal || !slices.Contains(roles[a.RoleDefinition], action) {
			continue
		}
		if a.Condition == "" {
			return true
		}
		for _, m := range regexp.MustCompile(`blobs:path\] StringLike '([^']+)'`).FindAllStringSubmatch(a.Condition, -1) {
			if like(m[1], object(name)) {
				return true
			}
		}
	}
	return false
}

// words is one string or a list of them.
func words(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, w := range v {
			if s, ok := w.(string); ok {
				out = append(out, s)
			}
		}
		return out
	default:
		return nil
	}
}

// like reports whether s fits a pattern whose only wildcard is *.
func like(pattern, s string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(s)
}
