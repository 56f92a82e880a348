// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
)

// answer listens, reads one request's head and hands the connection to f.
func answer(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				f(c)
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

const head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"

// chunked writes s in chunks of n bytes.
func chunked(s string, n int) string {
	var b strings.Builder
	for len(s) > 0 {
		m := min(n, len(s))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", m, s[:m])
		s = s[m:]
	}
	return b.String() + "0\r\n\r\n"
}

func TestBodiesOfEveryCut(t *testing.T) {
	lines := `{"epoch":1,"poisonReason":"` + strings.Repeat("x", 3000) + `"}` + "\n" + `{"epoch":2}` + "\n" + `{"epoch":3}` + "\n"
	bodies := map[string]string{
		"plain until close":    head + "\r\n" + lines,
		"plain, HTTP/1.0":      strings.Replace(head, "1.1", "1.0", 1) + "\r\n" + lines,
		"content length":       head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(lines)) + lines + `{"epoch":4}` + "\n",
		"one chunk":            head + "transfer-encoding: Chunked\r\n\r\n" + chunked(lines, len(lines)),
		"chunks of a byte":     head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(lines, 1),
		"chunks across lines":  head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(lines, 7),
		"a head of many lines": head + strings.Repeat("X-Filler: "+strings.Repeat("y", 700)+"\r\n", 10) + "\r\n" + lines,
	}
	for name, raw := range bodies {
		for _, cut := range []int{1, 2, 100, len(raw)} {
			t.Run(fmt.Sprintf("%s/writes of %d", name, cut), func(t *testing.T) {
				addr := answer(t, func(c net.Conn) {
					for s := raw; len(s) > 0; s = s[min(cut, len(s)):] {
						if _, err := io.WriteString(c, s[:min(cut, len(s))]); err != nil {
							return
						}
					}
				})
				s := dial(t, addr, control.DialOptions{})
				for want := uint64(1); want <= 3; want++ {
					if st := next(t, s); st.Epoch != want || (want == 1) != (len(st.PoisonReason) == 3000) {
						t.Fatalf("line %d has epoch %d and %d bytes of reason", want, st.Epoch, len(st.PoisonReason))
					}
				}
				if _, err := s.Next(); control.ReasonOf(err) != control.EOF {
					t.Fatalf("at the end: %v, want EOF", err)
				}
			})
		}
	}
}

