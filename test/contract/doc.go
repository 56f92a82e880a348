// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package contract is how a test says what it proves.
//
// The contract (rows.txt) lists every capability of salvor with the check that
// has to show it. A test names the rows that it proves, first thing:
//
//	func TestArmBeforeFirstEffect(t *testing.T) {
//		contract.Row(t, 66)
//		...
//	}
//
// and nothing else: "make test" sets SALVOR_CONTRACT_DIR, and the test's result
// is appended there when it ends. Without that variable nothing is written.
//
//	Row ──► start line ──► ... the test ... ──► end line: pass, fail or skip
//	         │                                       │
//	         └── a start without an end did not finish: a crash, a timeout
//
// Every line carries a hash of the code that the test was built from (package
// tree). "make contract" (package ledger) believes a result only while that hash
// is the tree's: an old result is stale, not green.
//
// A test that is too long for "make test" asks Scale how much to do, or
// FullRunOnly; the full amount is done by "make prove". From ginkgo, pass
// GinkgoT(). A suite that tests what it does not import, a binary in a cluster
// for example, names that with Uses.
package contract
