// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
)

// Who finishes what a crash left pending.
const (
	recoverOperator = "operator"
	recoverSelf     = "self"
)

// serveFlags are the flags of salvor store serve.
type serveFlags struct {
	root, dir, writer, prefix string
	listen, controlListen     string
	recover, keys, lastWords  string
	sync                      string
	syncEvery                 time.Duration
	checkpoint, grace, park   time.Duration
	segment, mirrorKeep       int64
	mirror                    time.Duration
}

func newStoreServeCommand() *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve tables of JSON rows, durable in a local log, published to a root",
		Long: `Serves multi-table transactions over HTTP. A transaction is answered when it is
durable in the local log under --data-dir; a checkpoint publishes all changed
tables to the root, in one step.

--sync says what that is worth, for everything that was answered:

             the process is killed   the power is cut, or the node's kernel dies
  commit     nothing is lost         nothing is lost
  interval   nothing is lost         what was answered within --sync-interval
  none       nothing is lost         what was answered since the last sync: of a full
                                     segment, for a checkpoint, under a write lock, at
                                     an orderly end, or by POST /v1/log/sync

Answers say so in "sync", unless it is commit; GET /v1/log says how far it is synced.
Whatever the mode, nothing is published that the log could still lose.

A root that cannot be reached is waited for, with backoff. SIGTERM: no more
transactions, those under way are finished, a last checkpoint, tried again for
--shutdown-timeout, exit 0. The last line, and --termination-log, say whether the
root has everything that was acknowledged, or which positions are in the log alone.

The log is copied into the root while it is written, so that a disk that is lost costs
what was acknowledged in the last --mirror-interval, and not everything since the last
checkpoint; and so that the log can be cut while no checkpoint can go out. It costs one
request each interval while something is written (720 in an hour at 5s), one for each
4 MiB, and none in an idle store. A pod that finds an empty --data-dir restores itself,
and says up to which position.

S3 credentials come from the environment, or from the files that the root's
credentials_dir names.`,
		Example: `  salvor store serve
  salvor store serve --root 's3://bucket/ledger?endpoint=http://127.0.0.1:7070' --listen :8410 --control-listen :8411`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.root == "" && !cmd.Flags().Changed("mirror-interval") {
				f.mirror = 0 // the default root is on the same disk
			}
			return serve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f)
		},
	}
	host, _ := os.Hostname() // without one, --writer has to be given
	fl := cmd.Flags()
	fl.StringVar(&f.root, "root", "", "the root: s3://bucket/prefix?endpoint=..., gs://bucket/prefix, azblob://container/prefix?storage_account=..., file:///directory (default: a directory under --data-dir)")
	fl.StringVar(&f.dir, "data-dir", "salvor-data", "directory of the local log")
	fl.StringVar(&f.writer, "writer", host, "name of this writer, the same across restarts")
	fl.StringVar(&f.prefix, "table-prefix", "", "what the ids of this writer's tables begin with (default: the writer and a dot)")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8410", "address of the API; it has no access control")
	fl.StringVar(&f.controlListen, "control-listen", "127.0.0.1:8411", "address of status, stream and refresh, for the operator")
	fl.DurationVar(&f.checkpoint, "checkpoint-interval", 10*time.Second, "time between two checkpoints; nothing is published when nothing changed")
	fl.DurationVar(&f.park, "park", 10*time.Second, "how long a write waits for the end of a write lock before it is refused")
	fl.DurationVar(&f.mirror, "mirror-interval", 5*time.Second, "how long something acknowledged is on the disk alone at most; 0: the log is not mirrored (default with the default root, which is on the same disk)")
	fl.Int64Var(&f.mirrorKeep, "mirror-keep", 64<<20, "bytes of the log that stay on the disk when the mirror has them and no checkpoint has")
	fl.StringVar(&f.sync, "sync", log.SyncCommit.String(), "when the log is synced: commit (before each answer), interval, or none; see above for what each loses")
	fl.DurationVar(&f.syncEvery, "sync-interval", 50*time.Millisecond, "with --sync interval: what a power cut may cost; a disk that cannot keep up holds the writers back")
	fl.Int64Var(&f.segment, "segment-size", 16<<20, "bytes after which a segment of the log is sealed")
	fl.StringVar(&f.recover, "recover", "", "who finishes what a crash left pending: operator, or self (default: operator; self with the default root)")
	fl.StringVar(&f.keys, "audit-keys", "", "directory with the audit keys, for --recover self (default: made under --data-dir)")
	fl.DurationVar(&f.grace, "shutdown-timeout", 20*time.Second, "bound of an orderly end; a pod's grace period has to be longer")
	fl.StringVar(&f.lastWords, "termination-log", "", "file that gets the last line too, such as /dev/termination-log (default: none)")
	return cmd
}

// complete fills in what depends on other flags.
func (f *serveFlags) complete() error {
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return err
	}
	f.dir = dir
	if f.root == "" {
		f.root = "file://" + filepath.Join(dir, "root")
		if f.recover == "" {
			f.recover = recoverSelf
		}
	}
	if f.recover == "" {
		f.recover = recoverOperator
	}
	if f.syncEvery <= 0 {
		return fmt.Errorf("--sync-interval %s: want more than 0; to sync before each answer, say --sync commit", f.syncEvery)
	}
	if f.recover != recoverSelf && f.recover != recoverOperator {
		return fmt.Errorf("--recover %q: want %s or %s", f.recover, recoverOperator, recoverSelf)
	}
	return nil
}

