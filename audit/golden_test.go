// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore/mem"
)

// The bytes of format 1. They were computed by another program from the text of
// Row.Canonical. Never edit this file: a chain that exists cannot be edited either.

var goldenRow = Row{
	Format: 1, Chain: "main", Batch: 2, ID: 3,
	Time: time.Date(2026, 3, 1, 12, 30, 45, 7, time.UTC),
	Kind: RolledForward, Operation: "01JX5ZOP", StoreUID: "u-1",
	Writer: "orders-0", WriterKind: "confirmed", Actor: "salvor:recovery",
	ManifestVersion: 42, PublishedBy: ByRecovery, Reason: "writer's pod is gone: é <ok>",
	Tables: []TableChange{
		{Table: "orders", From: "tables/orders/7-a", To: "tables/orders/8-b"},
		{Table: "stock", From: "", To: "tables/stock/1-b"},
	},
	Recoverer: "proc-9", Attempt: "att-1",
	Previous: "sha256:abababababababababababababababababababababababababababababababab",
	KeyID:    "k1",
}

const goldenCanonical = "" +
	"\x00\x00\x00\x12" + "salvor audit row 1" + // tag: 18 bytes
	"\x00\x00\x00\x04" + "main" + // chain
	"\x00\x00\x00\x01" + "2" + // batch
	"\x00\x00\x00\x01" + "3" + // id
	"\x00\x00\x00\x1e" + "2026-03-01T12:30:45.000000007Z" + // time
	"\x00\x00\x00\x0d" + "RolledForward" + // kind
	"\x00\x00\x00\x08" + "01JX5ZOP" + // operation
	"\x00\x00\x00\x03" + "u-1" + // store
	"\x00\x00\x00\x08" + "orders-0" + // writer
	"\x00\x00\x00\x09" + "confirmed" + // writer kind
	"\x00\x00\x00\x0f" + "salvor:recovery" + // actor
	"\x00\x00\x00\x02" + "42" + // manifest version
	"\x00\x00\x00\x08" + "recovery" + // published by
	"\x00\x00\x00\x1d" + "writer's pod is gone: \xc3\xa9 <ok>" + // reason: 29 bytes of UTF-8
	"\x00\x00\x00\x01" + "2" + // number of tables
	"\x00\x00\x00\x06" + "orders" + // first table
	"\x00\x00\x00\x11" + "tables/orders/7-a" + // from
	"\x00\x00\x00\x11" + "tables/orders/8-b" + // to
	"\x00\x00\x00\x05" + "stock" + // second table
	"\x00\x00\x00\x00" + // from: there was none
	"\x00\x00\x00\x10" + "tables/stock/1-b" + // to
	"\x00\x00\x00\x06" + "proc-9" + // recoverer
	"\x00\x00\x00\x05" + "att-1" + // attempt
	"\x00\x00\x00\x47" + "sha256:abababababababababababababababababababababababababababababababab" + // previous
	"\x00\x00\x00\x02" + "k1" // key id

const (
	goldenHash = "sha256:5282ad9c64ea3077ffccaa960f5c47de0b8e37a3155d2a6b78b0696f3d5ac32f"
	// The key is the 32 bytes "0123456789abcdef0123456789abcdef".
	goldenMAC = "hmac-sha256:32021c318ed8b715bb6e8682f63746a5d2db5ae3eacd705a47d8a41e387591e0"

	// One object with one row, the first of a chain.
	goldenObject = `salvor audit 1 sha256:854913ee9e44997a851955c3e3b17d74111fbb5cb2e1ee8ff436467315818c01` + "\n" + `{"rows":[{` +
		`"format":1,"chain":"main","batch":1,"id":1,"time":"2026-03-01T12:30:46.000000007Z",` +
		`"kind":"RolledForward","operation":"a","store":"u-1","writer":"orders-0","writerKind":"confirmed",` +
		`"actor":"salvor:recovery","manifestVersion":42,"publishedBy":"recovery","reason":"writer gone",` +
		`"tables":[{"table":"orders","from":"tables/orders/7-x","to":"tables/orders/8-a"}],` +
		`"recoverer":"p","attempt":"p-1","previous":"","keyID":"k1",` +
		`"hash":"sha256:d6984bf8ce62aaa57ce811e631770160ec0d402c982538e0c2aeb66d31096bf6",` +
		`"mac":"hmac-sha256:6e6ea34cbbe418ba466306fa4b814cbca6b73432323e86502ada7a114aa46b60"}]}` + "\n"
)

func TestGoldenRow(t *testing.T) {
	if got := string(goldenRow.Canonical()); got != goldenCanonical {
		t.Errorf("canonical form changed:\n%q\nwant\n%q", got, goldenCanonical)
	}
	sealed := reseal(goldenRow, keyOne)
	if sealed.Hash != goldenHash || sealed.MAC != goldenMAC {
		t.Errorf("hash %s, MAC %s", sealed.Hash, sealed.MAC)
	}
}

func TestGoldenObject(t *testing.T) {
	b := mem.New(mem.Options{})
	mustAppend(t, process(t, b, "p", ring(t, "k1")), forward("a"), Head{})
	if got := string(get(t, b, 1)); got != goldenObject {
		t.Errorf("object changed:\n%s\nwant\n%s", got, goldenObject)
	}
	// And what was written by an older salvor is read.
	again := mem.New(mem.Options{})
	put(t, again, 1, []byte(goldenObject))
	mustBeGood(t, again)
}

// The hash covers every field of a row but itself and the MAC: a field that is
// added and forgotten in Canonical is a field that nobody signs.
func TestHashCoversEveryField(t *testing.T) {
	raw, err := json.Marshal(&goldenRow)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		switch v := value.(type) {
		case string:
			fields[name] = v + "x"
			if name == "time" {
				fields[name] = "2026-03-01T12:30:45.000000008Z"
			}
		case float64:
			fields[name] = v + 1
		default:
			fields[name] = []TableChange{{Table: "orders", From: "tables/orders/7-a", To: "tables/orders/8-bx"}, goldenRow.Tables[1]}
		}
		changed, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		var row Row
		if err := json.Unmarshal(changed, &row); err != nil {
			t.Fatal(err)
		}
		same := string(row.Canonical()) == goldenCanonical
		switch name {
		case "hash", "mac": // made from it
		case "format": // in the tag; another format is another function
			if !same {
				t.Error("format 2 has its own tag: give it its own golden test")
			}
		default:
			if same {
				t.Errorf("field %q is not hashed", name)
			}
		}
		fields[name] = value
	}
}
