// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"time"

	"github.com/salvor-io/salvor/objstore"
)

const (
	// MaxField bounds every identifier in a row: object keys have at most 512
	// bytes, a version number and a blank go before them.
	MaxField = 1024

	// MaxReason bounds the one free text of a row; longer text is cut.
	MaxReason = 4096

	// MaxBatch bounds the rows of one object, in bytes: well under what a
	// conditional put takes, and what Verify holds in memory.
	MaxBatch = 1 << 20

	// MaxRow bounds one row, in bytes. A row alone in its object may exceed
	// MaxBatch: an operation of thousands of tables is still one row.
	MaxRow = objstore.MaxObject - 4096

	// MaxBreaks bounds what Verify keeps. A chain that is broken in more ranges is
	// bad beyond doubt; the rest is counted.
	MaxBreaks = 1000

	// remembered bounds the rows whose operations a Log keeps in memory. Older
	// ones are read again when asked for.
	remembered = 1024

	// tries bounds how often one batch is sent: with the pauses below, about four
	// seconds, after which the caller's own backoff serves better.
	tries      = 8
	firstPause = 20 * time.Millisecond
	maxPause   = time.Second

	// probes bounds the gets that ask after objects that a listing left out.
	probes = 64
)
