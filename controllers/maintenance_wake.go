// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// holders knows which StoreMaintenances are about which stores, so that what a pod
// says of a lock wakes them.
type holders struct {
	wake *wake

	mu sync.Mutex
	of map[types.NamespacedName][]string // stores by maintenance
}

// note remembers the stores of a maintenance.
func (h *holders) note(key types.NamespacedName, stores []v1alpha1.MaintainedStore) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = map[types.NamespacedName][]string{}
	}
	var names []string
	for _, s := range stores {
		names = append(names, s.Name)
	}
	h.of[key] = names
}

// about reports whether a maintenance is known to be about a store.
func (h *holders) about(key types.NamespacedName, store string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.of[key], store)
}

func (h *holders) forget(key types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, key)
}

// up wakes the maintenances of a store.
func (h *holders) up(store types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, names := range h.of {
		if key.Namespace == store.Namespace && slices.Contains(names, store.Name) {
			h.wake.up(key, urgent, 0)
		}
	}
}
