// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"testing"

	"github.com/salvor-io/salvor/objstore/mem"
)

// rows/s of one core, against a bucket that costs nothing; H is what an HMAC
// over a row's canonical form costs, the yardstick of the same run.

func benchRows(n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = forward(fmt.Sprintf("01JX5ZOP%018d", i))
	}
	return rows
}

func perSecond(b *testing.B, rows int) {
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkH(b *testing.B) {
	row, m := goldenRow, ring(b, "k1").macs()
	c := newChecker("main", "", nil)
	for b.Loop() {
		m.sum("k1", c.hash(&row))
	}
	perSecond(b, 1)
}

func BenchmarkAppendAll(b *testing.B) {
	const n = 1000
	rows := benchRows(n)
	for b.Loop() {
		if _, err := process(b, mem.New(mem.Options{}), "p", ring(b, "k1")).AppendAll(b.Context(), rows, Head{}); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, n)
}

func BenchmarkAppendOnce(b *testing.B) {
	l := process(b, mem.New(mem.Options{}), "p", ring(b, "k1"))
	var head Head
	for i := 0; b.Loop(); i++ {
		head = mustAppend(b, l, forward(fmt.Sprint("op", i)), head).Head
	}
	perSecond(b, 1)
}

func BenchmarkVerify(b *testing.B) {
	const n = 1000
	bucket := mem.New(mem.Options{})
	if _, err := process(b, bucket, "p", ring(b, "k1")).AppendAll(b.Context(), benchRows(n), Head{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if rep := verify(b, bucket, ring(b, "k1")); rep.Verdict() != Good {
			b.Fatal(rep.Breaks)
		}
	}
	perSecond(b, n)
}
