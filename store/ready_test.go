// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
)

// slowDisk stops the reader of a segment in its middle, when it is read to be replayed.
type slowDisk struct {
	log.FS
	after    int // bytes of the newest segment
	once     sync.Once
	arrived  chan struct{}
	released chan struct{}
}

func (d *slowDisk) Open(path string) (io.ReadCloser, int64, error) {
	f, n, err := d.FS.Open(path)
	if err != nil || !strings.HasSuffix(path, ".log") {
		return f, n, err
	}
	return &slowFile{ReadCloser: f, d: d}, n, nil
}

type slowFile struct {
	io.ReadCloser
	d    *slowDisk
	read int
}

func (f *slowFile) Read(b []byte) (int, error) {
	if f.read >= f.d.after {
		f.d.once.Do(func() { close(f.d.arrived) })
		<-f.d.released
	}
	n, err := f.ReadCloser.Read(b[:min(len(b), f.d.after)])
	f.read += n
	return n, err
}

// While the log is replayed the process lives, is not ready and says how far it is, in
// bytes; so whoever waits for it waits as long as the log is large. Then it is ready.
func TestAStartSaysHowFarItIs(t *testing.T) {
	w := newWorld(t)
	p := w.start(func(o *store.Options) { o.SegmentSize = 1 << 20 })
	for range 60 {
		p.must(put("t", "k", strings.Repeat("x", 3000)))
	}
	p.kill()
	size := int64(len(w.disk.Bytes(w.segments()[0])))
	disk := &slowDisk{FS: w.disk, after: 100 << 10, arrived: make(chan struct{}), released: make(chan struct{})}
	p = w.launch(func(o *store.Options) { o.FS, o.SegmentSize = disk, 1<<20 })
	<-disk.arrived
	if res := p.call("GET", "/healthz", ""); res.Code != http.StatusOK {
		t.Errorf("it is not alive: %d", res.Code)
	}
	for _, path := range []string{"/readyz", "/startupz"} {
		res := p.call("GET", path, "")
		var problem store.Problem
		if err := json.Unmarshal(res.Body.Bytes(), &problem); err != nil {
			t.Fatalf("%s: %s", path, res.Body)
		}
		r := problem.Error.Replay
		if res.Code != http.StatusServiceUnavailable || problem.Error.Reason != store.ReasonStarting || r == nil || r.Of != size ||
			r.Done < 50<<10 || r.Done > 101<<10 || !strings.Contains(problem.Error.Message, "bytes of the log were replayed") {
			t.Errorf("%s: %d %s", path, res.Code, res.Body)
		}
	}
	if m := p.Metrics(); m.Ready || m.Log.Replay != size || m.Log.Replayed == 0 || m.Log.Replayed >= size {
		t.Errorf("%+v", m.Log)
	}
	close(disk.released)
	p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
	for _, path := range []string{"/healthz", "/readyz", "/startupz"} {
		if res := p.call("GET", path, ""); res.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, res.Code, res.Body)
		}
	}
	if m := p.Metrics(); !m.Ready || m.Log.Replayed != size {
		t.Errorf("%+v", m.Log)
	}
	p.stop()
	for path, code := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/startupz": http.StatusOK} {
		if res := p.call("GET", path, ""); res.Code != code {
			t.Errorf("at the end: %s: %d", path, res.Code)
		}
	}
}

// What is counted is what was done.
func TestWhatIsCounted(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	for range 10 {
		p.must(put("t", "k", "1"), get("t", "k"))
	}
	p.must(get("t", "k"))
	p.call("GET", "/v1/tables/none/rows", "")
	p.call("POST", "/v1/transactions", `{"statements":[]}`)
	p.changes("from=1")
	p.checkpoint()
	p.checkpoint() // nothing had changed
	m := p.Metrics()
	if m.Commits != 10 || m.Reads != 1 || m.Changes != 10 || m.Checkpoints != 1 || m.CheckpointFailures != 0 || m.Published != 10 || m.Logged == 0 || m.InFlight != 0 || m.Feeds != 0 {
		t.Errorf("%+v", m)
	}
	if len(m.Refusals) != 2 || m.Refusals[store.ReasonNotFound] != 1 || m.Refusals[store.ReasonInvalid] != 1 {
		t.Errorf("refusals: %v", m.Refusals)
	}
	var within int64
	for _, n := range m.CommitWithin {
		within += n
	}
	var batches uint64
	for _, n := range m.Log.Batches {
		batches += n
	}
	if within != 10 || len(m.CommitWithin) != len(m.CommitBounds)+1 || m.CommitTime <= 0 || batches != m.Log.Flushes || m.Log.Batches[0] < 10 {
		t.Errorf("commits by time %v, batches %v of %d", m.CommitWithin, m.Log.Batches, m.Log.Flushes)
	}
}
