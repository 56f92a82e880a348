// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What the manifests say to the binary, it understands: a flag that was renamed
// would show only as pods that do not start.
func TestManifestsUseFlagsThatExist(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "salvor")
	if out, err := exec.Command("go", "build", "-o", bin, "../cmd/salvor").CombinedOutput(); err != nil {
		t.Fatalf("build salvor: %v\n%s", err, out)
	}
	known := map[string]string{}
	flag := regexp.MustCompile(`--[a-z][a-z-]*`)
	workloads := 0
	for _, file := range []string{"manager/manager.yaml", "samples/walstore_adopted.yaml", "namespaced/kustomization.yaml"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range argsIn(t, string(raw)) {
			var command []string
			for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				command, args = append(command, args[0]), args[1:]
			}
			if len(command) == 0 {
				command = []string{"operator"}
			}
			workloads++
			name := strings.Join(command, " ")
			if known[name] == "" {
				help, err := exec.Command(bin, append(command, "--help")...).CombinedOutput()
				if err != nil {
					t.Fatalf("salvor %s --help: %v\n%s", name, err, help)
				}
				known[name] = string(help)
			}
			for _, a := range args {
				if f := flag.FindString(a); f == "" || !regexp.MustCompile(`\s`+f+`\s`).MatchString(known[name]) {
					t.Errorf("%s: salvor %s does not know %s", file, name, a)
				}
			}
		}
	}
	if workloads < 3 {
		t.Errorf("found only %d lists of arguments", workloads)
	}
}

// argsIn returns the arguments of each workload in a file of manifests, and those
// that a kustomization patches in.
func argsIn(t *testing.T, text string) (found [][]string) {
	t.Helper()
	for _, o := range objects(t, text) {
		if o["kind"] == "Deployment" || o["kind"] == "StatefulSet" {
			args, _, err := unstructured.NestedStringSlice(container(t, o), "args")
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, args)
		}
		if o["kind"] == "Kustomization" {
			var args []string
			for _, m := range regexp.MustCompile(`(?m)^\s*value: (--\S+)$`).FindAllStringSubmatch(text, -1) {
				args = append(args, m[1])
			}
			found = append(found, args)
		}
	}
	return found
}
