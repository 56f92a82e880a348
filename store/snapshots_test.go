// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/store"
)

// snapshot opens one over HTTP.
func (p *process) snapshot(query string) store.Snapshot {
	p.w.Helper()
	res := p.call("POST", "/v1/snapshots"+query, "")
	var s store.Snapshot
	if err := json.Unmarshal(res.Body.Bytes(), &s); err != nil || res.Code != http.StatusCreated {
		p.w.Fatalf("%d %s", res.Code, res.Body)
	}
	return s
}

// scan reads a table page by page.
func (p *process) scan(table, query string, limit int, between func()) (rows []store.Row, position uint64) {
	p.w.Helper()
	for after := ""; ; {
		var page store.Page
		p.getJSON(fmt.Sprintf("/v1/tables/%s/rows?%s&limit=%d&after=%s", table, query, limit, url.QueryEscape(after)), &page)
		if position != 0 && uint64(page.Position) != position {
			p.w.Fatalf("a page of position %d behind one of %d", page.Position, position)
		}
		rows, position = append(rows, page.Rows...), uint64(page.Position)
		if after = page.Next; after == "" {
			return rows, position
		}
		between()
	}
}

// A scan over many pages shows the tables as they were at one position, all of them,
// while others write between any two pages.
func TestAScanIsOfOnePosition(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	for i := range 40 {
		p.must(put("a", fmt.Sprintf("k%02d", i), "old"), put("b", fmt.Sprintf("k%02d", i), "old"))
	}
	snap := p.snapshot("")
	if snap.Position != 40 || fmt.Sprint(snap.Tables) != "[a b]" {
		t.Fatalf("%+v", snap)
	}
	n := 0
	disturb := func() {
		p.must(put("a", fmt.Sprintf("k%02d", n%40), "new"), del("b", fmt.Sprintf("k%02d", (n+20)%40)), put("a", fmt.Sprintf("k%02dx", n%40), "new"))
		n++
	}
	for _, table := range []string{"a", "b"} {
		rows, position := p.scan(table, "snapshot="+snap.ID, 3, disturb)
		if len(rows) != 40 || position != 40 {
			t.Fatalf("table %s: %d rows at %d", table, len(rows), position)
		}
		for i, r := range rows {
			if r.Key != fmt.Sprintf("k%02d", i) || string(r.Row) != `{"v":"old"}` {
				t.Fatalf("table %s, row %d: %+v", table, i, r)
			}
		}
	}
	if res := p.call("GET", "/v1/tables/b/rows/k20?snapshot="+snap.ID, ""); res.Code != http.StatusOK || !strings.Contains(res.Body.String(), "old") {
		t.Fatalf("one row of it: %d %s", res.Code, res.Body)
	}
	if res := p.call("DELETE", "/v1/snapshots/"+snap.ID, ""); res.Code != http.StatusNoContent {
		t.Fatal(res.Code)
	}
	p.gone(snap)
}

// gone checks that a snapshot is, and that its reader is told what to do.
func (p *process) gone(s store.Snapshot) {
	p.w.Helper()
	res := p.call("GET", "/v1/tables/a/rows?snapshot="+s.ID, "")
	if res.Code != http.StatusGone || !strings.Contains(res.Body.String(), `"SnapshotGone"`) || !strings.Contains(res.Body.String(), "start again") {
		p.w.Fatalf("%d %s", res.Code, res.Body)
	}
}

// The bounds of keys, with pages of every size.
func TestBoundsOfAScan(t *testing.T) {
	p := newWorld(t).start()
	keys := []string{"a", "ab", "abc", "abd", "ac", "b", "ba", "b/1", "c"}
	for _, k := range keys {
		p.must(put("t", k, "1"))
	}
	for query, want := range map[string]string{
		"":                    "a ab abc abd ac b b/1 ba c",
		"prefix=ab":           "ab abc abd",
		"prefix=b":            "b b/1 ba",
		"prefix=x":            "",
		"start=abc":           "abc abd ac b b/1 ba c",
		"end=abd":             "a ab abc",
		"start=ab&end=b":      "ab abc abd ac",
		"start=b&end=b":       "",
		"prefix=ab&start=abd": "abd",
		"prefix=ab&end=abd":   "ab abc",
		"prefix=ab&start=b":   "",
		"prefix=b&start=a":    "b b/1 ba",
	} {
		for limit := 1; limit < 11; limit++ {
			rows, _ := p.scan("t", query, limit, func() {})
			var got []string
			for _, r := range rows {
				got = append(got, r.Key)
			}
			if g := strings.Join(got, " "); g != want {
				t.Errorf("%q in pages of %d: %q, want %q", query, limit, g, want)
			}
		}
	}
}

