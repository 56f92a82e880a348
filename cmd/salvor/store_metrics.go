// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
)

// storeMetrics tells Prometheus what a store counts. The library counts and knows no
// Prometheus; the names are here. Renaming one breaks alerts and dashboards.
type storeMetrics struct{ of func() store.Metrics }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("salvor_store_"+name, help, labels, nil)
}

var (
	metricReady     = describe("serving", "1 while transactions are taken.")
	metricCommits   = describe("commit_duration_seconds", "Time of transactions that wrote, from the call until they were durable and visible.")
	metricReads     = describe("reads_total", "Transactions that only read.")
	metricRefusals  = describe("refusals_total", "Calls that were refused, by reason.", "reason")
	metricInFlight  = describe("in_flight_transactions", "Transactions that are not answered yet, by place: inside, parked (behind a write lock).", "place")
	metricBytes     = describe("in_flight_bytes", "Bytes of transactions that are not answered yet, by place: inside, parked.", "place")
	metricLogged    = describe("log_appended_bytes_total", "Bytes of transactions that were given to the log.")
	metricLogBytes  = describe("log_bytes", "Bytes that the kept part of the log has.")
	metricSegments  = describe("log_segments", "Segments that the log keeps.")
	metricSyncs     = describe("log_syncs_total", "How often the log has waited for the disk.")
	metricBatches   = describe("log_batch_transactions", "Transactions that shared a write to the log.")
	metricLag       = describe("log_lag_transactions", "Transactions in the log that are not durable yet.")
	metricUncovered = describe("log_uncovered_transactions", "Durable transactions that no published checkpoint covers: a restart replays them.")
	metricPoisoned  = describe("log_failed", "1 when the log has failed: only a restart helps.")
	metricReplayed  = describe("replay_done_bytes", "Bytes of the log's files that the start has read.")
	metricReplay    = describe("replay_bytes", "Bytes of the log's files that there were to read at the start.")
	metricPublished = describe("checkpoint_duration_seconds", "Time of checkpoints that were tried, by result: ok, failed.", "result")
	metricFeeds     = describe("feeds", "Feeds of changes that are open.")
	metricChanges   = describe("feed_changes_total", "Changes that feeds have told.")
	metricSnapshots = describe("snapshots", "Snapshots that are open.")
	metricAge       = describe("snapshot_oldest_seconds", "Age of the oldest open snapshot.")
	metricDropped   = describe("snapshots_dropped_total", "Snapshots that kept too much memory and went before their time.")
)

// Describe implements prometheus.Collector.
func (m storeMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector.
func (m storeMetrics) Collect(to chan<- prometheus.Metric) {
	is := m.of()
	value := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { value(d, prometheus.GaugeValue, v, labels...) }
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		value(d, prometheus.CounterValue, v, labels...)
	}
	gauge(metricReady, one(is.Ready))
	buckets, n := map[float64]uint64{}, uint64(0)
	for i, within := range is.CommitWithin {
		n += uint64(within)
		if i < len(is.CommitBounds) {
			buckets[is.CommitBounds[i].Seconds()] = n
		}
	}
	to <- prometheus.MustNewConstHistogram(metricCommits, n, is.CommitTime.Seconds(), buckets)
	counter(metricReads, float64(is.Reads))
	for reason, n := range is.Refusals {
		counter(metricRefusals, float64(n), string(reason))
	}
	gauge(metricInFlight, float64(is.InFlight), "inside")
	gauge(metricInFlight, float64(is.Parked), "parked")
	gauge(metricBytes, float64(is.InFlightBytes), "inside")
	gauge(metricBytes, float64(is.ParkedBytes), "parked")
	m.log(to, is, gauge, counter)
	to <- prometheus.MustNewConstSummary(metricPublished, uint64(is.Checkpoints), is.CheckpointTime.Seconds(), nil, "ok")
	to <- prometheus.MustNewConstSummary(metricPublished, uint64(is.CheckpointFailures), is.CheckpointFailureTime.Seconds(), nil, "failed")
	gauge(metricFeeds, float64(is.Feeds))
	counter(metricChanges, float64(is.Changes))
	gauge(metricSnapshots, float64(is.Snapshots))
	gauge(metricAge, is.SnapshotAge.Seconds())
	counter(metricDropped, float64(is.SnapshotsDropped))
}

// log tells what the log says of itself.
func (storeMetrics) log(to chan<- prometheus.Metric, is store.Metrics, gauge, counter func(*prometheus.Desc, float64, ...string)) {
	counter(metricLogged, float64(is.Logged))
	gauge(metricLogBytes, float64(is.Log.Bytes))
	gauge(metricSegments, float64(is.Log.Segments))
	counter(metricSyncs, float64(is.Log.Syncs))
	buckets, n := map[float64]uint64{}, uint64(0)
	for i, flushes := range is.Log.Batches {
		n += flushes
		if i < log.Batches-1 {
			buckets[float64(int(1)<<i)] = n
		}
	}
	to <- prometheus.MustNewConstHistogram(metricBatches, n, float64(is.Log.Written-min(is.Log.Written, is.Log.Began)), buckets)
	if is.Log.Next > 0 {
		gauge(metricLag, float64(is.Log.Next-1-is.Log.Durable))
		gauge(metricUncovered, float64(is.Log.Durable-min(is.Log.Durable, is.Published)))
	}
	gauge(metricPoisoned, one(is.Log.Failure != ""))
	gauge(metricReplayed, float64(is.Log.Replayed))
	gauge(metricReplay, float64(is.Log.Replay))
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// metricsHandler serves what Prometheus scrapes.
func metricsHandler(of func() store.Metrics) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(storeMetrics{of}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
