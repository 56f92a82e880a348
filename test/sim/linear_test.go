// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/sim"
)

// The clients of one run: processes, each with publishers that share its batches,
// and collectors.
const (
	processes  = 4
	publishers = 3 // of each process
	collectors = 2
	operations = 6 // of each publisher
	shared     = 4 // tables that all of them move
)

// asked is one operation: a read, or a move of one table.
type asked struct {
	read     bool
	table    manifest.TableID
	from, to manifest.Ref
}

// heard is what came of it.
type heard struct {
	tables  map[manifest.TableID]manifest.Ref // of a read
	actual  manifest.Ref                      // of a mismatch
	outcome string
}

const (
	moved    = "moved"
	mismatch = "mismatch"
	unknown  = "unknown"
)

// line is the manifest as a client may think of it: tables that move, one at a
// time, from what the mover expected.
var line = porcupine.NondeterministicModel{
	Init: func() []any { return []any{map[manifest.TableID]manifest.Ref{}} },
	Step: func(state, input, output any) []any {
		st, in, out := state.(map[manifest.TableID]manifest.Ref), input.(asked), output.(heard)
		move := func() any {
			next := maps.Clone(st)
			next[in.table] = in.to
			return next
		}
		free := st[in.table] == in.from
		switch {
		case in.read && maps.Equal(out.tables, st):
			return []any{st}
		case in.read:
			return nil
		case out.outcome == moved && free:
			return []any{move()}
		case out.outcome == mismatch && !free && st[in.table] == out.actual:
			return []any{st}
		case out.outcome == unknown && free:
			return []any{st, move()}
		case out.outcome == unknown:
			return []any{st}
		}
		return nil
	},
	Equal: func(a, b any) bool {
		return maps.Equal(a.(map[manifest.TableID]manifest.Ref), b.(map[manifest.TableID]manifest.Ref))
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// history is what the clients asked and heard, in the order in which they did.
type history struct {
	mu   sync.Mutex
	tick int64
	ops  []porcupine.Operation
}

func (h *history) now() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tick++
	return h.tick
}

func (h *history) add(client int, in asked, call int64, out heard) {
	back := h.now()
	if out.outcome == unknown {
		back = math.MaxInt64 // it may take effect at any time
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: back})
}

