// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build emulators

package azblob_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/azblob"
	"github.com/salvor-io/salvor/objstore/objstoretest"
)

var containers atomic.Int32

// newContainer creates a container on the emulator.
func newContainer(t *testing.T, endpoint string) azblob.Options {
	t.Helper()
	name := fmt.Sprintf("container-%d", containers.Add(1))
	key, err := container.NewSharedKeyCredential(objstoretest.AzuriteAccount, objstoretest.AzuriteKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(endpoint+"/"+name, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatalf("create container: %v", err)
	}
	return azblob.Options{Container: name, Endpoint: endpoint, Account: objstoretest.AzuriteAccount, AccountKey: objstoretest.AzuriteKey}
}

func TestAcceptanceAzurite(t *testing.T) {
	endpoint := objstoretest.StartAzurite(t)
	objstoretest.Acceptance(t, func() objstore.Bucket { return open(t, newContainer(t, endpoint)) })
}

func TestProbeAzurite(t *testing.T) {
	b := open(t, newContainer(t, objstoretest.StartAzurite(t)))
	if err := objstore.Probe(t.Context(), b, "probe"); err != nil {
		t.Fatal(err)
	}
}

// The put was applied, the answer never came.
func TestADroppedAnswerAzurite(t *testing.T) {
	endpoint := objstoretest.StartAzurite(t)
	lossy := objstoretest.StartLossy(t, endpoint)
	o := newContainer(t, endpoint)
	o.Endpoint = lossy.Endpoint
	b := open(t, o)
	lossy.DropAnswers(func(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodDelete })
	for _, size := range []int{0, 100, objstore.MaxObject} {
		key, body := fmt.Sprintf("manifest/%d", size), bytes.Repeat([]byte("x"), size)
		before := len(lossy.Requests())
		r, err := b.PutIfAbsent(t.Context(), key, body, "attempt-1")
		if r.Outcome != objstore.Unknown || err == nil {
			t.Fatalf("%d bytes: %v, %v; want Unknown", size, r.Outcome, err)
		}
		if got := lossy.Requests()[before:]; len(got) != 1 {
			t.Errorf("%d bytes: %q; want one request", size, got)
		}
		if o, err := b.Get(t.Context(), key); err != nil || !bytes.Equal(o.Body, body) {
			t.Errorf("%d bytes: not applied: %v", size, err)
		}
	}
	if err := b.Delete(t.Context(), "manifest/0"); err == nil {
		t.Error("a delete without an answer is success")
	}
	lossy.DropAnswers(nil)
	if r, err := b.PutIfAbsent(t.Context(), "manifest/100", nil, "attempt-2"); r.Outcome != objstore.Exists || err != nil {
		t.Errorf("then: %v, %v; want Exists", r.Outcome, err)
	}
}
