// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

// Options of a run. Root, Work and Journal are required.
type Options struct {
	// Root of the module whose mutants are run.
	Root string
	// Work is where copies of the tree are kept. The same folder each time lets the
	// build cache know the copies.
	Work string
	// Journal gets a record of each mutant.
	Journal Journal
	// Parallel copies. Default 2.
	Parallel int
	// Slack is how long tests may take with a patch beyond four times what they take
	// without. Default a minute.
	Slack time.Duration
	// Measure is a command that runs a test binary and appends the CPU seconds that
	// it used to the file named by its first argument: see Measure. Empty: not measured.
	Measure []string
	// Report is called after each mutant. It is never called twice at once.
	Report func(Record)
	// Notice is called with what else there is to say.
	Notice func(string)
}

// Run runs the mutants and returns their records. The error is one of the run
// itself; what is wrong with a mutant is in its record.
func Run(ctx context.Context, opt Options, mutants []Mutant) ([]Record, error) {
	if opt.Parallel == 0 {
		opt.Parallel = 2
	}
	if opt.Slack == 0 {
		opt.Slack = time.Minute
	}
	opt.Parallel = min(opt.Parallel, len(mutants))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := runner{opt: opt, baselines: map[Command]*baseline{}}
	copies, release, err := r.copies(opt.Parallel)
	if err != nil {
		return nil, err
	}
	defer release()

	queue := make(chan Mutant)
	var wg sync.WaitGroup
	for _, dir := range copies {
		wg.Go(func() {
			for m := range queue {
				if err := r.one(ctx, dir, m); err != nil {
					r.fail(err)
					cancel()
				}
			}
		})
	}
	for _, m := range mutants {
		select {
		case queue <- m:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	return r.records, errors.Join(r.err, context.Cause(ctx))
}

type runner struct {
	opt Options
	// alone is held for reading by mutants that share the machine, for writing by
	// those with a Setup.
	alone sync.RWMutex

	mu        sync.Mutex
	baselines map[Command]*baseline
	records   []Record
	err       error
}

type baseline struct {
	once sync.Once
	ran  *ran
	took time.Duration
}

func (r *runner) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

func (r *runner) notice(format string, args ...any) {
	if r.opt.Notice == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opt.Notice(fmt.Sprintf(format, args...))
}

// copies makes n copies of the tree, all of the same moment, and locks them
// against other runs.
func (r *runner) copies(n int) (dirs []string, release func(), err error) {
	var locks []*os.File
	release = func() {
		for _, l := range locks {
			_ = l.Close() // which unlocks it
		}
	}
	if err := os.MkdirAll(r.opt.Work, 0o755); err != nil {
		return nil, nil, err
	}
	for i := 0; len(dirs) < n; i++ {
		dir := filepath.Join(r.opt.Work, "copy-"+strconv.Itoa(i))
		lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			release()
			return nil, nil, err
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			_ = lock.Close() // another run has this copy
			continue
		}
		locks = append(locks, lock)
		from := r.opt.Root
		if len(dirs) > 0 {
			from = dirs[0]
		}
		if err := snapshot(from, dir); err != nil {
			release()
			return nil, nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, release, nil
}

// one runs a mutant in a copy and leaves the copy as it was.
func (r *runner) one(ctx context.Context, dir string, m Mutant) error {
	if m.Command.Setup != "" {
		r.alone.Lock()
		defer r.alone.Unlock()
	} else {
		r.alone.RLock()
		defer r.alone.RUnlock()
	}
	hash, err := m.Hash(dir)
	if err != nil {
		return err
	}
	rec := Record{Name: m.Name, Hash: hash}
	base := r.baseline(ctx, dir, m)
	began := time.Now()
	if err := base.ran.baseline(&m); err != nil {
		rec.Verdict, rec.Why = Failed, err.Error()
	} else {
		rec.Verdict, rec.Why, rec.Rows, rec.CPUSeconds, err = r.planted(ctx, dir, &m, base)
		if err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil // interrupted: it shows nothing
	}
	rec.Time, rec.Seconds = time.Now(), time.Since(began).Seconds()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
	if r.opt.Report != nil {
		r.opt.Report(rec)
	}
	return r.opt.Journal.Append(rec)
}

// baseline runs a command without any patch, once.
func (r *runner) baseline(ctx context.Context, dir string, m Mutant) *baseline {
	r.mu.Lock()
	b := r.baselines[m.Command]
	if b == nil {
		b = &baseline{}
		r.baselines[m.Command] = b
	}
	r.mu.Unlock()
	b.once.Do(func() {
		r.notice("without a patch: %s in %s", m.Command.Run, m.Command.Packages)
		began := time.Now()
		b.ran, _ = r.run(ctx, dir, m.Command, 15*time.Minute)
		b.took = time.Since(began)
	})
	return b
}

// planted applies the patch, runs the tests and restores the copy.
func (r *runner) planted(ctx context.Context, dir string, m *Mutant, base *baseline) (Verdict, string, map[int][]string, float64, error) {
	restore, err := keep(dir, m.Touches)
	if err != nil {
		return "", "", nil, 0, err
	}
	if why := applyPatch(ctx, dir, m.File); why != "" {
		return Failed, "the patch does not apply:\n    " + strings.ReplaceAll(why, "\n", "\n    "), nil, 0, restore()
	}
	ran, cpu := r.run(ctx, dir, m.Command, 4*base.took+r.opt.Slack)
	verdict, why, rows := ran.judge(m, base.ran)
	if err := restore(); err != nil {
		return "", "", nil, 0, err
	}
	if m.Command.Setup != "" { // what was made of the bug must not stay
		if out, err := r.setup(ctx, dir, m.Command.Setup); err != nil {
			return "", "", nil, 0, fmt.Errorf("set up again after %s: %w:\n%s", m.Name, err, out)
		}
	}
	return verdict, why, rows, cpu, nil
}

// keep remembers files and returns what puts them back.
func keep(dir string, files []string) (restore func() error, err error) {
	type content struct {
		raw  []byte
		mode fs.FileMode
	}
	kept := map[string]content{}
	for _, file := range files {
		path := filepath.Join(dir, file)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		kept[file] = content{raw, info.Mode().Perm()}
	}
	return func() error {
		for _, file := range files {
			path := filepath.Join(dir, file)
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if c, ok := kept[file]; ok {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					return err
				}
				if err := os.WriteFile(path, c.raw, c.mode); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

// applyPatch returns why it could not.
func applyPatch(ctx context.Context, dir, file string) string {
	cmd := exec.CommandContext(ctx, "git", "apply", "--whitespace=nowarn", file)
	cmd.Dir = dir
	// The copy may lie inside a repository, which is not meant.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GIT_") }),
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return strings.TrimSpace(string(out)) + " (" + err.Error() + ")"
	}
	return ""
}

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

	args := []string{"test", "-json", "-count=1", "-vet=off", "-run", c.Run, "-timeout", limit.Round(time.Second).String(), "-tags", c.Tags}
	if c.Race {
		args = append(args, "-race")
	}
	if len(r.opt.Measure) > 0 {
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
	cmd.Env = slices.Concat(os.Environ(), []string{
		full,
		"GOWORK=off", "PWD=" + dir,
		// What a broken product shows must never count as a result of the tree.
		contract.EnvDir + "=" + results, contract.EnvHashes + "=" + filepath.Join(scratch, "none"), contract.EnvNoHash + "=1",
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

func sumFile(name string) (sum float64) {
	raw, _ := os.ReadFile(name)
	for word := range strings.FieldsSeq(string(raw)) {
		f, _ := strconv.ParseFloat(word, 64)
		sum += f
	}
	return sum
}

// Measure runs a test binary as "go test -exec" asks, appends the CPU seconds
// that it used to file, and returns its exit code.
func Measure(file string, command []string) int {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err == nil {
		fmt.Fprintf(f, "%.3f\n", used.Seconds())
		_ = f.Close() // a figure for people: a lost one is no failure
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return 2 // killed by a signal
}
