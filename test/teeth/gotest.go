// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

func (r *runner) setup(ctx context.Context, dir, command string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = dir
	inGroup(cmd)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs a command's tests in a copy. limit is for the tests, without building.
func (r *runner) run(ctx context.Context, dir string, c Command, limit time.Duration) (*ran, float64) {
	out := newRan()
	if c.Setup != "" {
		if text, err := r.setup(ctx, dir, c.Setup); err != nil {
			out.buildFailed, out.output = true, text+"\n"+c.Setup+": "+err.Error()
			return out, 0
		}
	}
	scratch, err := os.MkdirTemp("", "salvor-teeth-")
	if err != nil {
		out.output = err.Error()
		return out, 0
	}
	defer os.RemoveAll(scratch)
	results, cpu := filepath.Join(scratch, "results"), filepath.Join(scratch, "cpu")

	args := []string{"test", "-json", "-vet=off", "-timeout", limit.Round(time.Second).String(), "-tags", c.Tags}
	if !c.Cached {
		args = append(args, "-count=1")
	}
	if c.Run != "" {
		args = append(args, "-run", c.Run)
	}
	if c.Race {
		args = append(args, "-race")
	}
	if len(r.opt.Measure) > 0 && !c.Cached {
		args = append(args, "-exec", quoted(append(slices.Clone(r.opt.Measure), cpu)))
	}
	args = append(args, strings.Fields(c.Packages)...)

	// go test leaves its own minute of grace; building may take long on a cold cache.
	ctx, cancel := context.WithTimeout(ctx, limit+20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	full := contract.EnvFull + "="
	if c.Full {
		full += "1"
	}
	if c.Cached { // the folder of each run is another, and the tests ask for it
		results = ""
	}
	cmd.Env = slices.Concat(os.Environ(), []string{
		full,
		"GOWORK=off", "PWD=" + dir,
		// What a broken product shows must never count as a result of the tree.
		contract.EnvDir + "=" + results, contract.EnvHashes + "=" + filepath.Join(os.TempDir(), "none"), contract.EnvNoHash + "=1",
	}, strings.Fields(c.Env))
	inGroup(cmd)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		out.output = err.Error()
		return out, 0
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		out.output = err.Error()
		return out, 0
	}
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			out.add(e)
		} else {
			out.add(event{Action: "output", Output: string(line)})
		}
		if err != nil {
			break
		}
	}
	out.ok = cmd.Wait() == nil
	out.killed = errors.Is(ctx.Err(), context.DeadlineExceeded)
	out.output += stderr.String()
	if c.Cached {
		return out, 0
	}
	records, err := contract.ReadDir(results)
	if err != nil {
		out.output += "\n" + err.Error()
	}
	out.addRecords(records)
	return out, sumFile(cpu)
}

// inGroup makes the end of the context the end of all that cmd started.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
}

// quoted is how "go test -exec" wants words.
func quoted(words []string) string {
	for i, w := range words {
		if strings.ContainsAny(w, " \t") {
			words[i] = "'" + w + "'"
		}
	}
	return strings.Join(words, " ")
}
