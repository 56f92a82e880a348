// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store/load"
)

// asCommand makes this test binary the command itself: real processes can be
// killed, and nothing has to be built for it.
const asCommand = "SALVOR_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	code := m.Run()
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// command is salvor with these arguments, as a process of its own.
func command(t *testing.T, binary string, args ...string) *exec.Cmd {
	t.Helper()
	if binary == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		binary = self
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// run runs a command to its end.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, "", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// pod is a running salvor store serve.
type pod struct {
	t            *testing.T
	cmd          *exec.Cmd
	api, control string // host:port
	welcome      string
}

var listensOn = regexp.MustCompile(`listens on http://(\S+), for the operator on http://(\S+)`)

// serveIn starts a store with its data below dir and waits until it serves.
func serveIn(t *testing.T, binary, dir string, args ...string) *pod {
	t.Helper()
	p := &pod{t: t}
	p.cmd = command(t, binary, append([]string{
		"store", "serve", "--data-dir", filepath.Join(dir, "data"), "--writer", "ledger-0", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0",
	}, args...)...)
	p.cmd.Stderr = &tail{t: t}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	defer p.watched()()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.welcome += lines.Text() + "\n"
		if m := listensOn.FindStringSubmatch(lines.Text()); m != nil {
			p.api, p.control = m[1], m[2]
		}
		if strings.Contains(lines.Text(), "salvor store dump") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	s, err := control.Dial(t.Context(), p.control, control.DialOptions{Patience: time.Minute, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		st, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if st.State == control.Serving {
			return p
		}
	}
}

// patience is how long a process may take over anything. Then it is asked where it
// stands, by SIGQUIT, and its answer is in the test's log.
const patience = 3 * time.Minute

// watched bounds what a test waits for from here until the returned func is called.
func (p *pod) watched() (done func()) {
	quit := time.AfterFunc(patience, func() { _ = p.cmd.Process.Signal(syscall.SIGQUIT) })
	return func() { quit.Stop() }
}

// end is for a process that the test has left running, too.
func (p *pod) end() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// tail writes a process's complaints into the test's log.
type tail struct{ t *testing.T }

func (w *tail) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s", bytes.TrimSpace(b))
	}
	return len(b), nil
}

func (p *pod) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait()
}

