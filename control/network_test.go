// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
)

// Control goes from pod to pod. A proxy between would keep streams open whose other
// end is dead, and a death is told by a stream that closes; so what the
// environment says of proxies counts for object storage only. It is read once a
// process, so another one dials. Its peer is not on loopback, which no proxy gets.
func TestControlNeverGoesThroughAProxy(t *testing.T) {
	const peer = "10.99.0.7:8411"
	if to := os.Getenv("SALVOR_TEST_CONTROL_CHILD"); to != "" {
		var dialled []string
		o := control.DialOptions{Timeout: 10 * time.Second, Patience: time.Minute, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			return (&net.Dialer{}).DialContext(ctx, network, to) // whoever is asked for: the pod
		}}
		next(t, dial(t, peer, o))
		if _, err := control.GetStatus(t.Context(), peer, o); err != nil {
			t.Error(err)
		}
		if err := control.Refresh(t.Context(), peer, o); err != nil {
			t.Error(err)
		}
		if want := []string{peer, peer, peer}; !slices.Equal(dialled, want) {
			t.Errorf("it dialled %v, want %v", dialled, want)
		}
		return
	}
	var proxied atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		proxied.Add(1)
		http.Error(w, "a proxy", http.StatusBadGateway)
	}))
	defer proxy.Close()
	p := &pod{status: ledger}
	_, _, addr := start(t, p, control.ServerOptions{})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "SALVOR_TEST_CONTROL_CHILD="+addr, "NO_PROXY=", "no_proxy=")
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		cmd.Env = append(cmd.Env, name+"="+proxy.URL, strings.ToLower(name)+"="+proxy.URL)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := proxied.Load(); n != 0 || p.refreshed.Load() != 1 {
		t.Errorf("%d requests came to the proxy, %d refreshes to the pod", n, p.refreshed.Load())
	}
}

func TestControlOnIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no ::1: %v", err)
	}
	h := control.NewServer(&pod{status: ledger}, control.ServerOptions{})
	srv := httptest.NewUnstartedServer(h)
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	t.Cleanup(h.Close)
	addr := l.Addr().String()
	if !strings.HasPrefix(addr, "[::1]:") {
		t.Fatalf("it listens on %s", addr)
	}
	if got := next(t, dial(t, addr, control.DialOptions{})); got.Writer != ledger.Writer {
		t.Errorf("%+v", got)
	}
}
