// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package proc starts processes that outlive their starter, remembers them in
// files, and ends them and no others.
//
// A process is named by its id and its start time together: an id alone may
// belong to somebody else by the time it is used.
package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ID names one process of this boot.
type ID struct {
	PID int `json:"pid"`
	// Start is field 22 of /proc/PID/stat, in clock ticks since boot.
	Start uint64 `json:"start"`
	// Boot is the kernel's boot id: ids and ticks begin anew after a reboot.
	Boot string `json:"boot"`
}

// Record is what is written about a started process.
type Record struct {
	ID
	Name string   `json:"name"`
	Argv []string `json:"argv"`
}

// Identify reads the identity of a living process.
func Identify(pid int) (ID, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ID{}, err
	}
	state, start, err := parseStat(string(data))
	if err != nil {
		return ID{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	if (state == "Z" || state == "X") && threads(pid) <= 1 {
		// A zombie holds nothing any more. With threads beside it, only its
		// first thread is one, and files and sockets may still be open.
		return ID{}, os.ErrProcessDone
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ID{}, err
	}
	return ID{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// threads counts the threads of a process that are left.
func threads(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// parseStat takes state and start time out of a stat line. The command in
// parentheses may itself hold spaces and parentheses, so fields are counted
// from the last one.
func parseStat(line string) (state string, start uint64, err error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return "", 0, errors.New("no command in it")
	}
	fields := strings.Fields(line[end+1:])
	const first, startField = 3, 22
	if len(fields) <= startField-first {
		return "", 0, errors.New("too few fields")
	}
	start, err = strconv.ParseUint(fields[startField-first], 10, 64)
	return fields[0], start, err
}

// Alive tells whether this very process still runs.
func (id ID) Alive() bool {
	now, err := Identify(id.PID)
	return err == nil && now == id
}

// Write stores the record so that it is either whole or absent.
func (r Record) Write(path string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Read loads a record.
func Read(path string) (Record, error) {
	var r Record
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// ReadAll loads all records of a folder; a folder that does not exist has none.
func ReadAll(dir string) (map[string]Record, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	all := map[string]Record{}
	for _, path := range paths {
		r, err := Read(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all[path] = r
	}
	return all, nil
}