// Concurrent publishers and readers, in several processes, while answers are
// lost, requests land late, clocks jump and two collectors cut the line: there is
// an order of all operations that explains what everybody heard, and no operation
// is in the line twice.
func TestTheManifestIsLinearizable(t *testing.T) {
	contract.Row(t, 155, 157, 125, 127)
	seeds := contract.Scale(t, "schedules", 400, 20_000)
	puts, lost, unknowns := 0, 0, 0
	for seed := range uint64(seeds) {
		w, h := run(t, seed)
		puts, lost = puts+w.Puts, lost+w.Lost
		for _, op := range h.ops {
			if op.Output.(heard).outcome == unknown {
				unknowns++
			}
		}
		if result := porcupine.CheckOperationsTimeout(line.ToModel(), h.ops, time.Minute); result != porcupine.Ok {
			t.Fatalf("seed %d: no order explains this (%s):\n%s", seed, result, h)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if lost*10 < puts {
		t.Errorf("%d of %d puts were disturbed, want a tenth", lost, puts)
	}
	t.Logf("%d schedules, %d puts, %d disturbed, %d outcomes unknown", seeds, puts, lost, unknowns)
}

func run(t *testing.T, seed uint64) (w *sim.World, h *history) {
	t.Helper()
	h = &history{}
	chances := sim.Chances{LoseRequest: 0.04, LoseAnswer: 0.06, LandLate: 0.03, Oversleep: 0.02, Jump: 3 * time.Hour, Favour: 0.6}
	if seed%2 == 1 { // nobody sleeps long enough to look at the boundary: age alone protects
		chances.Jump = 20 * time.Minute
	}
	sim.Run(t, seed, chances, func(world *sim.World) {
		w = world
		w.Watch(manifest.Prefix, onlyOnce(t, w))
		if _, err := manifest.CreateIdentity(t.Context(), w.Disk, "uid-1", w.NewID(), nil); err != nil {
			t.Fatal(err)
		}
		for p := range processes {
			go process(t, w, h, p)
		}
		for c := range collectors {
			go collect(t, w, fmt.Sprintf("collector-%d", c))
		}
	})
	return w, h
}

func open(w *sim.World, client string) (*manifest.Store, error) {
	for {
		s, err := manifest.Open(context.Background(), w.Bucket(client), manifest.Options{
			NewID: w.NewID, Now: w.Now, Sleep: w.Sleep(client), Rebase: 200, Resolve: time.Minute, CheckpointEvery: 4,
		})
		if !errors.Is(err, sim.ErrLost) {
			return s, err
		}
	}
}

func process(t *testing.T, w *sim.World, h *history, p int) {
	client := fmt.Sprintf("process-%d", p)
	s, err := open(w, client)
	if err != nil {
		t.Errorf("%s: open: %v", client, err)
		return
	}
	by := manifest.Publisher{Role: manifest.RoleWriter, Process: manifest.ProcessID(w.NewID()), Writer: manifest.WriterID(client)}
	for by.Epoch.IsZero() {
		by.Epoch, err = s.Register(context.Background(), by.Writer, by.Process, manifest.Epoch{})
		if err != nil && !errors.Is(err, sim.ErrLost) {
			t.Errorf("%s: register: %v", client, err)
			return
		}
	}
	for k := range publishers {
		go func() {
			for i := range operations {
				operate(t, w, h, s, by, p*publishers+k, fmt.Sprintf("OP-%d-%d-%d", p, k, i))
			}
		}()
	}
}

func operate(t *testing.T, w *sim.World, h *history, s *manifest.Store, by manifest.Publisher, client int, op string) {
	call := h.now()
	if w.Chance(4) == 0 {
		st, err := s.Latest(context.Background())
		if err == nil {
			h.add(client, asked{read: true}, call, heard{tables: refs(st)})
		} else if !errors.Is(err, sim.ErrLost) {
			t.Errorf("read: %v", err)
		}
		return
	}
	st := s.View()
	in := asked{table: manifest.TableID(fmt.Sprintf("t%d", w.Chance(shared)))}
	if in.from = st.Ref(in.table); w.Chance(6) == 0 {
		in.from = manifest.Ref{Number: 999, Operation: "NONE"} // it will be told what is there
	}
	in.to = manifest.Ref{Number: in.from.Number + 1, Operation: manifest.OperationID(op)}
	_, err := s.Publish(context.Background(), manifest.Publication{By: by, Entries: []manifest.Entry{{
		Kind: manifest.KindPublish, Operation: in.to.Operation, Writer: by.Writer, Epoch: by.Epoch, Base: st.Version,
		Tables: []manifest.Change{{Table: in.table, Expected: in.from, To: &manifest.Pin{Ref: in.to}}},
	}}})
	var m *manifest.ExpectedVersionMismatch
	switch {
	case err == nil:
		h.add(client, in, call, heard{outcome: moved})
	case errors.As(err, &m):
		h.add(client, in, call, heard{outcome: mismatch, actual: m.Actual})
	case errors.Is(err, manifest.ErrUnknown):
		h.add(client, in, call, heard{outcome: unknown})
	case errors.Is(err, manifest.ErrContention), errors.Is(err, sim.ErrLost):
		// Nothing was published: if it was, a read that shows it has no explanation.
	default:
		t.Errorf("%s: %v", op, err)
	}
}

func refs(st *manifest.State) map[manifest.TableID]manifest.Ref {
	out := map[manifest.TableID]manifest.Ref{}
	for id, pin := range st.Tables {
		out[id] = pin.Ref
	}
	return out
}

// collect cuts the line as short as it may, again and again.
func collect(t *testing.T, w *sim.World, client string) {
	s, err := open(w, client)
	if err != nil {
		t.Errorf("%s: open: %v", client, err)
		return
	}
	for range 10 {
		_, err := s.Collect(context.Background(), manifest.CollectOptions{
			Retention: manifest.Retention{Versions: 1, Age: manifest.MinAge}, By: manifest.ProcessID(client),
			Pending: func(context.Context) ([]manifest.Pending, error) { return nil, nil },
		})
		if err != nil && !errors.Is(err, sim.ErrLost) && !errors.Is(err, manifest.ErrContention) && !errors.Is(err, manifest.ErrUnknown) {
			t.Errorf("%s: %v", client, err)
		}
		_ = w.Sleep(client)(context.Background(), time.Duration(w.Chance(10))*time.Minute)
	}
}

// onlyOnce watches the line grow: each publication follows the one before, and no
// operation is in it twice. A number below the boundary is not part of it.
func onlyOnce(t *testing.T, w *sim.World) func(objstore.Object) {
	st, seen := manifest.NewState("uid-1"), map[manifest.OperationID]manifest.Version{}
	return func(o objstore.Object) {
		b, digest, err := manifest.DecodeBatch(o.Key, o.Body)
		if err != nil {
			t.Errorf("%s: %v", o.Key, err)
			return
		}
		if b.Number <= st.Version {
			return // collected, and created again by somebody who slept
		}
		next, err := manifest.Apply(st, b, digest)
		if err != nil {
			t.Errorf("%s: %v", o.Key, err)
			return
		}
		st = next
		for _, e := range b.Entries {
			if e.Operation == "" {
				continue
			}
			if before := seen[e.Operation]; before != 0 {
				t.Errorf("operation %s is in publication %d and in %d", e.Operation, before, b.Number)
			}
			seen[e.Operation] = b.Number
		}
	}
}

// String is the history, one operation a line, for people.
func (h *history) String() string {
	s := ""
	for _, op := range h.ops {
		s += fmt.Sprintf("  %4d..%d client %d: %+v -> %+v\n", op.Call, op.Return, op.ClientId, op.Input, op.Output)
	}
	return s
}
