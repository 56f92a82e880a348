// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/store"
)

// A directory that a store has left is good, one with a flipped byte is bad and the file
// is named, one that runs cannot be looked at.
func TestStoreCheck(t *testing.T) {
	dir := t.TempDir()
	data, root := filepath.Join(dir, "data"), "file://"+filepath.Join(dir, "data", "root")
	p := serveIn(t, "", dir)
	res, err := http.Post("http://"+p.api+"/v1/transactions", "application/json", strings.NewReader(`{"statements":[{"op":"put","table":"t","key":"k","row":{}}]}`))
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
	if out, errs, code := run(t, "store", "check", "--data-dir", data); code != 2 || !strings.Contains(errs, "is locked") {
		t.Fatalf("while it runs: %d %s %s", code, out, errs)
	}
	p.end()
	out, errs, code := run(t, "store", "check", "--data-dir", data, "--root", root)
	if code != 0 || !strings.Contains(out, "positions 1 to 1, 1 transactions in 1 segments") || !strings.Contains(out, "0 faults") {
		t.Fatalf("a good one: %d %s %s", code, out, errs)
	}
	segments, err := filepath.Glob(filepath.Join(data, "log", "*.log"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	raw, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[30] ^= 1
	if err := os.WriteFile(segments[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code = run(t, "store", "check", "--data-dir", data, "-o", "json")
	var c store.Checked
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatal(err, out)
	}
	if code != 1 || len(c.Faults) != 1 || c.Faults[0].Path != segments[0] || c.Faults[0].Damage != "DamagedHeader" || !strings.Contains(errs, "1 faults") {
		t.Fatalf("a bad one: %d %s %s", code, out, errs)
	}
	if _, _, code := run(t, "store", "check", "--data-dir", filepath.Join(dir, "nothing")); code != 2 {
		t.Fatalf("nothing: %d", code)
	}
}

func TestStoreBench(t *testing.T) {
	out, errs, code := run(t, "store", "bench", "--dir", t.TempDir(), "--writers", "1,4", "--sizes", "64", "--duration", "300ms", "--checkpoint-interval", "100ms", "-o", "json")
	var rows []benchRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 {
		t.Fatal(err, code, out, errs)
	}
	for i, writers := range []int{1, 4} {
		if r := rows[i]; r.Writers != writers || r.Commits == 0 || r.Rate <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 || r.SyncsPerCommit <= 0 || r.SyncsPerCommit > 1.1 || r.AllocsPerCommit <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if _, _, code := run(t, "store", "bench", "--dir", t.TempDir(), "--sync", "never"); code != 2 {
		t.Errorf("--sync never: %d", code)
	}
	out, errs, code = run(t, "store", "bench", "--dir", t.TempDir(), "--writers", "2", "--sizes", "64", "--duration", "200ms", "--rate", "50")
	if code != 0 || !strings.Contains(out, "COMMITS/S") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

// What Prometheus scrapes.
func TestStoreMetrics(t *testing.T) {
	p := serveIn(t, "", t.TempDir())
	for _, body := range []string{`{"statements":[{"op":"put","table":"t","key":"k","row":{}}]}`, `{"statements":[]}`} {
		res, err := http.Post("http://"+p.api+"/v1/transactions", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	res, err := http.Get("http://" + p.api + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"salvor_store_serving 1", "salvor_store_commit_duration_seconds_count 1", `salvor_store_commit_duration_seconds_bucket{le="+Inf"} 1`,
		`salvor_store_refusals_total{reason="Invalid"} 1`, `salvor_store_in_flight_transactions{place="inside"} 0`, "salvor_store_log_batch_transactions_count 1",
		"salvor_store_log_batch_transactions_sum 1", "salvor_store_log_lag_transactions 0", "salvor_store_log_uncovered_transactions 1", "salvor_store_log_failed 0",
		"salvor_store_log_syncs_total 1", "salvor_store_replay_bytes 0", "salvor_store_feeds 0", "salvor_store_snapshots 0", "go_goroutines",
	} {
		if !strings.Contains(string(raw), "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	if t.Failed() {
		t.Log(string(raw))
	}
	res, err = http.Get("http://" + p.api + "/readyz")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
}
