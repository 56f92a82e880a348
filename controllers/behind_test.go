// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// slowWatch lets nothing of a kind's watches through after the first write of a
// status, until it is let go: the operator's view stays behind its own words.
type slowWatch struct {
	inner    http.RoundTripper
	resource string

	closing sync.Once
	held    chan struct{} // closed by the write
	letGo   chan struct{}
}

func (s *slowWatch) RoundTrip(q *http.Request) (*http.Response, error) {
	if strings.Contains(q.URL.Path, s.resource) && strings.HasSuffix(q.URL.Path, "/status") {
		s.closing.Do(func() { close(s.held) })
	}
	res, err := s.inner.RoundTrip(q)
	if err == nil && q.URL.Query().Get("watch") != "" && strings.HasSuffix(q.URL.Path, s.resource) {
		res.Body = &heldBody{res.Body, s}
	}
	return res, err
}

type heldBody struct {
	io.ReadCloser
	s *slowWatch
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	select {
	case <-b.s.held:
		<-b.s.letGo
	default:
	}
	return n, err
}

// The cache is behind what the operator itself has written: it is woken by each
// listing, which does not show the object any more, and asks nothing about it again.
func TestWhatIsCompleteIsNotRecoveredAgainByAStaleView(t *testing.T) {
	contract.Row(t, 128)
	slow := &slowWatch{resource: "recoverysidecars", held: make(chan struct{}), letGo: make(chan struct{})}
	w, pods := ledgerWorld(t, 1, func(w *world) {
		w.opt.SweepEvery = 100 * time.Millisecond
		w.wrap = func(rt http.RoundTripper) http.RoundTripper { slow.inner = rt; return slow }
	})
	release := sync.OnceFunc(func() { close(slow.letGo) })
	t.Cleanup(release) // before the operator is stopped
	op, _, _ := pods[0].confirmedCommit("accounts")
	key := recovery.SidecarKey(op)
	pods[0].kill()
	<-slow.held
	looked := func() (lists, again int) {
		gone := false
		for _, c := range w.root.Calls() {
			switch {
			case c.Verb == fault.Delete && c.Key == key:
				gone = true
			case gone && strings.HasPrefix(c.Key, key):
				again++
			case gone && c.Verb == fault.List && strings.HasPrefix(c.Key, recovery.Prefix):
				lists++
			}
		}
		return lists, again
	}
	eventually(t, "four listings that do not show it", func() bool { lists, _ := looked(); return lists >= 4 })
	if _, again := looked(); again > 0 {
		t.Errorf("%d requests about operation %s after its sidecar was deleted: it was recovered again", again, op)
	}
	release()
	w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
}
