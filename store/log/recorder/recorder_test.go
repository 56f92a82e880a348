// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// The table of doc.go, pair by pair.
func TestEveryStateAndCall(t *testing.T) {
	contract.Row(t, 40, 43)
	type move struct {
		to state
		do act
	}
	calls := []call{callArm, callRecord, callCommit, callCommitEvents, callCommitNothing, callAbort, callPoison, callLog}
	for s, want := range map[state][]move{
		//           arm                record             commit             events             no events          abort            poison                sync
		idle:      {{armed, nothing}, {poisoned, misuse}, {poisoned, misuse}, {idle, write}, {idle, nothing}, {idle, forget}, {poisoned, remember}, {idle, nothing}},
		armed:     {{poisoned, misuse}, {recording, keep}, {idle, nothing}, {poisoned, misuse}, {poisoned, misuse}, {idle, forget}, {poisoned, remember}, {armed, nothing}},
		recording: {{poisoned, misuse}, {recording, keep}, {idle, write}, {poisoned, misuse}, {poisoned, misuse}, {idle, forget}, {poisoned, remember}, {recording, nothing}},
		poisoned:  {{poisoned, refuse}, {poisoned, refuse}, {poisoned, refuse}, {poisoned, refuse}, {poisoned, refuse}, {poisoned, refuse}, {poisoned, remember}, {poisoned, refuse}},
	} {
		for i, c := range calls {
			if to, do := decide(s, c); to != want[i].to || do != want[i].do {
				t.Errorf("%s, %s: %s and %s, want %s and %s", s, c, to, do, want[i].to, want[i].do)
			}
		}
	}
	for _, c := range calls { // what nobody thought of is no way in
		if to, do := decide(0, c); c != callPoison && c != callLog && c != callAbort && (to != poisoned || do != misuse) {
			t.Errorf("no state, %s: %s and %s", c, to, do)
		}
	}
}

const dir = "data/log"

type world struct {
	*testing.T
	fs  *logtest.FS
	log *log.Log
	*Recorder
}

func start(t *testing.T, fs *logtest.FS) (*world, []string) {
	t.Helper()
	l, err := log.Open(dir, log.Options{FS: fs, BlockSize: 64, SegmentSize: 1024, Spares: -1, NewID: func() [16]byte { return [16]byte{1} }})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := l.Recover(1, func(p log.Position, e []byte) error { got = append(got, fmt.Sprintf("%d %s", p, e)); return nil }); err != nil {
		t.Fatal(err)
	}
	return &world{t, fs, l, New(l)}, got
}

// bytes is everything that stands on the disk.
func (w *world) bytes() string {
	var out strings.Builder
	for _, path := range w.fs.Files() {
		fmt.Fprintf(&out, "%s %q\n", path, w.fs.Bytes(path))
	}
	return out.String()
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) committed(events ...string) Outcome {
	w.Helper()
	w.must(w.Arm())
	for _, e := range events {
		w.must(w.Record([]byte(e)))
	}
	applied := log.Position(0)
	out, err := w.Commit(func(p log.Position) { applied = p })
	w.must(err)
	if out.Position != applied || out.Wrote != (len(events) > 0) {
		w.Fatalf("%+v, applied %d", out, applied)
	}
	return out
}

// What only reads, and what is aborted, leaves no byte and takes no position.
func TestNothingIsWrittenForNothing(t *testing.T) {
	contract.Row(t, 41)
	w, _ := start(t, logtest.New())
	w.committed("first")
	before, next := w.bytes(), w.log.Next()
	same := func(what string) {
		t.Helper()
		if w.bytes() != before || w.log.Next() != next {
			t.Fatalf("%s: next %d, was %d; the disk has changed: %v", what, w.log.Next(), next, w.bytes() != before)
		}
	}
	if out := w.committed(); out != (Outcome{}) {
		t.Fatalf("a unit of work that only read: %+v", out)
	}
	same("read only")
	if out, err := w.CommitEvents(nil, nil); err != nil || out.Wrote {
		t.Fatalf("no events: %+v, %v", out, err)
	}
	same("no events")
	w.must(w.Arm())
	w.must(w.Record([]byte("regretted")))
	w.must(w.Record([]byte("regretted, too")))
	if recorded, err := w.Abort(); err != nil || !recorded {
		t.Fatalf("abort: %v, %v, want that something had been recorded", recorded, err)
	}
	same("aborted")
	if recorded, err := w.Abort(); err != nil || recorded {
		t.Fatalf("abort of nothing: %v, %v", recorded, err)
	}
	w.must(w.Arm())
	if recorded, err := w.Abort(); err != nil || recorded {
		t.Fatalf("abort of an empty one: %v, %v", recorded, err)
	}
	same("aborted before anything happened")
	w.committed("second")
	w.must(w.log.Close())
	_, got := start(t, w.fs.PowerLoss(func(int) int { return 0 }))
	if want := []string{"1 first", "2 second"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("reopened: %q, want %q", got, want)
	}
}

// A unit of work is one transaction, whoever recorded it: all of its events or none.
func TestAUnitOfWorkIsOneTransaction(t *testing.T) {
	contract.Row(t, 40, 42)
	w, _ := start(t, logtest.New())
	event := []byte("a")
	w.must(w.Arm())
	w.must(w.Record(event))
	event[0] = 'X' // it is the caller's again
	w.must(w.Record([]byte("b")))
	if _, err := w.Commit(nil); err != nil {
		t.Fatal(err)
	}
	if out, err := w.CommitEvents([][]byte{[]byte("c"), []byte("d"), []byte("e")}, nil); err != nil || out.Position != 2 || !out.Wrote {
		t.Fatalf("%+v, %v", out, err)
	}
	w.must(w.Sync())
	_, got := start(t, w.fs.Killed())
	if want := []string{"1 a", "1 b", "2 c", "2 d", "2 e"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("reopened: %q, want %q", got, want)
	}
}

