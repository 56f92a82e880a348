// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/recovery"
)

func newID() string { return ulid.Make().String() }

// small is the smallest store: one JSON value a table, no log of its own.
type small struct {
	m      *manifest.Store
	w      *recovery.Writer
	broken string
}

// runWriter is the process that is driven; broken names what is wrong with it.
func runWriter(broken string) error {
	ctx := context.Background()
	b, err := rooturl.Open(ctx, os.Getenv("SALVOR_ROOT"), rooturl.Options{})
	if err != nil {
		return err
	}
	b = breakage(broken, b)
	if _, err := manifest.CreateIdentity(ctx, b, newID(), newID(), nil); err != nil {
		return err
	}
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: newID})
	if err != nil {
		return err
	}
	s := &small{m: m, broken: broken, w: recovery.NewWriter(m, recovery.WriterOptions{
		ID: manifest.WriterID(os.Getenv("SALVOR_WRITER")), Process: manifest.ProcessID(newID()), NewID: newID, Await: 10 * time.Second, Poll: 20 * time.Millisecond,
	})}
	if err := s.w.Register(ctx); err != nil {
		return err
	}
	fmt.Println("ready shared")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		word, rest, _ := strings.Cut(in.Text(), " ")
		switch word {
		case "commit":
			fmt.Println(s.commit(ctx, rest))
		case "read":
			fmt.Println(s.read(ctx, manifest.TableID(rest)))
		}
	}
	return nil
}

func (s *small) commit(ctx context.Context, raw string) string {
	var content map[manifest.TableID]json.RawMessage
	if err := json.Unmarshal([]byte(raw), &content); err != nil {
		return "failed " + err.Error()
	}
	op := recovery.Operation{Kind: recovery.KindCheckpoint}
	for _, t := range slices.Sorted(maps.Keys(content)) {
		value := content[t]
		op.Changes = append(op.Changes, recovery.Change{Table: t, Write: func(ctx context.Context, v recovery.TableVersion) (string, error) {
			obj, err := envelope.Encode("small", 1, map[string]any{"operation": v.Operation, "value": value})
			if err != nil {
				return "", err
			}
			h, _, err := envelope.ParseHeader(obj)
			if err != nil {
				return "", err
			}
			_, _, err = objstore.Settle(ctx, s.m.Bucket(), v.Object, obj, newID(), objstore.Patience{})
			return h.Digest, err
		}})
	}
	if s.broken == "says-ok-at-once" {
		go func() { _, _ = s.w.Commit(ctx, op) }()
		return "ok"
	}
	res, err := s.w.Commit(ctx, op)
	if errors.Is(err, manifest.ErrFenced) { // nothing was armed
		if err = s.w.Register(ctx); err == nil {
			res, err = s.w.Commit(ctx, op)
		}
	}
	switch {
	case err == nil:
		return "ok " + string(res.Operation)
	case errors.Is(err, manifest.ErrUnknown):
		return "unknown " + oneLine(err)
	case s.broken == "failed-is-ok":
		return "ok"
	}
	return "failed " + oneLine(err)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }

func (s *small) read(ctx context.Context, t manifest.TableID) string {
	st, err := s.m.Latest(ctx)
	if err != nil {
		return "failed " + oneLine(err)
	}
	pin, ok := st.Tables[t]
	if !ok {
		return "none"
	}
	o, err := s.m.Bucket().Get(ctx, manifest.TableKey(t, pin.Number, pin.Operation))
	if err != nil {
		return "failed " + oneLine(err)
	}
	var body struct {
		Value json.RawMessage `json:"value"`
	}
	if _, err := envelope.Decode("small", 1, o.Body, &body); err != nil {
		return "failed " + oneLine(err)
	}
	if s.broken == "reads-something-else" {
		return `value {"n":0}`
	}
	return "value " + string(body.Value)
}

// breakage is a bucket in whose hands a writer breaks the protocol.
func breakage(broken string, b objstore.Bucket) objstore.Bucket {
	return &breaker{Bucket: b, broken: broken}
}

type breaker struct {
	objstore.Bucket
	broken string

	mu   sync.Mutex
	late []string // to be deleted late
}

func (b *breaker) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	sidecar := strings.HasPrefix(key, recovery.Prefix) && !strings.HasSuffix(key, ".confirmed")
	switch {
	case b.broken == "no-sidecar" && sidecar, b.broken == "no-confirmation" && strings.HasSuffix(key, ".confirmed"):
		return objstore.PutResult{Outcome: objstore.Created}, nil
	case b.broken == "overwrites" && strings.HasPrefix(key, manifest.TablePrefix):
		return objstore.PutResult{Outcome: objstore.Created}, b.overwrite(ctx, key, body)
	case b.broken == "cleans-up-before-it-publishes" && strings.HasPrefix(key, manifest.Prefix):
		var batch manifest.Batch
		if _, err := envelope.Decode("manifest", 1, body, &batch); err == nil && batch.Entries[0].Operation != "" {
			_ = b.Bucket.Delete(ctx, recovery.ConfirmedKey(batch.Entries[0].Operation))
			_ = b.Bucket.Delete(ctx, recovery.SidecarKey(batch.Entries[0].Operation))
		}
	case b.broken == "wrong-digest" && strings.HasPrefix(key, manifest.TablePrefix):
		body = append(append([]byte{}, body...), ' ', '\n')
	case b.broken == "own-names" && sidecar:
		_, _ = b.Bucket.PutIfAbsent(ctx, "mystore/"+attempt, body, attempt)
	}
	res, err := b.Bucket.PutIfAbsent(ctx, key, body, attempt)
	if b.broken == "lost-answer-is-success" && res.Outcome == objstore.Unknown {
		return objstore.PutResult{Outcome: objstore.Created}, nil
	}
	return res, err
}

func (b *breaker) Delete(ctx context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken == "sidecar-goes-first" && strings.HasSuffix(key, ".confirmed") {
		b.late = append(b.late, key)
		return nil
	}
	err := b.Bucket.Delete(ctx, key)
	for _, k := range b.late {
		err = errors.Join(err, b.Bucket.Delete(ctx, k))
	}
	b.late = nil
	return err
}

// overwrite is a put as many programs make it.
func (b *breaker) overwrite(ctx context.Context, key string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, os.Getenv("AWS_ENDPOINT_URL")+"/root/"+key, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}
