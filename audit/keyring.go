// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// CurrentName is the entry of a keyring that names the key to sign with.
const CurrentName = "current"

// minKey is the shortest key taken, in bytes: 128 bits.
const minKey = 16

// Keyring holds the keys of a chain by id. One of them is current and signs new
// rows; the others are retired and still verify the rows that they signed. To
// rotate, add a key and then name it current; a key that is taken away leaves its
// rows unverifiable. The zero and the nil Keyring hold no key.
type Keyring struct {
	current string // as named; may name no key
	keys    map[string][]byte
}

// NewKeyring takes the data of a Secret: a key under each key id, and under
// "current" the id of the key that signs. Line ends after a key or an id are not
// part of it. A keyring without a usable current key verifies and does not sign.
func NewKeyring(data map[string][]byte) (*Keyring, error) {
	k := &Keyring{keys: make(map[string][]byte, len(data))}
	for _, id := range slices.Sorted(maps.Keys(data)) {
		value := bytes.TrimRight(data[id], "\r\n")
		if id == CurrentName {
			k.current = strings.TrimSpace(string(value))
			continue
		}
		if !validName(id) {
			return nil, fmt.Errorf("audit key id %q: only letters, digits, '-', '_' and '.' are allowed", id)
		}
		if len(value) < minKey {
			return nil, fmt.Errorf("audit key %s has %d bytes, at least %d are needed: make one with 32 random bytes", id, len(value), minKey)
		}
		k.keys[id] = bytes.Clone(value)
	}
	return k, nil
}

// ReadKeyring reads a directory as a Secret is mounted: one file per entry.
// Names that begin with a dot and directories are passed over.
func ReadKeyring(dir string) (*Keyring, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read audit keys: %w", err)
	}
	data := make(map[string][]byte, len(entries))
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(path) // through the links of a mounted Secret
		if err != nil {
			return nil, fmt.Errorf("read audit keys: %w", err)
		}
		if info.IsDir() {
			continue
		}
		if data[e.Name()], err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("read audit keys: %w", err)
		}
	}
	return NewKeyring(data)
}

// IDs returns the ids of all keys, sorted.
func (k *Keyring) IDs() []string {
	if k == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(k.keys))
}

// Current returns the id of the key that signs, or an error that wraps
// ErrNoCurrentKey and says what to do.
func (k *Keyring) Current() (string, error) {
	switch {
	case k == nil || k.current == "":
		return "", fmt.Errorf("%w: the keyring has no entry %q: set it to one of the key ids %q", ErrNoCurrentKey, CurrentName, k.IDs())
	case k.keys[k.current] == nil:
		return "", fmt.Errorf("%w: entry %q names key %q, which is not in the keyring: add it, or name one of %q", ErrNoCurrentKey, CurrentName, k.current, k.IDs())
	}
	return k.current, nil
}

// macs makes MACs with the keys of a ring. It keeps the state of each key's
// HMAC, which halves the cost of a row; it is for one goroutine.
type macs struct {
	ring   *Keyring
	states map[string]hash.Hash
}

func (k *Keyring) macs() *macs { return &macs{ring: k, states: map[string]hash.Hash{}} }

// sum returns the MAC of a row's hash, false when the key is not in the ring.
func (m *macs) sum(keyID string, hash [sha256.Size]byte) (string, bool) {
	state, ok := m.states[keyID]
	if !ok {
		if m.ring == nil || m.ring.keys[keyID] == nil {
			return "", false
		}
		state = hmac.New(sha256.New, m.ring.keys[keyID])
		m.states[keyID] = state
	}
	state.Reset()
	state.Write(hash[:])
	return formatMAC(state.Sum(nil)), true
}

// validName reports whether s can be a key id or the name of a chain.
func validName(s string) bool {
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 128 && s[0] != '.'
}
