// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// fixtures are roots that stores of older releases have left behind, with one
// confirmed operation pending: one for each format that a sidecar has had. They are
// never changed.
var fixtures = map[int]string{1: "root/"}

// leftBehind is a copy of the root, and the operation that pends in it.
func leftBehind(t *testing.T, dir string) (objstore.Bucket, *recovery.Sidecar) {
	t.Helper()
	b := mem.New(mem.Options{})
	var pending *recovery.Sidecar
	for name, raw := range readGolden(t) {
		key, ok := strings.CutPrefix(name, dir)
		if !ok {
			continue
		}
		_, err := b.PutIfAbsent(t.Context(), key, raw, "fixture")
		must(t, err)
		if strings.HasPrefix(key, recovery.Prefix) && !strings.HasSuffix(key, ".confirmed") {
			pending, err = recovery.DecodeSidecar(raw)
			must(t, err)
		}
	}
	if pending == nil {
		t.Fatalf("nothing pends in %s", dir)
	}
	return b, pending
}

// heal recovers one listed name with today's code.
func heal(t *testing.T, b objstore.Bucket, key string) (recovery.Report, *manifest.State) {
	t.Helper()
	m, err := manifest.Open(t.Context(), b, manifest.Options{NewID: func() string { return "healer" }})
	must(t, err)
	keys, err := audit.NewKeyring(map[string][]byte{"k1": []byte("golden-golden-golden"), audit.CurrentName: []byte("k1")})
	must(t, err)
	trail, err := audit.Open(b, "main", keys, audit.Options{Recoverer: "healer"})
	must(t, err)
	r := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: "healer"})
	rep, err := r.Recover(t.Context(), key, recovery.RollForwardOnly{EndEpoch: true})
	must(t, err)
	return rep, m.View()
}

// What an older release has left is healed on the terms of its own format.
func TestAnOperationOfEachFormatIsRecovered(t *testing.T) {
	contract.Row(t, 67)
	for format, dir := range fixtures {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			b, s := leftBehind(t, dir)
			key := recovery.SidecarKey(s.Operation)
			o, err := b.Get(t.Context(), key)
			must(t, err)
			h, length, err := envelope.ParseHeader(o.Body)
			if err != nil || h.Format != format {
				t.Fatalf("%s is of format %d, %v", key, h.Format, err)
			}
			var wrote struct { // read here, and not by the code that is tested
				Tables []struct {
					Table    manifest.TableID  `json:"table"`
					Number   uint64            `json:"number"`
					Position manifest.Position `json:"position"`
				} `json:"tables"`
			}
			must(t, json.Unmarshal(o.Body[length:], &wrote))
			rep, st := heal(t, b, key)
			want := wrote.Tables[0]
			pin := st.Tables[want.Table]
			if !rep.Complete || rep.Verdict.Decision != recovery.RollForward || rep.Row == nil || rep.Row.Operation != string(s.Operation) ||
				pin.Number != want.Number || pin.Operation != s.Operation || pin.Position != want.Position {
				t.Errorf("%+v: table %s is pinned to %+v, want version %d at position %d", rep.Verdict, want.Table, pin, want.Number, want.Position)
			}
			for e, err := range b.List(t.Context(), recovery.Prefix, "") {
				t.Errorf("left: %s, %v", e.Key, err)
			}
		})
	}
	// A new format comes with a root of it.
	_, s := leftBehind(t, fixtures[1])
	for s.Level = 1; s.Level < 100; s.Level++ {
		raw, err := recovery.EncodeSidecar(s)
		must(t, err)
		h, _, err := envelope.ParseHeader(raw)
		must(t, err)
		if fixtures[h.Format] == "" {
			t.Fatalf("sidecars are written in format %d, and no fixture has it", h.Format)
		}
	}
}

// What a newer release has left is kept as it is, and said to be newer; its tables
// stay with it.
func TestAnOperationOfANewerFormatIsKept(t *testing.T) {
	contract.Row(t, 67)
	for _, suffix := range []string{"", ".confirmed"} {
		t.Run("recovery/<op>"+suffix, func(t *testing.T) {
			b, s := leftBehind(t, fixtures[1])
			key := recovery.SidecarKey(s.Operation)
			o, err := b.Get(t.Context(), key+suffix)
			must(t, err)
			newer := bytes.Replace(o.Body, []byte(" 1 sha256:"), []byte(" 2 sha256:"), 1)
			must(t, b.Delete(t.Context(), key+suffix))
			_, err = b.PutIfAbsent(t.Context(), key+suffix, newer, "newer")
			must(t, err)
			for range 2 {
				rep, st := heal(t, b, key)
				if v := rep.Verdict; rep.Complete || v.Decision != recovery.Refuse || v.Reason != recovery.ReasonNewerFormat || !strings.Contains(v.Message, "upgrade salvor") {
					t.Errorf("%+v", rep)
				}
				if _, decided := st.Outcome(s.Operation); decided || st.Version != 25 {
					t.Errorf("publication %d, decided %v", st.Version, decided)
				}
			}
			kept, err := b.Get(t.Context(), key+suffix)
			if err != nil || !bytes.Equal(kept.Body, newer) {
				t.Errorf("not kept: %v", err)
			}
			if _, err := b.Get(t.Context(), key); errors.Is(err, objstore.ErrNotFound) {
				t.Error("the sidecar is gone")
			}
		})
	}
}
