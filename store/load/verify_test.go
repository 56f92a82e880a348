// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/load"
)

func each[T any](items ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, i := range items {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func ack(key string, seq uint64) load.Ack {
	return load.Ack{Prefix: "p.", Key: key, Token: fmt.Sprint(key, "-", seq), Seq: seq, Of: 2, Position: 10 * seq}
}

// rows are the rows of one key in load0 and load1; 0: none.
func rows(key string, seqs ...uint64) []store.DumpRow {
	var out []store.DumpRow
	for i, seq := range seqs {
		if seq > 0 {
			out = append(out, store.DumpRow{
				Table: manifest.TableID(fmt.Sprint("p.load", i)), Key: key,
				Row: json.RawMessage(fmt.Sprintf(`{"token":"%s-%d","seq":%d,"of":2}`, key, seq, seq)),
			})
		}
	}
	return out
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name       string
		acks       []load.Ack
		rows       []store.DumpRow
		lost, half int
		says       string
	}{
		{"all there", []load.Ack{ack("k", 1), ack("k", 3), ack("k", 2)}, rows("k", 3, 3), 0, 0, ""},
		{"one whose answer was lost came after it", []load.Ack{ack("k", 3)}, rows("k", 4, 4), 0, 0, ""},
		{"one whose answer was lost, alone", nil, rows("k", 4, 4), 0, 0, ""},
		{"rows of others", nil, []store.DumpRow{{Table: "p.accounts", Key: "k", Row: []byte(`{}`)}, {Table: "p.load0", Key: "k", Row: []byte(`{"v":1}`)}}, 0, 0, ""},
		{"gone", []load.Ack{ack("k", 3)}, nil, 2, 0, "lost: key k of tables p.*: number 3 was acknowledged at position 30, p.load0 has no such row"},
		{"an older value", []load.Ack{ack("k", 3)}, rows("k", 2, 2), 2, 0, "p.load0 has number 2"},
		{"half of an acknowledged one", []load.Ack{ack("k", 3)}, rows("k", 3, 0), 1, 1, "half: key k of tables p.*: p.load0 has k-3, p.load1 has nothing"},
		{"half of another one", []load.Ack{ack("k", 3)}, rows("k", 4, 3), 0, 1, "half: key k of tables p.*: p.load0 has k-4, p.load1 has k-3"},
		{"half of one that nobody acknowledged", nil, rows("k", 0, 1), 0, 1, "p.load1 has k-1, p.load0 has nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := load.Verify(each(c.acks...), each(c.rows...))
			if err != nil || r.Lost != c.lost || r.Half != c.half || r.OK() != (c.lost+c.half == 0) || !strings.Contains(strings.Join(r.Faults, "\n"), c.says) {
				t.Fatalf("%+v, %v; want %d lost, %d half, saying %q", r, err, c.lost, c.half, c.says)
			}
		})
	}
}

// A source that fails is no verdict.
func TestVerifyDoesNotGuess(t *testing.T) {
	broken := errors.New("connection reset")
	_, err := load.Verify(each(ack("k", 1)), func(yield func(store.DumpRow, error) bool) { yield(store.DumpRow{}, broken) })
	if !errors.Is(err, broken) {
		t.Fatalf("rows: %v", err)
	}
	_, err = load.Verify(func(yield func(load.Ack, error) bool) { yield(load.Ack{}, broken) }, each[store.DumpRow]())
	if !errors.Is(err, broken) {
		t.Fatalf("acknowledgements: %v", err)
	}
}

// A read that is not answered is asked again: the rows are there once, and a store
// that never answers is given up with its address.
func TestRowsAreAskedForUntilTheyAreAnswered(t *testing.T) {
	asked := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked[r.URL.String()]++; asked[r.URL.String()] <= 2 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		switch r.URL.Query().Get("after") {
		case "":
			if r.URL.Path == "/v1/tables" {
				_, _ = w.Write([]byte(`{"writer":"w","prefix":"w.","tables":[{"name":"load0","id":"w.load0"}]}`))
				return
			}
			_, _ = w.Write([]byte(`{"rows":[{"key":"a","row":{}}],"next":"a"}`))
		case "a":
			_, _ = w.Write([]byte(`{"rows":[{"key":"b","row":{}}]}`))
		}
	}))
	defer srv.Close()
	var got []string
	for row, err := range load.APIRows(t.Context(), load.Options{Targets: []string{srv.URL}, Sleep: noWait}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(row.Table)+"/"+row.Key)
	}
	if want := []string{"w.load0/a", "w.load0/b"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	now := time.Unix(0, 0)
	tick := func() time.Time { now = now.Add(time.Second); return now }
	var told error
	for _, err := range load.APIRows(t.Context(), load.Options{Targets: []string{dead.URL}, Sleep: noWait, Now: tick, GiveUp: 5 * time.Second}) {
		told = err
	}
	if told == nil || !strings.Contains(told.Error(), dead.URL+": gave up after 5s: not answered") {
		t.Errorf("%v", told)
	}
}

func TestDumpRows(t *testing.T) {
	n := 0
	for r, err := range load.DumpRows(strings.NewReader(`{"table":"t","key":"k","row":{"v":1}}` + "\n" + `{"table":"t","key":"l","row":{}}` + "\n")) {
		if err != nil || r.Table != "t" {
			t.Fatal(r, err)
		}
		n++
	}
	if n != 2 {
		t.Fatalf("%d rows", n)
	}
	for _, bad := range []string{`{"table":"t"}`, `{"table":"t","key":"k","row":`, `x`} {
		var last error
		for _, err := range load.DumpRows(strings.NewReader(bad)) {
			last = err
		}
		if last == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
