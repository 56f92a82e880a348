// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/s3serve"
	"github.com/salvor-io/salvor/recovery"
)

// watch stands between a writer and its root, and holds every request against the
// rules, in the order in which they come.
type watch struct {
	b     objstore.Bucket
	do    s3serve.Func
	fault *fault

	mu         sync.Mutex
	violations []Violation
	requests   int
	// st is the newest state that was replayed.
	st *manifest.State
	// sidecars that the writer armed, also those that are gone; armed is when.
	sidecars map[manifest.OperationID]*recovery.Sidecar
	armed    map[manifest.OperationID]int
	attempts map[string]string
	// When, in requests, the writer last did something.
	listedSidecars, readManifest, listedBoundary, created, told int
}

func newWatch(b objstore.Bucket) *watch {
	return &watch{
		b: b, do: s3serve.Bucket(b), fault: &fault{}, attempts: map[string]string{},
		sidecars: map[manifest.OperationID]*recovery.Sidecar{}, armed: map[manifest.OperationID]int{},
	}
}

func (w *watch) violate(r Rule, key, detail string, args ...any) {
	v := Violation{r, key, fmt.Sprintf(detail, args...)}
	for _, have := range w.violations {
		if have == v {
			return
		}
	}
	w.violations = append(w.violations, v)
}

