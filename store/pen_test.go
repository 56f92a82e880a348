// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/salvor-io/salvor/store"
)

// A part that is put together by hand is, byte for byte, what the envelope's own encoder
// makes of it.
func TestAPartIsWhatTheEnvelopeSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := []store.Row{}
		for range rapid.IntRange(0, 200).Draw(t, "rows") {
			row, err := json.Marshal(map[string]string{rapid.String().Draw(t, "name"): rapid.String().Draw(t, "value")})
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, store.Row{Key: rapid.String().Draw(t, "key"), Row: row})
		}
		got, want, err := store.EncodePart(rows)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%v\ngot  %s\nwant %s", err, got, want)
		}
	})
}

// A record too.
func TestARecordIsWhatJSONSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tx := store.Transaction{ID: rapid.String().Draw(t, "id")}
		for range rapid.IntRange(1, 20).Draw(t, "statements") {
			s := store.Statement{Op: store.OpDelete, Table: rapid.String().Draw(t, "table"), Key: rapid.String().Draw(t, "key")}
			if rapid.Bool().Draw(t, "put") {
				row, err := json.Marshal(map[string]string{"v": rapid.String().Draw(t, "value")})
				if err != nil {
					t.Fatal(err)
				}
				s.Op, s.Row = store.OpPut, row
			}
			tx.Statements = append(tx.Statements, s)
		}
		got, want, err := store.EncodeRecord(tx)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%v\ngot  %s\nwant %s", err, got, want)
		}
	})
}
