// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/s3serve"
	"github.com/salvor-io/salvor/test/contract"
)

// objectStore is an S3 server that can go away.
type objectStore struct {
	*httptest.Server
	away atomic.Bool
}

func newObjectStore(t *testing.T) *objectStore {
	t.Helper()
	disk, s := mem.New(mem.Options{}), &objectStore{}
	do := s3serve.Bucket(disk)
	s.Server = httptest.NewServer(s3serve.Handler("bucket", func(ctx context.Context, req *s3serve.Request) *s3serve.Response {
		if s.away.Load() {
			return s3serve.SlowDown("away")
		}
		return do(ctx, req)
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	return s
}

func (s *objectStore) root() string {
	return "s3://bucket/ledger?path_style=true&region=us-east-1&endpoint=" + s.URL
}

// loadOn puts load on a store until it is stopped, with a file of what was acknowledged.
func loadOn(t *testing.T, p *pod) (acks string, stop func()) {
	t.Helper()
	acks = filepath.Join(t.TempDir(), "acks")
	cmd := command(t, "", "store", "load", "--target", "http://"+p.api, "--transactions", "0", "--keys", "50", "--give-up", "1s", "--timeout", "1s", "--verify", acks)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func(c *exec.Cmd) { _ = c.Process.Kill(); _ = c.Wait() } // without its own look at the end
	t.Cleanup(func() { end(cmd) })
	waitForLines(t, acks, 100)
	return acks, func() { end(cmd) }
}

func lastWords(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "termination-log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// SIGTERM under load: everything that was acknowledged is in the root when the process
// has ended, and it says so. With the object store away it is in the log, it says that,
// and the next process on the volume publishes it.
func TestSIGTERMUnderLoadStrandsNothing(t *testing.T) {
	contract.Row(t, 165)
	for name, away := range map[string]bool{"the object store is there": false, "the object store is away": true} {
		t.Run(name, func(t *testing.T) {
			s, dir := newObjectStore(t), t.TempDir()
			flags := []string{"--root", s.root(), "--checkpoint-interval", "1h", "--shutdown-timeout", "3s", "--termination-log", filepath.Join(dir, "termination-log")}
			p := serveIn(t, "", dir, flags...)
			acks, stop := loadOn(t, p)
			s.away.Store(away)
			code := p.terminate()
			stop()
			if code != 0 {
				t.Fatalf("exit %d", code)
			}
			words := lastWords(t, dir)
			if away {
				if !strings.Contains(words, "are in the log, and not known to be in the root: keep the data directory") {
					t.Fatalf("it says %q", words)
				}
				s.away.Store(false)
				p = serveIn(t, "", dir, flags...)
				if code := p.terminate(); code != 0 {
					t.Fatalf("exit %d", code)
				}
				words = lastWords(t, dir)
			}
			if !strings.Contains(words, "ended: nothing is left unpublished, the root covers position ") {
				t.Fatalf("it says %q", words)
			}
			if said, errs, code := run(t, "store", "load", "verify", acks, "--root", s.root()); code != 0 || !strings.Contains(said, "0 lost, 0 half") {
				t.Fatalf("verify by the root alone: exit %d %s%s", code, said, errs)
			}
		})
	}
}

// A volume that is taken away with the process proves it: nothing but the root is left.
func TestWhatWasDrainedNeedsNoVolume(t *testing.T) {
	contract.Row(t, 140)
	s := newObjectStore(t)
	p := serveIn(t, "", t.TempDir(), "--root", s.root(), "--checkpoint-interval", "1h")
	for i := range 20 {
		p.must("/v1/transactions", fmt.Sprintf(`{"statements":[{"op":"put","table":"t","key":"k%d","row":{"v":%d}}]}`, i, i))
	}
	if code := p.terminate(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	p = serveIn(t, "", t.TempDir(), "--root", s.root(), "--checkpoint-interval", "1h")
	for i := range 20 {
		res, err := http.Get(fmt.Sprintf("http://%s/v1/tables/t/rows/k%d", p.api, i))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("k%d on an empty volume: %s", i, res.Status)
		}
	}
}
