// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// root is an empty store in memory with a clock that only sleeping moves.
type root struct {
	t    *testing.T
	disk *mem.Bucket
	ids  atomic.Int64
	mu   sync.Mutex
	now  time.Time
}

func newRoot(t *testing.T) *root {
	r := &root{t: t, now: time.Unix(1_700_000_000, 0)}
	r.disk = mem.New(mem.Options{Now: r.clock})
	_, err := manifest.CreateIdentity(t.Context(), r.disk, "uid-1", r.id(), nil)
	must(t, err)
	return r
}

func (r *root) id() string { return fmt.Sprintf("ID%06d", r.ids.Add(1)) }

func (r *root) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *root) sleep(ctx context.Context, d time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
	return context.Cause(ctx)
}

func (r *root) open(b objstore.Bucket) *manifest.Store {
	r.t.Helper()
	s, err := manifest.Open(r.t.Context(), b, manifest.Options{
		NewID: r.id, Now: r.clock, Sleep: r.sleep, Rebase: 64, Resolve: 2 * time.Second, CheckpointEvery: 8,
	})
	must(r.t, err)
	return s
}

// writer registers a process and returns how it publishes.
func (r *root) writer(s *manifest.Store, id string) manifest.Publisher {
	r.t.Helper()
	p := manifest.ProcessID(r.id())
	e, err := s.Register(r.t.Context(), manifest.WriterID(id), p, manifest.Epoch{})
	must(r.t, err)
	return manifest.Publisher{Role: manifest.RoleWriter, Process: p, Writer: manifest.WriterID(id), Epoch: e}
}

