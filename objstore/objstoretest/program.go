// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// program is a server that a test starts.
type program struct {
	binary      string
	arguments   func(address string) []string
	environment []string // besides this process's own
	// health is the path that is answered, by anything below 500, when it serves.
	health string
}

// startProgram starts a server on a free port of loopback, waits until it is
// healthy, ends it with the test, and returns its endpoint, "http://host:port".
func startProgram(t testing.TB, p program) string {
	t.Helper()
	// A port that was free may be taken a moment later: try others.
	var said string
	for range 5 {
		address := freeAddress(t)
		var ok bool
		if said, ok = p.start(t, address); ok {
			return "http://" + address
		}
	}
	t.Fatalf("%s does not start: %s", p.binary, said)
	return ""
}

// start runs the server and waits until it is healthy. false: it ended, and said this.
func (p program) start(t testing.TB, address string) (said string, ok bool) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(p.binary, p.arguments(address)...)
	cmd.Env = append(os.Environ(), p.environment...)
	cmd.Stdout, cmd.Stderr = &out, &out
	dieWithParent(cmd)
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		// The kernel takes the end of the thread that started it for the parent's.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", p.binary, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its own process, by its own id
		<-ended
	})
	if waitHealthy(t, "http://"+address+p.health, ended) {
		return "", true
	}
	_ = cmd.Process.Kill()
	<-ended
	return strings.TrimSpace(out.String()), false
}

func waitHealthy(t testing.TB, url string, ended <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode < http.StatusInternalServerError {
				return true
			}
		}
		select {
		case <-ended:
			return false
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
