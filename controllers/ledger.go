// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/manifest"
)

// ledger remembers what is pending in each store, as far as this process has seen
// it: whose it is (an object's bytes never change), since when, and which
// RecoverySidecar stands for it. It saves requests and decides nothing; a process
// that has lost it reads again.
type ledger struct {
	mu     sync.Mutex
	stores map[types.UID]map[string]*pending
	hot    map[types.NamespacedName]bool
}

// pending is one sidecar that somebody still has to deal with.
type pending struct {
	key       string
	name      types.NamespacedName // of the RecoverySidecar; empty: none yet
	operation manifest.OperationID
	writer    manifest.WriterID // empty: the object cannot be read
	// first is when this process first saw it.
	first time.Time
	// detected is when its writer was first suspected; zero: never.
	detected time.Time
	// made is when its RecoverySidecar was asked for last: the cache may not show it yet.
	made time.Time
}

// cacheBehind is how long the cache may take to show what was created.
const cacheBehind = 2 * time.Second

// note remembers an operation, and returns what is known of it by now.
func (l *ledger) note(store types.UID, p pending, now time.Time) pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stores == nil {
		l.stores = map[types.UID]map[string]*pending{}
	}
	of := l.stores[store]
	if of == nil {
		of = map[string]*pending{}
		l.stores[store] = of
	}
	is := of[p.key]
	if is == nil {
		is = &pending{key: p.key, operation: p.operation, first: now}
		of[p.key] = is
	}
	if p.name.Name != "" {
		is.name = p.name
	}
	if p.writer != "" {
		is.writer, is.operation = p.writer, p.operation
	}
	if is.detected.IsZero() {
		is.detected = p.detected
	}
	if !is.detected.IsZero() && is.name.Name != "" {
		if l.hot == nil {
			l.hot = map[types.NamespacedName]bool{}
		}
		l.hot[is.name] = true
	}
	return *is
}

// making reports whether the RecoverySidecar of key is to be created: not by two
// looks at once, and not because the cache is behind.
func (l *ledger) making(store types.UID, key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.stores[store][key]
	if p == nil {
		return true
	}
	if now.Sub(p.made) < cacheBehind {
		return false
	}
	p.made = now
	return true
}

// unmade takes back what making noted of a store: one creation failed, or somebody
// deletes.
func (l *ledger) unmade(store types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.stores[store] {
		p.made = time.Time{}
	}
}

// get returns what is known of the sidecar at key.
func (l *ledger) get(store types.UID, key string) (pending, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.stores[store][key]
	if p == nil {
		return pending{}, false
	}
	return *p, true
}

// urgent reports whether a RecoverySidecar stands for an operation whose writer
// was seen to be lost, and not only listed.
func (l *ledger) urgent(name types.NamespacedName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hot[name]
}

// done forgets a sidecar that is gone.
func (l *ledger) done(store types.UID, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(store, key)
}

func (l *ledger) drop(store types.UID, key string) {
	if p := l.stores[store][key]; p != nil {
		delete(l.hot, p.name)
		delete(l.stores[store], key)
	}
}

// forget forgets a store.
func (l *ledger) forget(store types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.stores[store] {
		l.drop(store, key)
	}
	delete(l.stores, store)
}

// of returns what pends of one writer and of nobody known.
func (l *ledger) of(store types.UID, writer manifest.WriterID) (out []pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.stores[store] {
		if p.writer == writer || p.writer == "" {
			out = append(out, *p)
		}
	}
	return out
}

// keepOnly forgets what a complete listing did not show and was not seen after it
// began.
func (l *ledger) keepOnly(store types.UID, listed map[string]bool, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, p := range l.stores[store] {
		if !listed[key] && p.first.Before(began) && p.name.Name == "" {
			l.drop(store, key)
		}
	}
}
