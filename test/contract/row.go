// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract/tree"
)

// T is the part of testing.TB that is needed here; ginkgo's GinkgoT() has it too.
type T interface {
	Helper()
	Name() string
	Cleanup(func())
	Failed() bool
	Skipped() bool
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
}

// LaterPrefix begins the message of a skip that only means "not in this tier".
const LaterPrefix = "make prove: "

// Row says that the test proves these rows of the contract. Call it first: what
// fails in a cleanup that was registered before it comes too late for the record.
func Row(t T, rows ...int) {
	t.Helper()
	for _, n := range rows {
		if _, ok := Lookup(n); !ok {
			t.Fatalf("contract: there is no row %d in test/contract/rows.txt", n)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("contract: Row names no row")
	}
	if os.Getenv(EnvDir) == "" {
		return
	}
	process.begin(t, rows)
}

// Full reports whether everything is to be done in full, as "make prove" does.
func Full() bool { return os.Getenv(EnvFull) == "1" }

// Scale returns how many of something the test has to do: full in a full run,
// else sample. It records the number, and that a sample was less than the
// contract asks for.
func Scale(t T, what string, sample, full int) int {
	t.Helper()
	n := sample
	if Full() {
		n = full
	}
	process.note(t.Name(), func(r *Record) {
		r.Sampled = r.Sampled || n < full
		r.Counts[what] = n
	})
	return n
}

// FullRunOnly skips the test unless this is a full run. Such a skip is no gap:
// "make prove" runs the test.
func FullRunOnly(t T) {
	t.Helper()
	if !Full() {
		t.Skip(LaterPrefix + "runs in full there")
	}
}

// Count records how many of something the test did: it is printed beside the
// row and written into docs/proof.json.
func Count(t T, what string, n int) {
	process.note(t.Name(), func(r *Record) { r.Counts[what] = n })
}

// Uses names code and files that the tests of this binary prove although they do
// not import them, so that a change there makes their results stale:
// "./cmd/salvor" is a Go package with all that it imports, "config/" a folder.
// Call it from a package variable or an init, before any Row.
func Uses(what ...string) struct{} {
	process.mu.Lock()
	defer process.mu.Unlock()
	process.uses = append(process.uses, what...)
	slices.Sort(process.uses)
	process.uses = slices.Compact(process.uses)
	return struct{}{}
}

// process is this test process.
var process = recorder{run: fmt.Sprintf("%d-%d", time.Now().UnixNano(), os.Getpid()), open: map[string]*Record{}}

type recorder struct {
	run     string
	journal journal

	mu   sync.Mutex
	uses []string
	open map[string]*Record // by test name; begun and not ended

	once   sync.Once // guards what follows
	dir    string
	binary Binary
	hash   string
	err    error
}

func (p *recorder) begin(t T, rows []int) {
	t.Helper()
	p.once.Do(p.identify)
	if p.err != nil {
		t.Errorf("contract: cannot record results: %v", p.err)
		return
	}
	name := t.Name()
	p.mu.Lock()
	r, again := p.open[name]
	if !again {
		r = &Record{Run: p.run, Test: name, Binary: p.binary, Hash: p.hash, Full: Full(), Counts: map[string]int{}}
		p.open[name] = r
	}
	r.Rows = slices.Compact(slices.Sorted(slices.Values(append(r.Rows, rows...))))
	r.Time = time.Now()
	line := *r
	p.mu.Unlock()

	line.Counts = nil
	if err := p.journal.append(p.dir, p.run, line); err != nil {
		t.Errorf("contract: record the start: %v", err)
	}
	if !again {
		began := time.Now()
		t.Cleanup(func() { p.end(t, name, began) })
	}
}

func (p *recorder) end(t T, name string, began time.Time) {
	if panicking() {
		return // the process dies with this test: a start without an end
	}
	p.mu.Lock()
	r := p.open[name]
	delete(p.open, name)
	p.mu.Unlock()
	r.Time, r.Seconds, r.Result = time.Now(), time.Since(began).Seconds(), Pass
	switch {
	case t.Failed():
		r.Result = Fail
	case t.Skipped():
		r.Result = Skip
	}
	if err := p.journal.append(p.dir, p.run, *r); err != nil {
		t.Errorf("contract: record the end: %v", err)
	}
}

// note changes the record of a test, or of the nearest test around it.
func (p *recorder) note(name string, change func(*Record)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if r := p.open[name]; r != nil {
			change(r)
			return
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return
		}
		name = name[:i]
	}
}

// identify finds out, once, what this process was built from. It happens at the
// first Row and not at its end, because a long test may outlive an edit.
func (p *recorder) identify() {
	root, err := moduleRoot()
	if err != nil {
		p.err = err
		return
	}
	p.dir = os.Getenv(EnvDir)
	if !filepath.IsAbs(p.dir) {
		p.dir = filepath.Join(root, p.dir)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || !testing.Testing() { // the path of a main package's tests has no suffix
		p.err = fmt.Errorf("this is not a test binary that go built")
		return
	}
	p.binary = Binary{Package: strings.TrimSuffix(info.Path, ".test"), Uses: p.uses}
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			p.binary.Tags = s.Value
		}
	}
	if os.Getenv(EnvNoHash) == "1" {
		return
	}
	if p.hash = hashFromFile(os.Getenv(EnvHashes), p.binary); p.hash != "" {
		return
	}
	hashes, err := tree.Hashes(root, []tree.Target{p.binary.Target()})
	if err != nil {
		p.err = fmt.Errorf("hash the code under test: %w", err)
		return
	}
	p.hash = hashes[p.binary.Key()]
}

// Target is the binary in the words of package tree.
func (b Binary) Target() tree.Target {
	return tree.Target{Key: b.Key(), Package: b.Package, Tags: b.Tags, Uses: b.Uses}
}

func hashFromFile(name string, b Binary) string {
	raw, err := os.ReadFile(name)
	if name == "" || err != nil {
		return ""
	}
	var hashes map[string]string
	if json.Unmarshal(raw, &hashes) != nil {
		return ""
	}
	return hashes[b.Key()]
}

// WriteHashes writes a file for EnvHashes.
func WriteHashes(name string, hashes map[string]string) error {
	raw, err := json.Marshal(maps.Clone(hashes))
	if err != nil {
		return err
	}
	return os.WriteFile(name, raw, 0o644)
}

// panicking reports whether this cleanup runs because the test panicked: then
// Failed is still false.
func panicking() bool {
	pcs := make([]uintptr, 128)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if f.Function == "runtime.gopanic" {
			return true
		}
		if !more {
			return false
		}
	}
}