// Each misuse poisons with its own reason, the first one stands, nothing is written any
// more, and a restart ends it.
func TestMisusePoisonsForGood(t *testing.T) {
	contract.Row(t, 43, 44)
	for name, c := range map[string]struct {
		misuse func(w *world) error
		says   string
	}{
		"armed twice":           {func(w *world) error { w.must(w.Arm()); return w.Arm() }, "arm while the recorder is armed"},
		"armed while recording": {func(w *world) error { w.must(w.Arm()); w.must(w.Record([]byte("x"))); return w.Arm() }, "arm while the recorder is recording"},
		"recorded unarmed":      {func(w *world) error { return w.Record([]byte("x")) }, "record while the recorder is idle"},
		"committed unarmed":     {func(w *world) error { _, err := w.Commit(nil); return err }, "commit while the recorder is idle"},
		"committed twice":       {func(w *world) error { w.committed("x"); _, err := w.Commit(nil); return err }, "commit while the recorder is idle"},
		"events in another's": {func(w *world) error {
			w.must(w.Arm())
			_, err := w.CommitEvents([][]byte{[]byte("x")}, nil)
			return err
		}, "commit of events while the recorder is armed"},
		"no events in another's": {func(w *world) error { w.must(w.Arm()); _, err := w.CommitEvents(nil, nil); return err }, "commit of no events while the recorder is armed"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := start(t, logtest.New())
			err := c.misuse(w)
			var p *PoisonedError
			var m *MisuseError
			if !errors.As(err, &p) || !errors.As(err, &m) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want a misuse: %s", err, c.says)
			}
			w.refusesForGood(err)
		})
	}
}

// What fails below, and what the caller says, poisons as well.
func TestFailurePoisonsForGood(t *testing.T) {
	contract.Row(t, 44, 45)
	for name, fail := range map[string]func(w *world) error{
		"the write of a commit": func(w *world) error {
			w.fs.Fail(logtest.Write, w.fs.Count(logtest.Write)+1, syscall.EIO)
			w.must(w.Arm())
			w.must(w.Record([]byte("lost")))
			_, err := w.Commit(func(log.Position) { t.Error("what is not in the log was shown") })
			return err
		},
		"the sync of somebody's events": func(w *world) error {
			w.fs.Fail(logtest.Sync, w.fs.Count(logtest.Sync)+1, syscall.EIO)
			_, err := w.CommitEvents([][]byte{[]byte("lost")}, func(log.Position) { t.Error("what is not in the log was shown") })
			return err
		},
		"the note of a checkpoint": func(w *world) error {
			w.fs.Fail(logtest.Sync, w.fs.Count(logtest.Sync)+1, syscall.EIO)
			return w.Checkpoint(1)
		},
		"the log, behind its back": func(w *world) error {
			w.fs.Fail(logtest.Sync, w.fs.Count(logtest.Sync)+1, syscall.EIO)
			ticket, err := w.log.Append([]byte("lost"), nil)
			w.must(err)
			_ = ticket.Wait()
			return w.Arm()
		},
		"the caller": func(w *world) error {
			w.must(w.Arm())
			w.must(w.Record([]byte("half done")))
			w.Poison(syscall.EIO)
			return w.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := start(t, logtest.New())
			w.committed("first")
			err := fail(w)
			var p *PoisonedError
			if !errors.As(err, &p) || !errors.Is(err, syscall.EIO) {
				t.Fatalf("%v, want the poison with its cause", err)
			}
			w.refusesForGood(err)
		})
	}
}

// refusesForGood checks a hundred calls of each kind.
func (w *world) refusesForGood(first error) {
	w.Helper()
	before := w.bytes()
	for range 100 {
		w.Poison(errors.New("a later reason"))
		for name, err := range map[string]error{
			"Arm": w.Arm(), "Record": w.Record([]byte("x")), "Sync": w.Sync(), "Checkpoint": w.Checkpoint(1), "Truncate": w.Truncate(1), "Err": w.Err(),
			"Commit":       second(w.Commit(nil)),
			"CommitEvents": second(w.CommitEvents([][]byte{[]byte("x")}, nil)), "CommitEvents of none": second(w.CommitEvents(nil, nil)),
			"Abort": second(w.Abort()),
		} {
			if err != first {
				w.Fatalf("%s: %v, want %v", name, err, first)
			}
		}
	}
	if w.bytes() != before {
		w.Fatal("something was written after the poison")
	}
	next, _ := start(w.T, w.fs.Killed()) // only a restart ends it
	next.committed("healthy")
}

func second[T any](_ T, err error) error { return err }

// A truncation that fails is no reason to stop.
func TestAFailedTruncationPoisonsNothing(t *testing.T) {
	contract.Row(t, 58)
	w, _ := start(t, logtest.New())
	for i := range 6 {
		w.committed(fmt.Sprint(i, strings.Repeat("x", 900))) // a segment each
	}
	w.must(w.Checkpoint(3))
	w.fs.Fail(logtest.Remove, w.fs.Count(logtest.Remove)+1, syscall.EIO)
	if err := w.Truncate(3); !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v, want the failure", err)
	}
	w.must(w.Err())
	w.must(w.Truncate(3))
	if w.log.First() != 4 {
		t.Fatalf("first %d, want 4", w.log.First())
	}
	w.committed("on")
}
