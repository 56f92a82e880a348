// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/test/contract"
)

// objects returns the documents of a stream of YAML.
func objects(t *testing.T, text string) []object {
	t.Helper()
	var found []object
	for d := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096); ; {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(o) > 0 {
			found = append(found, o)
		}
	}
}

// samples returns the documents of each file of samples/.
func samples(t *testing.T) map[string][]object {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("samples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]object{}
	for _, f := range files {
		if filepath.Base(f) == "kustomization.yaml" {
			continue
		}
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found[f] = objects(t, string(raw))
	}
	if len(found) < 2 {
		t.Fatalf("found only %d samples", len(found))
	}
	return found
}

// A plain API server takes the samples as they stand, with no unknown field, and
// the pods of a namespace that enforces restricted.
func TestSamplesAreAccepted(t *testing.T) {
	contract.Row(t, 144)
	s := server(t)
	for file, docs := range samples(t) {
		t.Run(file, func(t *testing.T) {
			ns := s.namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
			for _, o := range docs {
				u := o.with("metadata.namespace", ns)
				if err := s.create(t.Context(), u); err != nil {
					t.Errorf("%v: %v", o["kind"], err)
				}
				if o["kind"] == "StatefulSet" || o["kind"] == "Deployment" {
					accepts(t, s.podOf(t, o, ns))
				}
			}
		})
	}
}

// podOf asks the API server for a pod of a workload's template, without making one.
func (s *apiServer) podOf(t *testing.T, workload object, ns string) error {
	t.Helper()
	template, _, err := unstructured.NestedMap(workload, "spec", "template")
	if err != nil || template["spec"] == nil {
		t.Fatalf("%v has no pod template: %v", workload["kind"], err)
	}
	pod := object(template).with("apiVersion", "v1").with("kind", "Pod").
		with("metadata.generateName", "pod-").with("metadata.namespace", ns)
	if claims, _, _ := unstructured.NestedSlice(workload, "spec", "volumeClaimTemplates"); len(claims) > 0 {
		var volumes []any
		for _, c := range claims {
			name, _, _ := unstructured.NestedString(c.(map[string]any), "metadata", "name")
			volumes = append(volumes, map[string]any{"name": name, "emptyDir": map[string]any{}})
		}
		pod = pod.with("spec.volumes", volumes)
	}
	return s.create(t.Context(), pod, client.DryRunAll)
}

// The check above can fail: the test's API server does enforce restricted.
func TestRestrictedIsEnforcedHere(t *testing.T) {
	contract.Row(t, 150)
	s := server(t)
	ns := s.namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	err := s.podOf(t, parse(t, `{kind: X, spec: {template: {spec: {containers: [{name: a, image: b}]}}}}`), ns)
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "seccompProfile") {
		t.Errorf("a pod that promises nothing: got %v", err)
	}
}

// Whoever follows a sample makes Secrets that the operator can use: the entries
// have their names, and the keys are long enough to sign with.
func TestSampleSecretsHaveWhatTheOperatorReads(t *testing.T) {
	clouds := map[string]bool{}
	defer func() {
		if len(clouds) != 3 {
			t.Errorf("there are samples for %v, want one for each cloud", clouds)
		}
	}()
	for file, docs := range samples(t) {
		secrets := map[string]map[string][]byte{}
		for _, o := range docs {
			if o["kind"] == "Secret" {
				name, _, _ := unstructured.NestedString(o, "metadata", "name")
				data, _, err := unstructured.NestedStringMap(o, "stringData")
				if err != nil {
					t.Fatal(err)
				}
				secrets[name] = map[string][]byte{}
				for k, v := range data {
					secrets[name][k] = []byte(v)
				}
			}
		}
		stores := 0
		for _, o := range docs {
			if o["kind"] != v1alpha1.KindWALStore {
				continue
			}
			stores++
			var ws v1alpha1.WALStore
			fill(t, o.unstructured(), &ws)
			root, cloud := secrets[ws.Spec.Root.Credentials.SecretRef.Name], strings.SplitN(ws.Spec.Root.URI, ":", 2)[0]
			for _, entry := range map[string][]string{
				"s3":     {v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey},
				"gs":     {v1alpha1.SecretGoogleCredentials},
				"azblob": {v1alpha1.SecretStorageKey},
			}[cloud] {
				if len(root[entry]) == 0 {
					t.Errorf("%s: the root's Secret lacks %s", file, entry)
				}
			}
			clouds[cloud] = true
			keys, err := audit.NewKeyring(secrets[ws.Spec.Audit.KeySecretRef.Name])
			if err == nil {
				_, err = keys.Current()
			}
			if err != nil {
				t.Errorf("%s: the audit key: %v", file, err)
			}
		}
		if stores == 0 && strings.Contains(file, "storemaintenance") {
			continue // of a store that is there
		}
		if stores != 1 {
			t.Errorf("%s has %d WALStores, want one to start from", file, stores)
		}
	}
}
