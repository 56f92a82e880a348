// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/sim"
)

// mixed is a run in which processes of two releases publish, each operation a
// table of its own, while somebody raises the format and somebody collects.
type mixed struct {
	t *testing.T
	w *sim.World

	mu     sync.Mutex
	told   map[manifest.TableID]manifest.Version // published, says Publish
	denied map[manifest.TableID]error            // nothing was published, says Publish
	older  map[manifest.TableID]bool             // by a process of the older release
	raised manifest.Version
	refuse int // how often the older release stopped at the new format
}

func (m *mixed) open(client string, knows int) (*manifest.Store, error) {
	for {
		s, err := manifest.Open(context.Background(), m.w.Bucket(client), manifest.Options{
			NewID: m.w.NewID, Now: m.w.Now, Sleep: m.w.Sleep(client), Rebase: 200, Resolve: time.Minute, CheckpointEvery: 4,
		}.Knowing(knows))
		if !errors.Is(err, sim.ErrLost) {
			return s, err
		}
	}
}

// process publishes until it is done, or stops at a format that it does not know.
func (m *mixed) process(client string, knows int) {
	s, err := m.open(client, knows)
	by := manifest.Publisher{Role: manifest.RoleWriter, Process: manifest.ProcessID(m.w.NewID()), Writer: manifest.WriterID(client)}
	for err == nil && by.Epoch.IsZero() {
		if by.Epoch, err = s.Register(context.Background(), by.Writer, by.Process, manifest.Epoch{}); errors.Is(err, sim.ErrLost) {
			err = nil
		}
	}
	for i := 0; i < 8; i++ {
		if m.stops(client, knows, err) {
			return
		}
		op := fmt.Sprintf("%s-%d", client, i)
		var pub manifest.Published
		pub, err = s.Publish(context.Background(), move(s.View(), by, op, op))
		m.hear(manifest.TableID(op), knows == 1, pub.Version, err)
	}
	m.stops(client, knows, err)
}

func (m *mixed) hear(table manifest.TableID, older bool, at manifest.Version, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.older[table] = older
	switch {
	case err == nil:
		m.told[table] = at
	case !errors.Is(err, manifest.ErrUnknown):
		m.denied[table] = err
	}
}

// stops reports whether a process met the newer format, which only the older
// release may.
func (m *mixed) stops(client string, knows int, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	var newer *envelope.FormatError
	switch {
	case errors.As(err, &newer):
		m.refuse++
		if knows > 1 || !strings.Contains(err.Error(), "upgrade salvor") {
			m.t.Errorf("%s: %v", client, err)
		}
		return true
	case err == nil, errors.Is(err, sim.ErrLost), errors.Is(err, manifest.ErrUnknown), errors.Is(err, manifest.ErrContention):
		return false
	}
	m.t.Errorf("%s: %v", client, err)
	return true
}

// raise raises the format at some point.
func (m *mixed) raise() {
	s, err := m.open("raiser", 2)
	for wait := m.w.Chance(20); err == nil && wait > 0; wait-- {
		_ = m.w.Sleep("raiser")(context.Background(), time.Millisecond)
	}
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: "RAISER"}
	for {
		var pub manifest.Published
		if err == nil {
			pub, err = s.RaiseFormat(context.Background(), by, 2, s.View().Version)
		}
		var moved *manifest.IdentityError
		switch {
		case err == nil:
			m.mu.Lock()
			m.raised = pub.Version // 0: a lost answer had landed
			m.mu.Unlock()
			return
		case errors.Is(err, sim.ErrLost), errors.Is(err, manifest.ErrUnknown), errors.Is(err, manifest.ErrContention), errors.As(err, &moved):
			_, err = s.Latest(context.Background())
			if errors.Is(err, sim.ErrLost) || errors.Is(err, manifest.ErrContention) {
				err = nil
			}
		default:
			m.t.Errorf("raise: %v", err)
			return
		}
	}
}

func (m *mixed) collect() {
	s, err := m.open("collector", 2)
	if err != nil {
		m.t.Errorf("collector: %v", err)
		return
	}
	for range 4 {
		_, err := s.Collect(context.Background(), manifest.CollectOptions{
			Retention: manifest.Retention{Versions: 1, Age: manifest.MinAge}, By: "COLLECTOR",
			Pending: func(context.Context) ([]manifest.Pending, error) { return nil, nil },
		})
		m.stops("collector", 2, err)
		_ = m.w.Sleep("collector")(context.Background(), time.Duration(m.w.Chance(30))*time.Minute)
	}
}

// Two releases at once, with lost answers, late requests, sleepers and a collector:
// everything before the raise is in the old format and everything from it on in the
// new one; whoever does not know it has published nothing behind it; and each was
// told what is true.
func TestTwoReleasesWhileTheFormatIsRaised(t *testing.T) {
	contract.Row(t, 157, 162)
	seeds, refused := contract.Scale(t, "mixed releases", 60, 3000), 0
	for seed := range uint64(seeds) {
		m := &mixed{t: t, told: map[manifest.TableID]manifest.Version{}, denied: map[manifest.TableID]error{}, older: map[manifest.TableID]bool{}}
		chances := sim.Chances{LoseRequest: 0.04, LoseAnswer: 0.06, LandLate: 0.03, Oversleep: 0.02, Jump: 3 * time.Hour, Favour: 0.6}
		sim.Run(t, seed, chances, func(w *sim.World) {
			m.w = w
			_, err := manifest.CreateIdentity(t.Context(), w.Disk, "uid-1", w.NewID(), nil)
			must(t, err)
			for i, knows := range []int{1, 1, 2, 2} {
				go m.process(fmt.Sprintf("release%d-%d", knows, i), knows)
			}
			go m.raise()
			go m.collect()
		})
		m.check(m.w.Disk)
		if refused += m.refuse; t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if refused*2 < seeds {
		t.Errorf("in %d runs the older release met the new format only %d times", seeds, refused)
	}
	t.Logf("%d runs, the older release stopped %d times", seeds, refused)
}

// check looks at the root when all is quiet.
func (m *mixed) check(disk objstore.Bucket) {
	m.t.Helper()
	s, err := manifest.Open(m.t.Context(), disk, manifest.Options{NewID: m.w.NewID, Now: m.w.Now}.Knowing(2))
	must(m.t, err)
	st := s.View()
	if st.Level() != 2 {
		m.t.Errorf("the level is %d", st.Level())
	}
	bound, err := s.Boundary(m.t.Context())
	must(m.t, err)
	first := st.Version + 1 // the oldest that is left in the new format
	for n := st.Version; n >= bound; n-- {
		o, err := disk.Get(m.t.Context(), manifest.Key(n))
		must(m.t, err)
		switch formatOf(m.t, o.Body) {
		case 2:
			if first != n+1 {
				m.t.Errorf("publication %d is in the new format, a later one is not", n)
			}
			first = n
		case 1:
			if m.raised != 0 && n >= m.raised {
				m.t.Errorf("publication %d is in the old format, the level was raised in %d", n, m.raised)
			}
		}
	}
	for table, at := range m.told {
		if st.Ref(table).IsZero() {
			m.t.Errorf("%s was told to be published in %d, and is not there", table, at)
		}
		if m.older[table] && m.raised != 0 && at >= m.raised {
			m.t.Errorf("%s was published in %d by a process that does not know the format of %d", table, at, m.raised)
		}
	}
	for table, why := range m.denied {
		if !st.Ref(table).IsZero() {
			m.t.Errorf("%s was told not to be published (%v), and is there", table, why)
		}
	}
}
