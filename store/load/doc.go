// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package load puts transactions on reference stores whose loss, in whole or by
// half, can be told afterwards.
//
//	worker 3 of run 01KA, its 17th transaction, over three tables:
//
//	load0 / 01KA-w3-k17   {"token":"01KA-w3-17","seq":17,"of":3}
//	load1 / 01KA-w3-k17   {"token":"01KA-w3-17","seq":17,"of":3}     one transaction, id 01KA-w3-17
//	load2 / 01KA-w3-k17   {"token":"01KA-w3-17","seq":17,"of":3}
//	        -> 200        {"prefix":"ledger-0.","key":"01KA-w3-k17","seq":17,"of":3}   fsynced into the file of acknowledgements
//
// A worker sends one transaction after the other and each again, under its id,
// until it is answered: so the rows of one key have growing numbers. A worker uses
// a bounded number of keys and writes them over and over.
//
//	Lost   the key is not there, or with a lower number than was acknowledged
//	Half   the tables of one key do not hold the same token
//
// A higher number than the acknowledged one is fine: its answer was lost.
package load
