// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// The bytes of an order are a protocol with other languages: they are pinned.
func TestOrders(t *testing.T) {
	contract.Row(t, 165)
	ctx, b := context.Background(), mem.New(mem.Options{})
	good := manifest.Order{Store: "S", Writer: "ledger-0", Process: "P", Mode: manifest.Drain, Reason: "r", By: "op", Lasts: 60}
	for name, f := range map[string]func(*manifest.Order){
		"no store":   func(o *manifest.Order) { o.Store = "" },
		"no process": func(o *manifest.Order) { o.Process = "" },
		"no writer":  func(o *manifest.Order) { o.Writer = "" },
		"a way out":  func(o *manifest.Order) { o.Writer = "../manifest" },
		"no mode":    func(o *manifest.Order) { o.Mode = "Stop" },
		"no length":  func(o *manifest.Order) { o.Lasts = 0 },
		"for ever":   func(o *manifest.Order) { o.Lasts = 3601 },
	} {
		o := good
		f(&o)
		if err := manifest.PutOrder(ctx, b, "O1", o); !errors.Is(err, manifest.ErrInvalidOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{"", "../x", "a/b", strings.Repeat("x", 65)} {
		if err := manifest.PutOrder(ctx, b, id, good); !errors.Is(err, manifest.ErrInvalidOrder) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if _, err := manifest.ReadOrder(ctx, b, "ledger-0", "O1"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("before there is one: %v", err)
	}
	for _, id := range []string{"O1", "O2"} {
		if err := manifest.PutOrder(ctx, b, id, good); err != nil {
			t.Fatal(err)
		}
	}
	if err := manifest.PutOrder(ctx, b, "O1", good); !errors.Is(err, manifest.ErrUnknown) {
		t.Errorf("one id twice: %v", err)
	}
	if o, err := manifest.ReadOrder(ctx, b, "ledger-0", "O1"); err != nil || o != good {
		t.Errorf("%+v, %v", o, err)
	}
	raw, err := b.Get(ctx, "orders/ledger-0/O1")
	const body = `{"store":"S","writer":"ledger-0","process":"P","mode":"Drain","reason":"r","by":"op","lastsSeconds":60}`
	if err != nil || !strings.HasPrefix(string(raw.Body), "salvor order 1 sha256:") || !strings.HasSuffix(string(raw.Body), "\n"+body+"\n") {
		t.Errorf("%s, %v", raw.Body, err)
	}
	if n, err := manifest.DropOrders(ctx, b, "ledger-0", "O2"); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := manifest.ReadOrder(ctx, b, "ledger-0", "O2"); err != nil {
		t.Errorf("the one that was kept: %v", err)
	}
	if n, err := manifest.DropOrders(ctx, b, "ledger", ""); n != 0 || err != nil {
		t.Errorf("of another writer: %d, %v", n, err)
	}
}
