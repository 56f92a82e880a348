// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/internal/failpoint"
)

// route is put together here, so that this file does not put it into the binary.
func route(p failpoint.Point) string {
	return strings.Join([]string{"", "failpoint", "v1", p.String()}, "/")
}

// An ordinary build cannot be parked: it has no route for it, and not the code.
func TestNoFailpointsInAnOrdinaryBuild(t *testing.T) {
	if failpoint.Enabled {
		t.Skip("this is a build with failpoints")
	}
	p := serveIn(t, "", t.TempDir())
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.control+route(failpoint.WriterArmed), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s: %s", method, route(failpoint.WriterArmed), res.Status)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	traces := failpointTraces(t, self)
	if len(traces) > 0 {
		t.Errorf("the binary holds %q", traces)
	}
	if traces := failpointTraces(t, withFailpoints(t)); len(traces) != 2 {
		t.Errorf("a build with failpoints shows only %q: this test would not notice them", traces)
	}
}

// failpointTraces looks for what only a build with failpoints holds.
func failpointTraces(t *testing.T, binary string) []string {
	t.Helper()
	raw, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, trace := range []string{
		strings.Join([]string{"", "failpoint", "v1", "{point}"}, "/"),
		strings.Join([]string{"internal/failpoint", "Handler"}, "."),
	} {
		if bytes.Contains(raw, []byte(trace)) {
			found = append(found, trace)
		}
	}
	return found
}

// withFailpoints builds salvor with the tag, once.
func withFailpoints(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a binary")
	}
	if built.path == "" {
		dir, err := os.MkdirTemp("", "salvor-failpoint-")
		if err != nil {
			t.Fatal(err)
		}
		built.path = filepath.Join(dir, "salvor")
		cmd := exec.Command("go", "build", "-tags", "failpoint", "-o", built.path, ".")
		built.out, built.err = cmd.CombinedOutput()
	}
	if built.err != nil {
		t.Fatalf("%v: %s", built.err, built.out)
	}
	return built.path
}

var built struct {
	path string
	out  []byte
	err  error
}

// A real process is parked at every point of a checkpoint and killed there. The
// next one serves everything, recovers by itself, and publishes it.
func TestKilledAtEveryPointOfACheckpoint(t *testing.T) {
	binary := withFailpoints(t)
	for _, point := range []failpoint.Point{
		failpoint.WriterArmed, failpoint.WriterPartlyApplied, failpoint.WriterApplied, failpoint.WriterConfirmed, failpoint.WriterPublished,
	} {
		t.Run(point.String(), func(t *testing.T) {
			dir := t.TempDir()
			p := serveIn(t, binary, dir, "--checkpoint-interval", "1h")
			p.must("/v1/checkpoint", "") // a store that recovers by itself begins with one: not beside what follows
			p.must("/v1/transactions", `{"statements":[{"op":"put","table":"a","key":"k","row":{"v":1}},{"op":"put","table":"b","key":"k","row":{"v":1}}]}`)
			p.parking(t.Context(), http.MethodPost, point)
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() { // it comes back when the process is killed, and then without an answer
				res, err := http.Post("http://"+p.api+"/v1/checkpoint", "", nil)
				if err != nil {
					cancel(fmt.Errorf("the checkpoint failed without passing %s: %w", point, err))
					return
				}
				defer res.Body.Close()
				said, _ := io.ReadAll(res.Body)
				cancel(fmt.Errorf("the checkpoint was answered without passing %s: %s %s", point, res.Status, said))
			}()
			if said := p.parking(ctx, http.MethodGet, point); !strings.Contains(said, `"arrived":true`) {
				t.Fatalf("not reached: %s", said)
			}
			p.kill()
			if left, err := os.ReadDir(filepath.Join(dir, "data", "root", "recovery")); err != nil || len(left) == 0 {
				t.Fatalf("pending after the kill: %v, %v", left, err)
			}
			p = serveIn(t, binary, dir, "--checkpoint-interval", "1h")
			p.must("/v1/transactions", `{"statements":[{"op":"put","table":"a","key":"k2","row":{"v":2}}]}`)
			p.must("/v1/checkpoint", "")
			if left, err := os.ReadDir(filepath.Join(dir, "data", "root", "recovery")); err != nil || len(left) > 0 {
				t.Fatalf("still pending: %v, %v", left, err)
			}
			const want = `{"table":"ledger-0.a","key":"k","row":{"v":1}}
{"table":"ledger-0.a","key":"k2","row":{"v":2}}
{"table":"ledger-0.b","key":"k","row":{"v":1}}
`
			if out, errs, code := run(t, "store", "dump", "--root", rootOf(dir)); code != 0 || out != want {
				t.Fatalf("dump: exit %d\n%s%s", code, out, errs)
			}
		})
	}
}

// parking talks to the process's failpoints; a GET waits for the arrival.
func (p *pod) parking(ctx context.Context, method string, point failpoint.Point) string {
	p.t.Helper()
	defer p.watched()()
	url := "http://" + p.control + route(point)
	if method == http.MethodGet {
		url += "?wait=1"
	}
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode > 299 {
		p.t.Fatalf("%s %s: %s %s %v", method, url, res.Status, raw, err)
	}
	return string(raw)
}
