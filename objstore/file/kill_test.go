// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
)

// TestKilledWriters has processes killed while they create objects. Whatever was
// acknowledged is there, whatever is listed is whole, and the next writer goes on.
func TestKilledWriters(t *testing.T) {
	if dir := os.Getenv("SALVOR_TEST_KILL_DIR"); dir != "" {
		b := open(t, dir, ways[os.Getenv("SALVOR_TEST_KILL_WAY")])
		for i := 0; ; i++ {
			key := fmt.Sprintf("d%d/%d-%d", i%7, os.Getpid(), i)
			if r, err := b.PutIfAbsent(t.Context(), key, killBody(key), ""); r.Outcome != objstore.Created {
				t.Fatalf("%v, %v", r.Outcome, err)
			}
			fmt.Println("created", key)
		}
	}
	for way, o := range ways {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir, o)
			acknowledged := 0
			for round := range 6 {
				for _, key := range killAfter(t, dir, way, 5+10*round) {
					if o, err := b.Get(t.Context(), key); err != nil || !bytes.Equal(o.Body, killBody(key)) {
						t.Errorf("acknowledged %s: %d bytes, %v", key, len(o.Body), err)
					}
					acknowledged++
				}
			}
			listed := 0
			for e, err := range b.List(t.Context(), "", "") {
				if err != nil {
					t.Fatal(err)
				}
				if o, err := b.Get(t.Context(), e.Key); err != nil || !bytes.Equal(o.Body, killBody(e.Key)) {
					t.Errorf("listed %s: %d bytes, %v", e.Key, len(o.Body), err)
				}
				listed++
			}
			// Each kill may have cut off at most one answer.
			if listed < acknowledged || listed > acknowledged+6 {
				t.Errorf("%d listed, %d acknowledged", listed, acknowledged)
			}
			put(t, b, "after")
		})
	}
}

// killBody is large enough to be cut off, and different for every key.
func killBody(key string) []byte { return bytes.Repeat([]byte(key+"\n"), 20_000) }

// killAfter kills a writer when it has said that so many objects are there, and
// returns all that it said.
func killAfter(t *testing.T, dir, way string, objects int) (created []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWriters$")
	cmd.Env = append(os.Environ(), "SALVOR_TEST_KILL_DIR="+dir, "SALVOR_TEST_KILL_WAY="+way)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if key, ok := strings.CutPrefix(lines.Text(), "created "); ok {
			created = append(created, key)
		}
		if len(created) == objects {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // killed
	if len(created) < objects {
		t.Fatalf("the writer ended by itself after %d", len(created))
	}
	return created
}
