// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salvor-io/salvor/manifest"
)

// meters are what this operator counts. Alerts and dashboards name them:
// renaming one breaks them.
type meters struct {
	recoveries *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	fences     prometheus.Counter
	failures   *prometheus.CounterVec
	pending    *prometheus.GaugeVec
	ready      *prometheus.GaugeVec
	streams    prometheus.Gauge
	isolated   prometheus.Gauge
	sweeps     *prometheus.CounterVec

	restarts *prometheus.CounterVec
	poisoned *prometheus.GaugeVec
	fullest  *prometheus.GaugeVec

	collections *prometheus.CounterVec
	reclaimed   prometheus.Counter
}

// newMeters registers the meters; nil keeps them to itself.
func newMeters(r prometheus.Registerer) *meters {
	store := []string{"namespace", "store"}
	m := &meters{
		recoveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "salvor_recoveries_total",
			Help: "Operations that recovery finished, by what became of them: RolledForward, Abandoned, Converged, Discarded, AlreadyResolved.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "salvor_recovery_duration_seconds",
			Help:    "Time from the detection of a left-behind operation to its outcome, read back.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}, []string{"outcome"}),
		fences: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "salvor_fences_total", Help: "Epochs of writers that recovery ended.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "salvor_recovery_failures_total", Help: "Passes of recovery that did not finish an operation, by reason.",
		}, []string{"reason"}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "salvor_pending_sidecars", Help: "Operations that wait for their writer or for recovery.",
		}, store),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "salvor_store_ready", Help: "1 while the condition Ready of the WALStore is True.",
		}, store),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "salvor_streams", Help: "Status streams to store pods that are open.",
		}),
		isolated: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "salvor_isolated", Help: "1 while so many streams are lost that the operator doubts itself.",
		}),
		sweeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "salvor_sweeps_total", Help: "Listings of a root's pending operations, by result: ok, failed.",
		}, []string{"result"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "salvor_restarts_total", Help: "Pods with a failed log that were evicted, by cause: IO, ReadOnlyFilesystem, DiskFull (and there was room again), Misuse, Other.",
		}, append(store, "cause")),
		poisoned: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "salvor_poisoned_writers", Help: "Writers whose log has failed.",
		}, store),
		fullest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "salvor_log_volume_used_ratio", Help: "Used part of the fullest volume of a store's logs, from 0 to 1.",
		}, store),
		collections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "salvor_collections_total", Help: "Collections of a root's old history, by result: ok, failed.",
		}, []string{"result"}),
		reclaimed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "salvor_collected_bytes_total", Help: "Bytes of table versions that collections removed.",
		}),
	}
	if r != nil {
		r.MustRegister(m.recoveries, m.duration, m.fences, m.failures, m.pending, m.ready, m.streams, m.isolated, m.sweeps, m.collections, m.reclaimed, m.restarts, m.poisoned, m.fullest)
	}
	return m
}

func gauge(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *meters) recovered(outcome string, took time.Duration) {
	m.recoveries.WithLabelValues(outcome).Inc()
	m.duration.WithLabelValues(outcome).Observe(took.Seconds())
}

func (m *meters) swept(err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.sweeps.WithLabelValues(result).Inc()
}

// forget drops the series of a store that is gone.
func (m *meters) forget(namespace, name string) {
	m.pending.DeleteLabelValues(namespace, name)
	m.ready.DeleteLabelValues(namespace, name)
	m.poisoned.DeleteLabelValues(namespace, name)
	m.fullest.DeleteLabelValues(namespace, name)
	m.restarts.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "store": name})
}

func (m *meters) collected(c *manifest.Collected, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.collections.WithLabelValues(result).Inc()
	if c != nil {
		m.reclaimed.Add(float64(c.Bytes))
	}
}
