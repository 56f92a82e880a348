// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

func TestNewKeyring(t *testing.T) {
	for _, tt := range []struct {
		name    string
		data    map[string][]byte
		current string // "": none
		ids     []string
		wantErr string
	}{
		{name: "nothing", data: nil},
		{name: "one key, current", data: map[string][]byte{"k1": keyOne, "current": []byte("k1\n")}, current: "k1", ids: []string{"k1"}},
		{name: "two keys", data: map[string][]byte{"k1": keyOne, "k2": keyTwo, "current": []byte(" k2 ")}, current: "k2", ids: []string{"k1", "k2"}},
		{name: "only retired keys", data: map[string][]byte{"k1": keyOne}, ids: []string{"k1"}},
		{name: "current names no key", data: map[string][]byte{"k1": keyOne, "current": []byte("k3")}, ids: []string{"k1"}},
		{name: "a key too short", data: map[string][]byte{"k1": []byte("secret")}, wantErr: "k1 has 6 bytes"},
		{name: "a line end is no key", data: map[string][]byte{"k1": []byte("0123456789abcde\n")}, wantErr: "k1 has 15 bytes"},
		{name: "an id that no file can have", data: map[string][]byte{"a/b": keyOne}, wantErr: `"a/b"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := NewKeyring(tt.data)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			current, err := k.Current()
			if current != tt.current || (err == nil) != (tt.current != "") || err != nil && !errors.Is(err, ErrNoCurrentKey) {
				t.Errorf("current %q, %v", current, err)
			}
			if !slices.Equal(k.IDs(), tt.ids) {
				t.Errorf("ids %q", k.IDs())
			}
		})
	}
}

// A Secret mounted into a pod: files are links into a hidden directory.
func TestReadKeyring(t *testing.T) {
	dir := t.TempDir()
	hidden := filepath.Join(dir, "..2026_03_01")
	if err := os.Mkdir(hidden, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"k1": append(slices.Clone(keyOne), '\n'), "k2": keyTwo, "current": []byte("k2\n")} {
		if err := os.WriteFile(filepath.Join(hidden, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..2026_03_01", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	k, err := ReadKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := mem.New(mem.Options{})
	mustAppend(t, process(t, b, "p", k), forward("a"), Head{})
	mustBeGood(t, b) // by keys that were not read from files
	if got := mustAppend(t, process(t, b, "p", k), forward("b"), Head{}).Row.KeyID; got != "k2" {
		t.Errorf("signed with %q", got)
	}
	if _, err := ReadKeyring(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Rotate in mid-chain, then retire, then take keys away.
//
//	a | b | c | d
//	k1  k1  k2  k2
func TestRotation(t *testing.T) {
	contract.Row(t, 21)
	b := draw(t, "a | b")
	l := process(t, b, "q", ring(t, "k2"))
	mustAppend(t, l, forward("c"), Head{})
	head := mustAppend(t, l, forward("d"), Head{}).Head

	for _, tt := range []struct {
		name   string
		keys   *Keyring
		append error
		want   []string
	}{
		{"rotated", ring(t, "k2"), nil, nil},
		{"rotated back", ring(t, "k1"), nil, nil},
		{"no key is current", ring(t, ""), ErrNoCurrentKey, nil},
		{"a key is current that is not there", ring(t, "k3"), ErrNoCurrentKey, nil},
		{"k1 taken away", keyring(t, map[string][]byte{"k2": keyTwo, "current": []byte("k2")}), nil, []string{"1-2: 1-2 Unverifiable"}},
		{"k2 taken away", keyring(t, map[string][]byte{"k1": keyOne, "current": []byte("k1")}), nil, []string{"3-4: 3-4 Unverifiable"}},
		{"k1 replaced under its name", keyring(t, map[string][]byte{"k1": keyTwo, "k2": keyTwo}), &Break{Why: Forged}, []string{"1-2: 1-2 Forged"}},
		{"no keys", keyring(t, nil), ErrNoCurrentKey, []string{"1-4: 1-4 Unverifiable"}},
		{"no keyring", nil, ErrNoCurrentKey, []string{"1-4: 1-4 Unverifiable"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rep := verify(t, b, tt.keys, head)
			if got := told(rep.Breaks); !slices.Equal(got, tt.want) {
				t.Errorf("told %q, want %q", got, tt.want)
			}
			there := b.Clone()
			_, err := process(t, there, "q", tt.keys).AppendOnce(t.Context(), forward("e"), Head{})
			var want, broken *Break
			if errors.As(tt.append, &want) {
				if !errors.As(err, &broken) || broken.Why != want.Why {
					t.Errorf("append: %v", err)
				}
			} else if !errors.Is(err, tt.append) {
				t.Errorf("append: %v", err)
			}
			if n := len(keys(t, there)); (n == 5) != (tt.append == nil) {
				t.Errorf("%d objects", n)
			}
		})
	}
	t.Run("no current key is needed for a row that is there", func(t *testing.T) {
		if a := mustAppend(t, process(t, b, "q", ring(t, "")), forward("c"), Head{}); !a.Already {
			t.Errorf("got %+v", a)
		}
	})
}