// options says to the library what the flags say.
func (f *serveFlags) options(stderr io.Writer) (store.Options, error) {
	mode, err := log.ParseSyncMode(f.sync)
	if err != nil {
		return store.Options{}, fmt.Errorf("--sync: %w", err)
	}
	o := store.Options{
		Sync: mode, SyncInterval: f.syncEvery,
		Dir: f.dir, Writer: manifest.WriterID(f.writer), Process: manifest.ProcessID(newID()), TablePrefix: f.prefix,
		OpenRoot: func(ctx context.Context) (objstore.Bucket, error) {
			return rooturl.Open(ctx, f.root, rooturl.Options{})
		},
		NewID: newID, NewLogID: func() [16]byte { return ulid.Make() }, Jitter: rand.Float64,
		Checkpoint: f.checkpoint, Park: f.park, SegmentSize: f.segment,
		Report: func(line string) {
			fmt.Fprintf(stderr, "%s salvor store %s: %s\n", time.Now().UTC().Format(time.RFC3339), f.writer, line)
		},
	}
	if f.mirror < 0 || f.mirror > 0 && f.mirror < 100*time.Millisecond {
		return o, fmt.Errorf("--mirror-interval %s: want 0, or 100ms at least: each interval may cost a request", f.mirror)
	}
	if f.mirror > 0 {
		o.Mirror = &store.MirrorOptions{Interval: f.mirror, KeepLocal: max(f.mirrorKeep, 1)}
	}
	if f.recover == recoverSelf {
		keys, err := localKeyring(f.keys, filepath.Join(f.dir, "audit-keys"))
		if err != nil {
			return o, err
		}
		o.Keyring = keys
	}
	return o, nil
}

func serve(ctx context.Context, stdout, stderr io.Writer, f *serveFlags) error {
	if err := f.complete(); err != nil {
		return err
	}
	opt, err := f.options(stderr)
	if err != nil {
		return err
	}
	s, err := store.New(opt)
	if err != nil {
		return err
	}
	api, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	ctl, err := net.Listen("tcp", f.controlListen)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	streams := control.NewServer(s, control.ServerOptions{})
	mux := http.NewServeMux()
	mux.Handle("/control/v1/", streams)
	mountFailpoints(mux)
	front := http.NewServeMux()
	front.Handle("GET /metrics", metricsHandler(s.Metrics))
	front.Handle("/", s.Handler())
	servers := []*http.Server{newHTTPServer(front), newHTTPServer(mux)}
	failed := make(chan error, 3)
	for i, l := range []net.Listener{api, ctl} {
		go func() { failed <- servers[i].Serve(l) }()
	}
	go func() { failed <- s.Run(context.WithoutCancel(ctx)) }()
	fmt.Fprint(stdout, f.welcome(api.Addr().String(), ctl.Addr().String()))

	select {
	case err = <-failed: // by itself, so it is never nil but for a bug
	case <-ctx.Done():
		signal.Reset() // a second signal ends it at once
		opt.Report("ending: no more transactions, then a last checkpoint")
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.grace)
		defer cancel()
		err := s.Shutdown(bounded)
		if err != nil { // what it was at is being cut off: then it can tell what is left
			select {
			case <-failed:
			case <-time.After(2 * time.Second):
			}
		}
		f.farewell(opt.Report, s, err)
	}
	streams.Close()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, srv := range servers {
		_ = srv.Shutdown(bounded) // whoever still waits for an answer has none to get
	}
	return err
}

// farewell says what became of everything that was acknowledged. It is for whoever
// asks afterwards whether the pod's volume is still needed.
func (f *serveFlags) farewell(report func(string), s *store.Store, err error) {
	st := s.Status()
	words := fmt.Sprintf("ended: nothing is left unpublished, the root covers position %d", max(st.Published, st.Durable))
	switch left := s.Left(); {
	case left != nil:
		words = fmt.Sprintf("ended: %v", left)
	case err != nil:
		words = fmt.Sprintf("ended before everything was done; the log has it: %v", err)
	}
	report(words)
	if f.lastWords == "" {
		return
	}
	if err := os.WriteFile(f.lastWords, []byte(words+"\n"), 0o644); err != nil {
		report(err.Error())
	}
}

func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
}

func (f *serveFlags) welcome(api, ctl string) string {
	return fmt.Sprintf(`writer %[1]s listens on http://%[2]s, for the operator on http://%[3]s
root %[4]s, data in %[5]s, a checkpoint every %[6]s, recovery by %[7]s%[8]s

try it:
  curl -s http://%[2]s/v1/transactions -d '{"id":"1","statements":[{"op":"put","table":"accounts","key":"alice","row":{"cents":100}}]}'
  curl -s http://%[2]s/v1/tables/accounts/rows
  curl -s -X POST http://%[2]s/v1/checkpoint
  salvor store dump --root '%[4]s'
`, f.writer, api, ctl, f.root, f.dir, f.checkpoint, map[string]string{recoverSelf: "this process", recoverOperator: "the operator"}[f.recover], f.worth())
}

// worth says what answers are worth, unless they are worth everything.
func (f *serveFlags) worth() string {
	mode, err := log.ParseSyncMode(f.sync)
	if err != nil || mode == log.SyncCommit {
		return ""
	}
	return fmt.Sprintf("\nsync %s: %s", mode, mode.Loses(f.syncEvery))
}
