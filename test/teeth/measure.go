// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

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
