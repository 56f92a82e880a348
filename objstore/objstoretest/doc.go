// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package objstoretest holds every object store to the text of package objstore:
// [Acceptance] is the contract line by line, the same for memory, directories,
// S3 in process and a real S3 server. [Wire] holds every driver that speaks HTTP to
// what does not depend on the provider: what writes is sent once, and a lost answer
// is Unknown.
//
// It also starts what such tests need: [StartVersitygw], a real S3 server as a
// child process, and [Proxy], which stands before a server and strips the
// condition from requests or drops answers on the way back. [StartFakeGCS] and
// [StartAzurite] start emulators of the other clouds (make test-emulators), and
// [Lossy] drops the answers of any of them.
package objstoretest
