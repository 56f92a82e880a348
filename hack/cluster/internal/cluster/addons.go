// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
)

//go:embed manifests/*.yaml
var manifestFiles embed.FS

var manifests = template.Must(template.New("").ParseFS(manifestFiles, "manifests/*.yaml"))

// addons renders what runs inside every cluster: names and volumes.
func (s *State) addons() ([]byte, error) {
	var buf bytes.Buffer
	values := map[string]string{
		"FirstNode": s.Nodes[0].Name, "DNSAddress": s.dnsAddress(), "Volumes": s.path("data", "volumes"),
		"CoreDNS": corednsImage, "Provisioner": provisionerImage, "Shell": shellImage,
	}
	for _, name := range []string{"dns.yaml", "volumes.yaml"} {
		if err := manifests.ExecuteTemplate(&buf, name, values); err != nil {
			return nil, err
		}
		buf.WriteString("\n---\n")
	}
	return buf.Bytes(), nil
}

// applyAddons brings the add-ons to what this version of the tool wants.
func (s *State) applyAddons(ctx context.Context, kubectl string) error {
	text, err := s.addons()
	if err != nil {
		return err
	}
	cmd := host.Command(ctx, kubectl, "--kubeconfig", s.Kubeconfig(), "apply", "--server-side", "--force-conflicts", "-f", "-")
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