// serve does one request, unless the case has something else in mind.
func (w *watch) serve(ctx context.Context, r *s3serve.Request) *s3serve.Response {
	ctx = context.WithoutCancel(ctx) // a writer that is killed does not take its request back
	if r.Verb == s3serve.Put || r.Verb == s3serve.Delete {
		if res := w.fault.before(r); res != nil {
			return res
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	if r.Verb == s3serve.Delete {
		w.delete(ctx, r.Key)
	}
	res := w.do(ctx, r)
	switch {
	case r.Verb == s3serve.List && strings.HasPrefix("recovery/", r.Key) && r.After == "":
		w.listedSidecars = w.requests
	case r.Verb == s3serve.List && strings.HasPrefix(r.Key, "boundary/"):
		w.listedBoundary = w.requests
	case r.Verb == s3serve.Get && strings.HasPrefix(r.Key, manifest.Prefix):
		w.readManifest = w.requests
	case r.Verb == s3serve.Put && !r.IfAbsent:
		w.violate(CreateOnly, r.Key, "a put without If-None-Match: *")
	case r.Verb == s3serve.Put && res.Status == http.StatusOK:
		w.put(ctx, r.Key, r.Body)
	}
	if r.Verb == s3serve.Put || r.Verb == s3serve.Delete {
		if lost := w.fault.after(r); lost != nil {
			return lost
		}
	}
	return res
}

// put looks at an object that was just created.
func (w *watch) put(ctx context.Context, key string, raw []byte) {
	kind, ok := kindOf(key)
	switch {
	case !ok:
		w.violate(Names, key, "no object has this name")
	case kind == "" || kind == "audit":
	case kind == "manifest":
		w.publication(ctx, key, raw)
	case kind == version || kind == versionPart:
		w.effect(ctx, key, kind, raw)
	case kind == "sidecar":
		w.arm(ctx, key, raw)
	case kind == "confirmed":
		w.confirm(ctx, key, raw)
	default:
		w.whole(key, kind, raw)
		if kind == "checkpoint" {
			w.checkpoint(key, raw)
		}
	}
}

// whole checks kind and digest.
func (w *watch) whole(key, kind string, raw []byte) bool {
	h, at, err := envelope.ParseHeader(raw)
	switch {
	case err != nil:
		w.violate(Envelope, key, "%v", err)
	case kind != "" && h.Kind != kind:
		w.violate(Envelope, key, "it is of kind %q, its name says %q", h.Kind, kind)
	case envelope.Digest(raw[at:]) != h.Digest:
		w.violate(Envelope, key, "its first line says %s, its body has %s", h.Digest, envelope.Digest(raw[at:]))
	default:
		return true
	}
	return false
}

func (w *watch) arm(ctx context.Context, key string, raw []byte) {
	s, err := recovery.DecodeSidecar(raw)
	if err != nil {
		w.violate(Plan, key, "%v", err)
		return
	}
	if recovery.SidecarKey(s.Operation) != key {
		w.violate(Plan, key, "it says that it is of operation %s", s.Operation)
	}
	if first, ok := w.attempts[s.Attempt]; ok {
		w.violate(IDsOnce, key, "attempt id %s is that of %s", s.Attempt, first)
	}
	if _, ok := w.sidecars[s.Operation]; ok {
		w.violate(IDsOnce, key, "operation %s is armed a second time", s.Operation)
	}
	if w.listedSidecars <= w.told || w.readManifest <= w.told {
		w.violate(Looked, key, "armed without a look at recovery/ and at the manifest since the commit was asked for")
	}
	w.attempts[s.Attempt], w.sidecars[s.Operation], w.armed[s.Operation] = key, s, w.requests
	w.advance(ctx)
	switch {
	case w.st == nil:
		w.violate(Plan, key, "armed before anything was registered")
		return
	case s.Store != w.st.Store:
		w.violate(Plan, key, "it says that it is of store %q, this is %q", s.Store, w.st.Store)
	case s.Base > w.st.Version:
		w.violate(Plan, key, "its base is %d, the newest publication is %d", s.Base, w.st.Version)
	case s.Base == w.st.Version:
		for _, t := range s.Tables {
			if actual := w.st.Ref(t.Table); actual != t.Expected {
				w.violate(Plan, key, "it expects %s of table %s, the manifest at its base names %s", t.Expected, t.Table, actual)
			}
		}
	}
}

func (w *watch) effect(ctx context.Context, key, kind string, raw []byte) {
	main, op, _ := manifest.VersionKey(key)
	table, number, _, _ := manifest.ParseTableKey(main)
	s := w.sidecars[op]
	planned := false
	if s != nil {
		for _, p := range s.Tables {
			planned = planned || p.Table == table && p.Number == number && !p.Drop
		}
	}
	switch {
	case s == nil || !w.pendingOrClosed(ctx, s):
		w.violate(Intent, key, "the effect of operation %s, which has no sidecar", op)
	case !planned:
		w.violate(Intent, key, "the sidecar of operation %s does not plan version %d of table %s", op, number, table)
	case w.listedSidecars <= w.armed[op] || w.readManifest <= w.armed[op]:
		w.violate(LookAgain, key, "the first effect of operation %s without a look at recovery/ and at the manifest after it was armed", op)
	}
	if _, err := w.b.GetRange(ctx, recovery.ConfirmedKey(op), 0, 1); err == nil {
		w.violate(Confirm, key, "an effect after the confirmation of operation %s", op)
	}
	if kind == version {
		w.whole(key, "", raw)
	} else if _, err := w.b.GetRange(ctx, main, 0, 1); err == nil {
		w.violate(Intent, key, "a part after its version: parts come first")
	}
}

// pendingOrClosed reports whether the operation's sidecar is there, or went because
// somebody else decided the operation, which its writer need not know yet.
func (w *watch) pendingOrClosed(ctx context.Context, s *recovery.Sidecar) bool {
	if _, err := w.b.GetRange(ctx, recovery.SidecarKey(s.Operation), 0, 1); !errors.Is(err, objstore.ErrNotFound) {
		return true
	}
	w.advance(ctx)
	if w.st == nil {
		return false
	}
	o, ok := w.st.Outcome(s.Operation)
	return ok && o.By.Process != s.Epoch.Process
}

func (w *watch) confirm(ctx context.Context, key string, raw []byte) {
	op := manifest.OperationID(strings.TrimSuffix(strings.TrimPrefix(key, recovery.Prefix), ".confirmed"))
	s := w.sidecars[op]
	if s == nil {
		w.violate(Confirm, key, "it confirms an operation that has no sidecar")
		return
	}
	for _, v := range confirmed(ctx, w.b, s, raw) {
		w.violate(v.Rule, key, "%s", v.Detail)
	}
}

func (w *watch) checkpoint(key string, raw []byte) {
	st, err := manifest.DecodeCheckpoint(key, raw)
	if err != nil {
		w.violate(FullState, key, "%v", err)
		return
	}
	if w.st == nil || st.Version != w.st.Version {
		return // CheckRoot compares it
	}
	got, err1 := manifest.EncodeCheckpoint(st)
	want, err2 := manifest.EncodeCheckpoint(w.st)
	if err1 != nil || err2 != nil || string(got) != string(want) {
		w.violate(FullState, key, "it is not what the publications up to it say")
	}
}
