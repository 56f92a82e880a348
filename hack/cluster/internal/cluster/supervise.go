// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/proc"
	"github.com/salvor-io/salvor/hack/cluster/internal/progress"
)

// patience is how long any one thing may take. It is long because a process
// that died is noticed at once, and a machine may be busy with other work.
const patience = 4 * time.Minute

// starter is one run of "up" or of a node command.
type starter struct {
	*State
	log  *progress.Log
	bins map[string]string
	lock *os.File
}

// start runs one of the built programs under a name.
func (r *starter) start(name, program string, args ...string) (proc.Record, error) {
	return r.startArgv(name, append([]string{r.bins[program]}, args...)...)
}

func (r *starter) startArgv(name string, argv ...string) (proc.Record, error) {
	return proc.Start(proc.Spec{
		Name: name, Argv: argv, Records: r.path("run"), Logs: r.path("logs"), Lock: r.lock,
		Groups: host.CPUGroupFiles(r.systemGroup()),
		Env: []string{
			"HOME=/", "TMPDIR=" + os.TempDir(),
			"PATH=" + binPath(r.bins, "containerd", "runc"),
		},
	})
}

// wait repeats a check while the process lives; a process that died is told
// with its last words.
func (r *starter) wait(ctx context.Context, p proc.Record, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := until(ctx, within, func(ctx context.Context) error {
		if !p.Alive() {
			cancel(fmt.Errorf("%s ended: see %s\n%s", p.Name, r.path("logs", p.Name+".log"), r.lastWords(p.Name)))
		}
		return check(ctx)
	})
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%s: %w (see %s)", p.Name, err, r.path("logs", p.Name+".log"))
}

// lastWords is the end of a process's log.
func (s *State) lastWords(name string) string {
	data, err := os.ReadFile(s.path("logs", name+".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// running tells whether the named process of the cluster lives.
func (s *State) running(name string) bool {
	r, err := proc.Read(s.path("run", name+".json"))
	return err == nil && r.Alive()
}

func (n Node) suffix() string { return strconv.Itoa(n.Index) }
