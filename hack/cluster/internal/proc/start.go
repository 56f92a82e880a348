// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec says what to start.
type Spec struct {
	Name string
	// Argv begins with the absolute path of the program.
	Argv []string
	Env  []string
	// Records and Logs are folders: Name.json and Name.log go there.
	Records, Logs string
	// Groups are the files that the new process enters its control groups by.
	Groups []string
	// Lock is the open lock file of the state; the new process holds it until
	// its record is written, so that whoever gets the lock next sees the record.
	Lock *os.File
}

// LaunchCommand is the hidden subcommand that Start runs: it calls Launch.
const LaunchCommand = "launch-recorded"

// Start runs a program in a session of its own, so that it lives on when the
// starter or its terminal goes away. A program that already runs is left alone.
//
// The record must exist before the program runs, also when the starter is
// killed in between. Therefore this program starts itself, and that process
// writes its own id before it becomes the other program: id and start time
// stay the same across exec.
func Start(s Spec) (Record, error) {
	path := filepath.Join(s.Records, s.Name+".json")
	if r, err := Read(path); err == nil && r.Alive() {
		return r, nil
	}
	self, err := os.Executable()
	if err != nil {
		return Record{}, err
	}
	log, err := os.OpenFile(filepath.Join(s.Logs, s.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return Record{}, err
	}
	defer log.Close()
	cmd := exec.Command(self, append([]string{LaunchCommand, s.Name, path, strings.Join(s.Groups, groupSeparator)}, s.Argv...)...)
	cmd.Dir = "/"
	cmd.Env = s.Env
	cmd.Stdout, cmd.Stderr = log, log
	if s.Lock != nil {
		cmd.ExtraFiles = []*os.File{s.Lock}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Record{}, fmt.Errorf("start %s: %w", s.Name, err)
	}
	id, err := Identify(cmd.Process.Pid)
	go func() { _ = cmd.Wait() }() // no zombie while this program lives
	if err != nil {
		return Record{}, fmt.Errorf("%s ended at once: see %s", s.Name, log.Name())
	}
	return Record{ID: id, Name: s.Name, Argv: s.Argv}, nil
}

const groupSeparator = ":"

// Launch writes the record of the calling process, enters its groups and becomes the
// program.
func Launch(name, record, groups string, argv []string) error {
	id, err := Identify(os.Getpid())
	if err != nil {
		return err
	}
	if err := (Record{ID: id, Name: name, Argv: argv}).Write(record); err != nil {
		return err
	}
	for _, file := range strings.FieldsFunc(groups, func(r rune) bool { return string(r) == groupSeparator }) {
		if err := os.WriteFile(file, []byte(strconv.Itoa(id.PID)), 0o644); err != nil {
			return fmt.Errorf("enter a control group: %w", err)
		}
	}
	// Descriptor 3 is the inherited lock, if any; exec must close it.
	unix.CloseOnExec(3)
	return unix.Exec(argv[0], argv, os.Environ())
}

// WaitGone waits until none of the processes is left.
func WaitGone(ctx context.Context, ids []ID) error {
	for {
		left := 0
		for _, id := range ids {
			if id.Alive() {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d process(es) do not end: %w", left, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Signal sends a signal to exactly this process. The kernel handle is taken
// first and the identity checked after it, so a reused id is never hit.
func (id ID) Signal(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ENOSYS) {
		if !id.Alive() {
			return os.ErrProcessDone
		}
		return unix.Kill(id.PID, sig)
	}
	if err != nil {
		return os.ErrProcessDone
	}
	defer unix.Close(fd)
	if !id.Alive() {
		return os.ErrProcessDone
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	return nil
}

// End asks processes to end, and after the grace period makes them.
func End(ctx context.Context, ids []ID, grace time.Duration) error {
	if grace > 0 {
		for _, id := range ids {
			if err := id.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
		}
		short, cancel := context.WithTimeout(ctx, grace)
		err := WaitGone(short, ids)
		cancel()
		if err == nil {
			return nil
		}
	}
	for _, id := range ids {
		if err := id.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	return WaitGone(ctx, ids)
}
