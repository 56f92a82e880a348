// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"sync"
	"time"
)

// intake bounds the bytes of transactions that are in memory and not answered yet, from
// before their first byte is read. Those that are parked have a bound of their own, as
// large: reads go on while writers wait for the end of a write lock.
type intake struct {
	max int64

	mu           sync.Mutex
	used, parked int64
}

// take makes room for n bytes, or refuses them. One transaction alone is always taken.
func (i *intake) take(n int64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.used > 0 && i.used+n > i.max {
		return overfull("in flight", i.used, i.max)
	}
	i.used += n
	return nil
}

func (i *intake) give(n int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used -= n
}

// park lets n bytes wait apart, or refuses them.
func (i *intake) park(n int64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.parked > 0 && i.parked+n > i.max {
		return overfull("waiting for the end of a write lock", i.parked, i.max)
	}
	i.used, i.parked = i.used-n, i.parked+n
	return nil
}

// unpark takes them back. They have their place, as the transaction has.
func (i *intake) unpark(n int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used, i.parked = i.used+n, i.parked-n
}

// bytes returns what is in flight, and what waits apart.
func (i *intake) bytes() (used, parked int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.used, i.parked
}

func overfull(where string, used, most int64) error {
	return &Refusal{Reason: ReasonOverloaded, Message: fmt.Sprintf("transactions of %d bytes are %s, %d is the most: send it again later", used, where, most), RetryAfter: time.Second}
}