// A snapshot has a time, a number, and a bound on what it keeps.
func TestSnapshotsAreBounded(t *testing.T) {
	t.Run("time", func(t *testing.T) {
		var later atomic.Int64
		p := newWorld(t).start(func(o *store.Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		})
		p.must(put("a", "k", "1"))
		short, long := p.snapshot(""), p.snapshot("?ttl=5m")
		later.Store(int64(2 * time.Minute))
		p.gone(short)
		p.scan("a", "snapshot="+long.ID, 1, nil)
		later.Store(int64(6 * time.Minute))
		p.must(put("a", "k", "2"))
		if n := p.Metrics().Snapshots; n != 0 {
			t.Fatalf("%d are kept when their time is over", n)
		}
		p.gone(long)
		if res := p.call("POST", "/v1/snapshots?ttl=1h", ""); res.Code != http.StatusBadRequest {
			t.Fatalf("an hour: %d", res.Code)
		}
	})
	t.Run("number", func(t *testing.T) {
		p := newWorld(t).start(func(o *store.Options) { o.MaxSnapshots = 2 })
		p.must(put("a", "k", "1"))
		first := p.snapshot("")
		p.snapshot("")
		if res := p.call("POST", "/v1/snapshots", ""); res.Code != http.StatusServiceUnavailable || res.Header().Get("Retry-After") == "" || !strings.Contains(res.Body.String(), "Overloaded") {
			t.Fatalf("one too many: %d %s", res.Code, res.Body)
		}
		p.CloseSnapshot(first.ID)
		p.snapshot("")
	})
	t.Run("memory", func(t *testing.T) {
		p := newWorld(t).start(func(o *store.Options) { o.MaxSnapshotBytes = 10 << 10 })
		big := strings.Repeat("x", 1000)
		p.must(put("a", "k", big))
		old := p.snapshot("")
		for range 5 {
			p.must(put("a", "k", big))
		}
		young := p.snapshot("")
		for range 6 {
			p.must(put("a", "k", big))
		}
		p.gone(old)
		p.scan("a", "snapshot="+young.ID, 1, nil)
		for range 6 {
			p.must(put("a", "k", big))
		}
		if m := p.Metrics(); m.Snapshots != 0 || m.SnapshotsDropped != 2 {
			t.Fatalf("%d are kept, %d were dropped", m.Snapshots, m.SnapshotsDropped)
		}
		p.gone(young)
	})
	t.Run("a restart", func(t *testing.T) {
		w := newWorld(t)
		p := w.start()
		p.must(put("a", "k", "1"))
		s := p.snapshot("")
		p.kill()
		w.start().gone(s)
	})
}

// Money goes from one account to another all the time; every scan, over pages of two
// rows, counts the same sum.
func TestEveryScanHasTheSameSum(t *testing.T) {
	p := newWorld(t).start()
	const accounts = 12
	for i := range accounts {
		p.must(put("t", fmt.Sprintf("k%02d", i), "100"))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		sums := [accounts]int{}
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			from, to := i%accounts, (i*7+3)%accounts
			sums[from]--
			sums[to]++
			p.must(put("t", fmt.Sprintf("k%02d", from), fmt.Sprint(100+sums[from])), put("t", fmt.Sprintf("k%02d", to), fmt.Sprint(100+sums[to])))
		}
	})
	for range 30 {
		snap := p.snapshot("")
		sum := 0
		rows, _ := p.scan("t", "snapshot="+snap.ID, 2, func() {})
		for _, r := range rows {
			var n int
			if _, err := fmt.Sscanf(string(r.Row), `{"v":"%d"}`, &n); err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if sum != 100*accounts || len(rows) != accounts {
			t.Fatalf("the sum of %d accounts at %d is %d", len(rows), snap.Position, sum)
		}
		p.CloseSnapshot(snap.ID)
	}
	close(stop)
	wg.Wait()
}
