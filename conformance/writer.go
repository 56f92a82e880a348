// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// writer is one process of the store that is driven, and what it says:
//
//	◀ ready shared                        "shared" where a table may have several writers
//	▶ commit {"a":{"n":1},"b":{"n":1}}    every table's new content, in one operation
//	◀ ok <operation>                      published, for good
//	◀ failed <why>                        it will never be visible; the next commit may go better
//	◀ unknown <why>                       it could not be told
//	▶ read a
//	◀ value {"n":1}                       what the newest version of the store has; none: no such table
//	▶ (end of input)                      finish and exit with 0
type writer struct {
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	lines    chan string
	ended    chan struct{}
	patience time.Duration

	mu     sync.Mutex
	stderr strings.Builder
}

// errEnded: the process is gone, or closed its output.
var errEnded = errors.New("the writer ended")

// start runs the command and waits until it says that it is ready.
func start(ctx context.Context, command string, env []string, patience time.Duration) (*writer, error) {
	w := &writer{lines: make(chan string), ended: make(chan struct{}), patience: patience}
	w.cmd = shell(context.WithoutCancel(ctx), command)
	w.cmd.Env = env
	w.cmd.Stderr = (*tail)(w)
	w.cmd.WaitDelay = time.Second
	var err error
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the writer: %w", err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case w.lines <- s.Text():
			case <-w.ended:
			}
		}
		_ = w.cmd.Wait() // how it ended is told by ProcessState
		close(w.ended)
	}()
	return w, nil
}

// ready waits for the first line.
func (w *writer) ready(ctx context.Context) (traits string, err error) {
	word, traits, err := w.hear(ctx)
	if err == nil && word != "ready" {
		err = fmt.Errorf("its first line is %q, want ready", strings.TrimSpace(word+" "+traits))
	}
	return traits, err
}

// hear waits for a line.
func (w *writer) hear(ctx context.Context) (word, rest string, err error) {
	timer := time.NewTimer(w.patience)
	defer timer.Stop()
	select {
	case line := <-w.lines:
		word, rest, _ = strings.Cut(strings.TrimSpace(line), " ")
		return word, rest, nil
	case <-w.ended:
		return "", "", fmt.Errorf("%w: %s; it said: %s", errEnded, w.cmd.ProcessState, w.said())
	case <-timer.C:
		return "", "", fmt.Errorf("no answer in %s; it said: %s", w.patience, w.said())
	case <-ctx.Done():
		return "", "", context.Cause(ctx)
	}
}

// answer is what became of a commit, as the writer tells it.
type answer struct {
	word string // ok, failed, unknown; "" when the writer ended first
	op   manifest.OperationID
	why  string
}

// commit asks for new content of tables.
func (w *writer) commit(ctx context.Context, content map[string]json.RawMessage) (answer, error) {
	raw, err := json.Marshal(content)
	if err != nil {
		return answer{}, err
	}
	if _, err := fmt.Fprintf(w.stdin, "commit %s\n", raw); err != nil {
		<-w.ended // it closed its input
		return answer{}, fmt.Errorf("%w: %s; it said: %s", errEnded, w.cmd.ProcessState, w.said())
	}
	word, rest, err := w.hear(ctx)
	if err != nil {
		return answer{}, err
	}
	a := answer{word: word, why: rest}
	switch word {
	case "ok":
		op, _, _ := strings.Cut(rest, " ")
		a.op = manifest.OperationID(op)
	case "failed", "unknown":
	default:
		return a, fmt.Errorf("it answers %q to a commit, want ok, failed or unknown", word+" "+rest)
	}
	return a, nil
}

// read asks for a table's content; nil when there is no such table.
func (w *writer) read(ctx context.Context, table string) (json.RawMessage, error) {
	if _, err := fmt.Fprintf(w.stdin, "read %s\n", table); err != nil {
		return nil, errEnded
	}
	word, rest, err := w.hear(ctx)
	switch {
	case err != nil:
		return nil, err
	case word == "none":
		return nil, nil
	case word == "value" && json.Valid([]byte(rest)):
		return json.RawMessage(rest), nil
	}
	return nil, fmt.Errorf("it answers %q to a read, want value <json> or none", word+" "+rest)
}

// kill ends the process and everything that it started, and returns when it is gone.
func (w *writer) kill() {
	killAll(w.cmd)
	<-w.ended
}

// leave ends the process in order.
func (w *writer) leave(ctx context.Context) error {
	_ = w.stdin.Close() // it may be gone
	timer := time.NewTimer(w.patience)
	defer timer.Stop()
	select {
	case <-w.ended:
	case <-timer.C:
		w.kill()
		return fmt.Errorf("it did not end in %s after the end of its input", w.patience)
	case <-ctx.Done():
		w.kill()
		return context.Cause(ctx)
	}
	if !w.cmd.ProcessState.Success() {
		return fmt.Errorf("after the end of its input: %s; it said: %s", w.cmd.ProcessState, w.said())
	}
	return nil
}

func (w *writer) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.TrimSpace(w.stderr.String())
	if s == "" {
		return "nothing"
	}
	return s[max(0, len(s)-500):]
}

// tail keeps what the process says on stderr.
type tail writer

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stderr.Len() < 64<<10 {
		t.stderr.Write(p)
	}
	return len(p), nil
}