// terminate is SIGTERM; it returns the exit code.
func (p *pod) terminate() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	defer p.watched()()
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *pod) post(path, body string) (string, int) {
	p.t.Helper()
	defer p.watched()()
	res, err := http.Post("http://"+p.api+path, "application/json", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(raw), res.StatusCode
}

func (p *pod) must(path, body string) string {
	p.t.Helper()
	answer, code := p.post(path, body)
	if code != http.StatusOK {
		p.t.Fatalf("POST %s: %d %s", path, code, answer)
	}
	return answer
}

func rootOf(dir string) string { return "file://" + filepath.Join(dir, "data", "root") }

// The whole, with what the welcome says: a transaction, a checkpoint, kill -9, a
// restart, a dump.
func TestTheWelcomeIsTrue(t *testing.T) {
	dir := t.TempDir()
	p := serveIn(t, "", dir)
	for _, line := range []string{
		"root " + rootOf(dir), "a checkpoint every 10s, recovery by this process",
		"curl -s http://" + p.api + "/v1/transactions -d '", "salvor store dump --root '" + rootOf(dir) + "'",
	} {
		if !strings.Contains(p.welcome, line) {
			t.Errorf("the welcome lacks %q:\n%s", line, p.welcome)
		}
	}
	_, body, _ := strings.Cut(p.welcome, "-d '")
	body, _, _ = strings.Cut(body, "'")
	if got := p.must("/v1/transactions", body); !strings.Contains(got, `"position":1`) {
		t.Fatalf("the first transaction: %s", got)
	}
	p.must("/v1/checkpoint", "")
	p.must("/v1/transactions", `{"id":"2","statements":[{"op":"put","table":"accounts","key":"bob","row":{"cents":1}}]}`)
	p.kill()
	p = serveIn(t, "", dir)
	const want = `{"table":"ledger-0.accounts","key":"alice","row":{"cents":100}}
{"table":"ledger-0.accounts","key":"bob","row":{"cents":1}}
`
	if code := p.terminate(); code != 0 {
		t.Fatalf("SIGTERM: exit %d, want 0", code)
	}
	out, errs, code := run(t, "store", "dump", "--root", rootOf(dir))
	if code != 0 || out != want || !strings.Contains(errs, "2 rows in 1 tables") {
		t.Fatalf("dump: exit %d\n%s%s", code, out, errs)
	}
}

// Load on a store that is killed again and again: everything acknowledged is
// there, nothing by half, in the API and in the root. A file that claims more than
// was acknowledged is caught.
func TestLoadThroughKills(t *testing.T) {
	dir := t.TempDir()
	acks := filepath.Join(dir, "acks.ndjson")
	args := []string{"--checkpoint-interval", "50ms", "--segment-size", "20000"}
	p := serveIn(t, "", dir, args...)
	target := "http://" + p.api
	cmd := command(t, "", "store", "load", "--target", target, "--transactions", "1500", "--keys", "20", "--verify", acks)
	cmd.Stderr = &tail{t: t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		waitForLines(t, acks, 300*(n+1))
		p.kill()
		p = serveIn(t, "", dir, append(args, "--listen", p.api)...)
	}
	said, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(string(said), "1500 acknowledged transactions on 160 keys") || !strings.Contains(string(said), "0 lost, 0 half") {
		t.Fatalf("%v: %s", err, said)
	}
	if code := p.terminate(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	if said, errs, code := run(t, "store", "load", "verify", acks, "--root", rootOf(dir)); code != 0 || !strings.Contains(said, "0 lost, 0 half") {
		t.Fatalf("verify by the root: exit %d %s%s", code, said, errs)
	}
	claim(t, acks)
	said2, errs, code := run(t, "store", "load", "verify", acks, "--root", rootOf(dir))
	if code != exitBad || !strings.Contains(said2, "lost: key ") || !strings.Contains(errs, "3 writes are lost") {
		t.Fatalf("verify of a false claim: exit %d %s%s", code, said2, errs)
	}
}

// claim adds an acknowledgement that the store never gave.
func claim(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var a load.Ack
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&a); err != nil {
		t.Fatal(err)
	}
	a.Seq = 1e9
	line, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(append(raw, line...), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// waitForLines waits until a file has n lines.
func waitForLines(t *testing.T, file string, n int) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, err := os.ReadFile(file)
		if err == nil && bytes.Count(raw, []byte("\n")) >= n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s has %d lines, want %d", file, bytes.Count(raw, []byte("\n")), n)
		}
	}
}

func TestStoreCommandsSayWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"store", "dump"}, `required flag(s) "root" not set`},
		{[]string{"store", "dump", "--root", "file://" + dir}, "the root holds no store"},
		{[]string{"store", "dump", "--root", "ftp://x"}, "unknown scheme"},
		{[]string{"store", "serve", "--recover", "me", "--data-dir", dir}, `--recover "me": want operator or self`},
		{[]string{"store", "serve", "--sync", "always", "--data-dir", dir}, `--sync: sync mode "always": want commit, interval or none`},
		{[]string{"store", "serve", "--sync", "interval", "--sync-interval", "0s", "--data-dir", dir}, "--sync-interval 0s: want more than 0"},
		{[]string{"store", "serve", "--writer", "a/b", "--data-dir", dir, "--root", "mem://x"}, `character '/' is not allowed`},
		{[]string{"store", "load", "verify", filepath.Join(dir, "none"), "--root", "file://" + dir}, "the root holds no store"},
		{[]string{"store", "load", "verify", filepath.Join(dir, "none")}, "at least one of the flags in the group [target dump root] is required"},
	} {
		out, errs, code := run(t, c.args...)
		if code != exitCannotRun || !strings.Contains(errs, c.says) || out != "" {
			t.Errorf("salvor %s: exit %d %s%s, want %d saying %q", strings.Join(c.args, " "), code, out, errs, exitCannotRun, c.says)
		}
	}
}

// A second store on the same directory ends at once and says why.
func TestOneProcessADirectory(t *testing.T) {
	dir := t.TempDir()
	serveIn(t, "", dir)
	_, errs, code := run(t, "store", "serve", "--data-dir", filepath.Join(dir, "data"), "--writer", "ledger-0", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0")
	if code == 0 || !strings.Contains(errs, "another process owns the log") {
		t.Fatalf("exit %d: %s", code, errs)
	}
}
