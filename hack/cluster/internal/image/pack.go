// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Format counts the changes of what Pack makes of equal options, so that
// images kept under their options' names are packed anew.
const Format = 1

// Options describe an image.
type Options struct {
	// Name is the full reference, as in salvor.local/store:dev. Pods name it
	// with imagePullPolicy Never or IfNotPresent.
	Name       string
	Sources    []Source
	Entrypoint []string
	Cmd        []string
	Env        []string
	User       string
	WorkingDir string
}

// Pack writes the image to a docker-archive file, whole or not at all.
func Pack(o Options, out string) error {
	tag, err := name.NewTag(o.Name, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("image name: %w (want a registry, a repository and a tag, as in salvor.local/app:dev)", err)
	}
	var entries []Entry
	for _, s := range o.Sources {
		more, err := s.Entries()
		if err != nil {
			return err
		}
		entries = append(entries, more...)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	layerFile, err := os.CreateTemp(filepath.Dir(out), ".layer-*")
	if err != nil {
		return err
	}
	defer os.Remove(layerFile.Name())
	defer layerFile.Close()
	if err := writeLayer(layerFile, entries); err != nil {
		return err
	}
	img, err := assemble(o, layerFile.Name())
	if err != nil {
		return err
	}
	tmp := out + ".tmp"
	defer os.Remove(tmp)
	if err := tarball.WriteToFile(tmp, tag, img); err != nil {
		return err
	}
	return os.Rename(tmp, out)
}

func assemble(o Options, layerFile string) (v1.Image, error) {
	open := func() (io.ReadCloser, error) { return os.Open(layerFile) }
	// Compression would cost seconds and save nothing on one machine.
	layer, err := tarball.LayerFromOpener(open, tarball.WithCompression(compression.None))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: epoch}
	config.Config = v1.Config{
		Entrypoint: o.Entrypoint, Cmd: o.Cmd, User: o.User, WorkingDir: o.WorkingDir,
		Env: append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"}, o.Env...),
	}
	return mutate.ConfigFile(img, config)
}