// move is operation op of by, which moves each table from its pin in st by one.
func move(st *manifest.State, by manifest.Publisher, op string, tables ...string) manifest.Publication {
	e := manifest.Entry{Kind: manifest.KindPublish, Operation: manifest.OperationID(op), Writer: by.Writer, Epoch: by.Epoch, Base: st.Version}
	for _, t := range tables {
		from := st.Ref(manifest.TableID(t))
		e.Tables = append(e.Tables, manifest.Change{
			Table: manifest.TableID(t), Expected: from,
			To: &manifest.Pin{Ref: manifest.Ref{Number: from.Number + 1, Operation: e.Operation}, Digest: "sha256:x"},
		})
	}
	return manifest.Publication{By: by, Entries: []manifest.Entry{e}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// author returns, from the objects themselves, which publication holds op; it
// fails if two do.
func (r *root) author(op string) (found manifest.Version) {
	r.t.Helper()
	for e, err := range r.disk.List(r.t.Context(), manifest.Prefix, "") {
		must(r.t, err)
		o, err := r.disk.Get(r.t.Context(), e.Key)
		must(r.t, err)
		b, _, err := manifest.DecodeBatch(e.Key, o.Body)
		must(r.t, err)
		for _, entry := range b.Entries {
			if string(entry.Operation) == op {
				if found != 0 {
					r.t.Fatalf("operation %s is published in %d and in %d", op, found, b.Number)
				}
				found = b.Number
			}
		}
	}
	return found
}

func TestRivalsOfDisjointTablesAllPublishOnce(t *testing.T) {
	r := newRoot(t)
	const rivals, each = 8, 12
	var wg sync.WaitGroup
	for i := range rivals {
		s := r.open(r.disk)
		by := r.writer(s, fmt.Sprintf("w%d", i))
		wg.Go(func() {
			for k := range each {
				op := fmt.Sprintf("OP-%d-%d", i, k)
				if _, err := s.Publish(t.Context(), move(s.View(), by, op, fmt.Sprintf("t%d", i))); err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
		})
	}
	wg.Wait()
	st := r.open(r.disk).View()
	if want := manifest.Version(rivals + rivals*each); st.Version != want {
		t.Fatalf("version %d, want %d: a number was skipped or shared", st.Version, want)
	}
	for i := range rivals {
		if n := st.Ref(manifest.TableID(fmt.Sprintf("t%d", i))).Number; n != each {
			t.Errorf("table t%d is at %d", i, n)
		}
		for k := range each {
			if r.author(fmt.Sprintf("OP-%d-%d", i, k)) == 0 {
				t.Errorf("OP-%d-%d is lost", i, k)
			}
		}
	}
}

func TestRivalsOfOneTableAreToldExpectedAndActual(t *testing.T) {
	r := newRoot(t)
	s1, s2 := r.open(r.disk), r.open(r.disk)
	by1, by2 := r.writer(s1, "one"), r.writer(s2, "two")
	st := s2.View()
	_, err := s1.Publish(t.Context(), move(st, by1, "OP1", "t"))
	must(t, err)
	_, err = s2.Publish(t.Context(), move(st, by2, "OP2", "t"))
	var m *manifest.ExpectedVersionMismatch
	if !errors.As(err, &m) || m.Table != "t" || !m.Expected.IsZero() || m.Actual != (manifest.Ref{Number: 1, Operation: "OP1"}) {
		t.Fatalf("%v", err)
	}
	if r.author("OP2") != 0 {
		t.Fatal("the loser is in the manifest")
	}
}

// Whatever happens to the answer, the operation is published once, and the
// publisher is told so, or it is told that it does not know.
func TestLostAnswersAreResolvedByReading(t *testing.T) {
	contract.Row(t, 125)
	for name, c := range map[string]struct {
		fault   func(*fault.Rule)
		unknown bool
	}{
		"it landed":               {func(r *fault.Rule) { r.Nth(1).LoseAnswer() }, false},
		"it did not":              {func(r *fault.Rule) { r.Nth(1).LoseRequest() }, false},
		"nothing gets through":    {func(r *fault.Rule) { r.From(1).LoseRequest() }, true},
		"refused, nothing landed": {func(r *fault.Rule) { r.Nth(1).Fail(errors.New("slow down")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoot(t)
			b := fault.Wrap(r.disk)
			s := r.open(b)
			by := r.writer(s, "w")
			c.fault(b.On(fault.PutIfAbsent, manifest.Prefix))
			pub, err := s.Publish(t.Context(), move(s.View(), by, "OP", "t"))
			b.VerifyFired(t)
			v := r.author("OP")
			if c.unknown {
				if !errors.Is(err, manifest.ErrUnknown) || v != 0 {
					t.Fatalf("%v, in manifest %d", err, v)
				}
				return
			}
			if err != nil || v != pub.Version || s.View().Ref("t").Operation != "OP" {
				t.Fatalf("%v: told %d, is in %d", err, pub.Version, v)
			}
		})
	}
}

// A request that the network delivers late, after its publisher gave up and a
// rival took the number, changes nothing; after nobody took it, it counts once.
func TestRequestThatLandsLate(t *testing.T) {
	contract.Row(t, 125)
	r := newRoot(t)
	b := fault.Wrap(r.disk)
	s := r.open(b)
	by := r.writer(s, "w")
	late := b.On(fault.PutIfAbsent, manifest.Prefix).LandLater()
	pub, err := s.Publish(t.Context(), move(s.View(), by, "OP", "t"))
	must(t, err)
	_, err = late.Land(t.Context())
	must(t, err)
	if v := r.author("OP"); v != pub.Version || r.open(r.disk).View().Version != pub.Version {
		t.Fatalf("told %d, is in %d", pub.Version, v)
	}
}

func TestStalePublisherLosesByEpoch(t *testing.T) {
	contract.Row(t, 121)
	r := newRoot(t)
	s := r.open(r.disk)
	zombie := r.writer(s, "w")
	successor := r.writer(s, "w")
	old := s.View()
	if _, err := s.Publish(t.Context(), move(old, zombie, "OP1", "t")); !errors.Is(err, manifest.ErrFenced) {
		t.Fatalf("a superseded process published: %v", err)
	}
	// A fence meant for the zombie does not hit its successor.
	recovery := manifest.Publisher{Role: manifest.RoleRecovery, Process: "R"}
	pub, err := s.Publish(t.Context(), manifest.Publication{By: recovery, Entries: []manifest.Entry{manifest.Fence("w", zombie.Epoch)}})
	if err != nil || pub.Version != 0 {
		t.Fatalf("a fence of an ended epoch was published: %+v %v", pub, err)
	}
	_, err = s.Publish(t.Context(), move(s.View(), successor, "OP2", "t"))
	must(t, err)
	// One that is meant for it does, and it may come back, once.
	_, err = s.Publish(t.Context(), manifest.Publication{By: recovery, Entries: []manifest.Entry{manifest.Fence("w", successor.Epoch)}})
	must(t, err)
	if _, err := s.Publish(t.Context(), move(s.View(), successor, "OP3", "t")); !errors.Is(err, manifest.ErrFenced) {
		t.Fatalf("a fenced process published: %v", err)
	}
	if _, err := s.Register(t.Context(), "w", zombie.Process, zombie.Epoch); err != nil && !errors.Is(err, manifest.ErrSuperseded) {
		t.Fatal(err)
	}
	e, err := s.Register(t.Context(), "w", successor.Process, successor.Epoch)
	if err == nil && e.Number <= successor.Epoch.Number {
		t.Fatalf("epoch went from %s to %s", successor.Epoch, e)
	}
	for _, op := range []string{"OP1", "OP3"} {
		if r.author(op) != 0 {
			t.Errorf("%s of a stale publisher is in the manifest", op)
		}
	}
}

// Two live processes of one id do not fence each other by turns: the one that
// was superseded by a registration exits.
func TestSupersededProcessExits(t *testing.T) {
	r := newRoot(t)
	s := r.open(r.disk)
	first := r.writer(s, "w")
	r.writer(s, "w")
	if _, err := s.Register(t.Context(), "w", first.Process, first.Epoch); !errors.Is(err, manifest.ErrSuperseded) {
		t.Fatalf("want ErrSuperseded, got %v", err)
	}
}

func TestRegistrationWhoseAnswerIsLostIsOneRegistration(t *testing.T) {
	r := newRoot(t)
	b := fault.Wrap(r.disk)
	s := r.open(b)
	b.On(fault.PutIfAbsent, manifest.Prefix).LoseAnswer()
	e, err := s.Register(t.Context(), "w", "P", manifest.Epoch{})
	must(t, err)
	if st := r.open(r.disk).View(); st.Version != 1 || st.Writers["w"] != e || e != (manifest.Epoch{Number: 1, Process: "P"}) {
		t.Fatalf("%s after %d publications", e, st.Version)
	}
}

// A sleeper wakes up and creates a number that was collected meanwhile. It must
// not believe that it published.
func TestNumberBelowTheBoundaryDoesNotCount(t *testing.T) {
	r := newRoot(t)
	b := fault.Wrap(r.disk)
	sleeper, awake := r.open(b), r.open(r.disk)
	slow, fast := r.writer(sleeper, "slow"), r.writer(awake, "fast")
	gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
	done := make(chan error, 1)
	go func() {
		_, err := sleeper.Publish(t.Context(), move(sleeper.View(), slow, "SLOW", "s"))
		done <- err
	}()
	at, err := gate.Await(t.Context())
	must(t, err)
	for i := range 10 { // past a checkpoint, which readers start from
		_, err := awake.Publish(t.Context(), move(awake.View(), fast, fmt.Sprintf("FAST-%d", i), "f"))
		must(t, err)
	}
	raw, err := envelope.Encode("boundary", 1, struct{}{})
	must(t, err)
	_, err = r.disk.PutIfAbsent(t.Context(), manifest.BoundaryKey(8), raw, "collector")
	must(t, err)
	must(t, r.disk.Delete(t.Context(), at.Key))
	gate.Release()
	must(t, <-done)
	st := r.open(r.disk).View()
	if o, ok := st.Outcome("SLOW"); !ok || o.Version <= 8 || st.Ref("s").Operation != "SLOW" || st.Ref("f").Operation != "FAST-9" {
		t.Fatalf("outcome %+v, tables %v", o, st.Tables)
	}
}
