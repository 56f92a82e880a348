// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/image"
	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
)

// busyboxPaths are where Debian's busybox-static and others put the program.
var busyboxPaths = []string{"/bin/busybox", "/usr/bin/busybox"}

// shellCommands are what volume scripts and people at a prompt use.
var shellCommands = strings.Fields("sh ash cat chmod chown cp cut date dd df du echo env false find grep head hostname id " +
	"ip kill ln ls mkdir mktemp mount mv nc netstat nslookup ping printf ps pwd rm rmdir sed seq sha256sum sleep sort " +
	"stat sync tail tar tee test timeout top touch tr true uname vi wc wget which xargs")

// Busybox finds the static shell of the machine.
func Busybox() (string, error) {
	for _, file := range busyboxPaths {
		if _, err := (image.Binary{File: file}).Entries(); err == nil {
			return file, nil
		}
	}
	return "", errors.New("no static busybox: run doctor, or apt-get install busybox-static")
}

// Shell is the busybox program with its commands as part of an image.
func Shell(busybox string) image.Source {
	return image.Busybox{File: busybox, Commands: shellCommands}
}

// packSystemImages makes the cluster's own images, once per content, and
// returns their files.
func packSystemImages(bins map[string]string) ([]string, error) {
	busybox, err := Busybox()
	if err != nil {
		return nil, err
	}
	static := func(name, ref string) image.Options {
		b := image.Binary{File: bins[name]}
		return image.Options{Name: ref, Sources: []image.Source{image.Base{}, b}, Entrypoint: []string{b.Target()}}
	}
	cache, err := paths.Cache()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, o := range []image.Options{
		static("pause", pauseImage),
		static("coredns", corednsImage),
		static("local-path-provisioner", provisionerImage),
		{Name: shellImage, Sources: []image.Source{image.Base{}, Shell(busybox)}, Cmd: []string{"sh"}},
	} {
		key, err := imageKey(o, busybox)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(cache, "images", key+".tar")
		if _, err := os.Stat(file); err != nil {
			if err := image.Pack(o, file); err != nil {
				return nil, fmt.Errorf("pack %s: %w", o.Name, err)
			}
		}
		files = append(files, file)
	}
	return files, nil
}

// imageKey names a packed image by its program. The folder of a program is a
// content hash already; busybox comes from the distribution and is read.
func imageKey(o image.Options, busybox string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %+v\n", image.Format, o)
	data, err := os.ReadFile(busybox)
	if err != nil {
		return "", err
	}
	h.Write(data)
	name := strings.NewReplacer("/", "-", ":", "-").Replace(strings.TrimPrefix(o.Name, "salvor.local/"))
	return name + "-" + hex.EncodeToString(h.Sum(nil))[:16], nil
}

// load imports a docker-archive into one node.
func (s *State) load(ctx context.Context, ctr string, n Node, file string) error {
	_, err := host.Run(ctx, ctr, "--address", s.socket(n), "--namespace", "k8s.io", "images", "import", file)
	return err
}

// loadOnce imports those of the files that this node has not yet. Their names
// tell their contents; the list lies beside containerd's own data and goes
// with it.
func (s *State) loadOnce(ctx context.Context, ctr string, n Node, files []string) error {
	list := s.nodePath(n, "root", "loaded-by-salvor")
	data, _ := os.ReadFile(list)
	done := strings.Fields(string(data))
	for _, file := range files {
		if slices.Contains(done, filepath.Base(file)) {
			continue
		}
		if err := s.load(ctx, ctr, n, file); err != nil {
			return err
		}
		done = append(done, filepath.Base(file))
	}
	return writeConfig(list, strings.Join(done, "\n")+"\n")
}

// LoadImage imports a docker-archive into every node that runs.
func (s *State) LoadImage(ctx context.Context, ctr, file string) ([]string, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	var loaded []string
	for _, n := range s.Nodes {
		if !s.running("containerd-" + n.suffix()) {
			continue
		}
		if err := s.load(ctx, ctr, n, abs); err != nil {
			return loaded, fmt.Errorf("node %s: %w", n.Name, err)
		}
		loaded = append(loaded, n.Name)
	}
	if len(loaded) == 0 {
		return nil, fmt.Errorf("no node of cluster %s runs: up --name %s", s.Name, s.Name)
	}
	return loaded, nil
}
