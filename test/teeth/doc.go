// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package teeth shows that salvor's tests bite.
//
// Each <name>.patch in this folder is a mutant: a unified diff that plants one
// bug in the product, below a header that says which tests must then fail:
//
//	Rows: 66, 71
//	Package: ./recovery
//	Run: TestCrashTable
//	Story: the writer applies before it arms, so a crash leaves effects that nobody finds.
//	diff --git a/recovery/commit.go b/recovery/commit.go
//	...
//
// A mutant is caught when, in a copy of the tree with the patch applied, a test
// that names the row fails: each row of the header must be named, by
// contract.Row, in a test that passes without the patch and fails with it.
// Anything else than a failing test is an error and no catch: a patch that does
// not apply or not compile, a test that is skipped or not there, a build that
// fails, a hang (unless hanging is what the bug does: "Timeout: ok").
//
//	copy ── baseline: the tests pass ──► patch ──► the tests fail? ──► restore ──► next
//	          once per command                     caught | survived | error
//
// The optional keys of a header:
//
//	Tags: failpoint        build tags
//	Env: A=1 B=2           for the tests
//	Race: yes              run them with the race detector
//	Tier: prove            for tests that bite in a full run only, or are too slow for the
//	                       sample of "make test" (default: test)
//	Timeout: ok            the bug may show as a hang
//	Says: <regexp>         what the failing test has to print, where it may fail for a wrong reason
//	Group: lost answer     it is a bug of the protocol, of this part of it (see [Groups]):
//	                       it has to be found within 60 CPU-seconds
//	Unseen: yes            the tests of the library pass with it: it falls to test/sim only
//	                       (shown by "make prove", which runs them: teeth -unseen)
//	Closes: H3, N5         holes of the protocol's drafts that the bug opens again (see [Holes])
//	Replays: lance #7722   the published bug of another system that it is one like
//	Setup: make image      run in the copy before the tests, patched, and after it was restored;
//	                       such mutants run alone
//
// A patch touches the product only: no _test.go, no testdata.
package teeth