func TestHowAStreamEnds(t *testing.T) {
	const line = `{"epoch":1}` + "\n"
	cases := []struct {
		name string
		then func(net.Conn)
		want control.Reason
		says string
	}{
		{"killed between two lines", func(net.Conn) {}, control.EOF, ""},
		{"killed within a line", func(c net.Conn) { _, _ = io.WriteString(c, `{"epo`) }, control.EOF, ""},
		{"reset by a kernel that knows nothing of it", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, control.Reset, "reset"},
		{"silent", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, control.Silent, "timeout"},
		{"dribbles for ever", func(c net.Conn) {
			for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
				if _, err := io.WriteString(c, " "); err != nil {
					return
				}
			}
		}, control.Silent, "timeout"},
		{"a line without end", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		}, control.Protocol, "a status of more than 4096 bytes"},
		{"no JSON", func(c net.Conn) { _, _ = io.WriteString(c, "hello\n") }, control.Protocol, `status "hello"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			addr := answer(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, head+"\r\n"+line)
				c.then(conn)
			})
			s := dial(t, addr, control.DialOptions{Patience: 300 * time.Millisecond, MaxLine: 4096})
			if st, err := s.Next(); err == nil && st.Epoch != 1 || err != nil && c.want != control.Reset {
				t.Fatalf("first line: %+v, %v", st, err) // a reset may overtake it
			}
			_, err := s.Next()
			if control.ReasonOf(err) != c.want && !(c.want == control.Reset && control.ReasonOf(err) == control.Closed) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("ended with %v, want %s saying %q", err, c.want, c.says)
			}
		})
	}
}

func TestWhatIsNoStore(t *testing.T) {
	cases := []struct{ name, raw, says string }{
		{"another protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n", `it began with "SSH-2.0`},
		{"no route there", "HTTP/1.1 404 Not Found\r\n\r\nno such page", "HTTP 404: no such page"},
		{"a head without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 4000), "a head of more than 8192 bytes"},
		{"a header without end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 20000), "a head of more than 8192 bytes"},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", `Content-Length "-1"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			addr := answer(t, func(conn net.Conn) { _, _ = io.WriteString(conn, c.raw) })
			_, err := control.Dial(t.Context(), addr, control.DialOptions{})
			if control.ReasonOf(err) != control.Protocol || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want Protocol saying %q", err, c.says)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if _, err := control.Dial(t.Context(), addr, control.DialOptions{}); control.ReasonOf(err) != control.Unreachable {
		t.Fatalf("%v, want Unreachable", err)
	}
}

// A process that takes the connection and does not answer is silent, not alive.
func TestNoAnswer(t *testing.T) {
	addr := answer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	opt := control.DialOptions{Timeout: 100 * time.Millisecond}
	if _, err := control.Dial(t.Context(), addr, opt); control.ReasonOf(err) != control.Silent || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Dial: %v, want Silent", err)
	}
	if _, err := control.GetStatus(t.Context(), addr, opt); control.ReasonOf(err) != control.Silent {
		t.Fatalf("GetStatus: %v, want Silent", err)
	}
}

// The end of the caller's context ends a Next that waits, and is no evidence.
func TestOwnSideCloses(t *testing.T) {
	_, _, addr := start(t, &pod{status: ledger}, control.ServerOptions{})
	why := errors.New("shutting down")
	for name, end := range map[string]func(*control.Stream, context.CancelCauseFunc){
		"context": func(_ *control.Stream, cancel context.CancelCauseFunc) { cancel(why) },
		"close":   func(s *control.Stream, _ context.CancelCauseFunc) { _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			s, err := control.Dial(ctx, addr, control.DialOptions{Heartbeat: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			next(t, s)
			done := make(chan error, 1)
			go func() { _, err := s.Next(); done <- err }()
			end(s, cancel)
			if err := <-done; control.ReasonOf(err) != control.Closed || name == "context" && !errors.Is(err, why) {
				t.Fatalf("%v, want Closed", err)
			}
		})
	}
}

// The cost of a stream is a promise of the operator's size: a thousand of them
// take 11 MiB. The bound leaves room for the size classes of the allocator.
func TestCostOfAStream(t *testing.T) {
	const streams = 200
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	said := head + "\r\n" + `{"poisonReason":"` + strings.Repeat("x", 20000) + `"}` + "\n" + `{"epoch":1}` + "\n"
	before := heap()
	open := make([]*control.Stream, streams)
	for i := range open {
		st, err := control.Dial(t.Context(), "pod", control.DialOptions{
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return &canned{s: said}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		next(t, st) // one that needs a large buffer, which is not kept
		next(t, st)
		open[i] = st
	}
	each := (int64(heap()) - int64(before)) / streams
	t.Logf("%d bytes of heap a stream, goroutine and kernel not counted", each)
	if each > 4096 {
		t.Errorf("a stream takes %d bytes of heap, want at most 4096", each)
	}
	runtime.KeepAlive(open)
}

// canned is a connection that has answered with one status.
type canned struct {
	net.Conn
	s string
}

func (c *canned) Read(b []byte) (int, error) {
	if c.s == "" {
		return 0, io.EOF
	}
	n := copy(b, c.s)
	c.s = c.s[n:]
	return n, nil
}
func (c *canned) Write(b []byte) (int, error)     { return len(b), nil }
func (c *canned) Close() error                    { return nil }
func (c *canned) SetDeadline(time.Time) error     { return nil }
func (c *canned) SetReadDeadline(time.Time) error { return nil }
