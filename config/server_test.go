// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package config tests what stands in this folder against a real API server: the
// definitions, the samples, the overlays and the roles, as a user applies them.
package config

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

var _ = contract.Uses("config/")

// apiServer is a kube-apiserver with etcd, with the definitions of crd/ installed
// and nothing else: no controller, no kubelet.
type apiServer struct {
	client.Client
	config     *rest.Config
	kubectlBin string
	kubeconfig string
}

var shared struct {
	once sync.Once
	env  *envtest.Environment
	api  *apiServer
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.env != nil {
		if err := shared.env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
		}
	}
	if shared.api != nil {
		_ = os.Remove(shared.api.kubeconfig)
	}
	os.Exit(code)
}

// server returns the API server of this test process. Without the programs that
// it needs the test is skipped, unless REQUIRE_NODE=1 says that a skip is red.
func server(t *testing.T) *apiServer {
	t.Helper()
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		const how = "KUBEBUILDER_ASSETS is unset; set it to what `go -C hack/cluster run . envtest-assets DIR` prints"
		if os.Getenv("REQUIRE_NODE") == "1" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	shared.once.Do(func() { shared.api, shared.err = start(assets) })
	if shared.err != nil {
		t.Fatalf("start an API server: %v", shared.err)
	}
	return shared.api
}

func start(assets string) (*apiServer, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	shared.env = &envtest.Environment{
		Scheme:                   scheme,
		CRDDirectoryPaths:        []string{filepath.Join("crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: 3 * time.Minute,
	}
	cfg, err := shared.env.Start()
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst = -1, -1
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	admin, err := shared.env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := admin.KubeConfig()
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "salvor-config-*.kubeconfig")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Write(kubeconfig); err != nil {
		return nil, err
	}
	return &apiServer{Client: c, config: cfg, kubectlBin: filepath.Join(assets, "kubectl"), kubeconfig: f.Name()}, nil
}

// kubectl runs the real kubectl and returns what it printed.
func (s *apiServer) kubectl(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(s.kubectlBin, append([]string{"--kubeconfig", s.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (s *apiServer) mustKubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := s.kubectl(t, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// namespace makes a namespace for one test.
func (s *apiServer) namespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	ns := object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "config-"}}.unstructured()
	ns.SetLabels(labels)
	if err := s.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.GetName()
}

// refuses fails the test unless the API server called the request invalid and
// said this sentence.
func refuses(t *testing.T, err error, sentence string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("it was accepted; want a refusal with %q", sentence)
	case !apierrors.IsInvalid(err):
		t.Errorf("refused, but not as invalid: %v", err)
	case !strings.Contains(err.Error(), sentence):
		t.Errorf("the refusal does not say %q:\n%v", sentence, err)
	}
}

// object is a resource as a person writes it.
type object map[string]any

func parse(t *testing.T, text string) object {
	t.Helper()
	var o object
	if err := yaml.UnmarshalStrict([]byte(text), &o); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return o
}

// with returns a copy with the field at a dotted path set; nil takes it away.
func (o object) with(path string, value any) object {
	c := object(runtime.DeepCopyJSON(o))
	at := map[string]any(c)
	steps := strings.Split(path, ".")
	for _, step := range steps[:len(steps)-1] {
		next, ok := at[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[step] = next
		}
		at = next
	}
	last := steps[len(steps)-1]
	if value == nil {
		delete(at, last)
	} else {
		at[last] = value
	}
	return c
}

func (o object) unstructured() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o)}
}

// create asks for a creation that checks everything, unknown fields too.
func (s *apiServer) create(ctx context.Context, o object, opts ...client.CreateOption) error {
	opts = append(opts, &client.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	return s.Create(ctx, o.unstructured(), opts...)
}
