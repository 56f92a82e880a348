// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/recovery"
)

// aside does what happens between two commands, to the first root of the page.
func (w *walk) aside(words []string) {
	w.t.Helper()
	const root = "file:///var/lib/salvor/root"
	dir := w.dir(root)
	switch words[0] {
	case "publish":
		ok(w.t, w.publish(dir, words[1:]...))
	case "publish-many":
		n, err := strconv.Atoi(words[1])
		ok(w.t, err)
		for range n {
			ok(w.t, w.publish(dir, words[2:]...))
		}
	case "crash":
		w.b.last = ".confirmed"
		if err := w.publish(dir, words[1:]...); err == nil {
			w.t.Error("the writer did not die")
		}
		w.w = nil
	case "age":
		d, err := time.ParseDuration(words[1])
		ok(w.t, err)
		(&rooted{t: w.t, dir: dir}).age(d)
	case "freeze":
		m := w.open(dir)
		_, err := m.Lock(w.t.Context(), manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(newID())},
			manifest.Lock{Owner: words[1], Reason: "database restart", Mode: manifest.Frozen, Since: time.Now(), Until: time.Now().Add(time.Hour)})
		ok(w.t, err)
	case "damage":
		pin := w.open(dir).View().Tables[manifest.TableID(words[1])]
		path := filepath.Join(dir, manifest.TableKey(manifest.TableID(words[1]), pin.Number, pin.Operation))
		raw, err := os.ReadFile(path)
		ok(w.t, err)
		w.saved = map[string][]byte{path: bytes.Clone(raw)}
		raw[len(raw)-3] ^= 1
		ok(w.t, os.WriteFile(path, raw, 0o600))
	case "mend":
		for path, raw := range w.saved {
			ok(w.t, os.WriteFile(path, raw, 0o600))
		}
	default:
		w.t.Errorf("walk: %v", words)
	}
}

func (w *walk) open(dir string) *manifest.Store {
	w.t.Helper()
	b, err := file.Open(dir, file.Options{})
	ok(w.t, err)
	m, err := manifest.Open(w.t.Context(), b, manifest.Options{NewID: newID})
	ok(w.t, err)
	return m
}

// publish is a commit of the writer orders-0, which is started when it does not run.
func (w *walk) publish(dir string, tables ...string) error {
	w.t.Helper()
	if w.w == nil {
		b, err := file.Open(dir, file.Options{})
		ok(w.t, err)
		w.b = &dying{Bucket: b}
		_, err = manifest.CreateIdentity(w.t.Context(), b, newID(), newID(), nil)
		ok(w.t, err)
		m, err := manifest.Open(w.t.Context(), w.b, manifest.Options{NewID: newID})
		ok(w.t, err)
		w.w = recovery.NewWriter(m, recovery.WriterOptions{ID: "orders-0", Process: manifest.ProcessID(newID()), NewID: newID, Await: time.Millisecond})
		ok(w.t, w.w.Register(w.t.Context()))
	}
	op := recovery.Operation{Kind: recovery.KindCheckpoint}
	w.b.position += 128
	for _, t := range tables {
		op.Changes = append(op.Changes, recovery.Change{Table: manifest.TableID(t), Position: w.b.position, Write: func(ctx context.Context, v recovery.TableVersion) (string, error) {
			raw, err := envelope.Encode("walk", 1, map[string]any{"operation": v.Operation})
			if err != nil {
				return "", err
			}
			h, _, err := envelope.ParseHeader(raw)
			if err != nil {
				return "", err
			}
			_, err = w.b.PutIfAbsent(ctx, v.Object, raw, newID())
			return h.Digest, err
		}})
	}
	_, err := w.w.Commit(w.t.Context(), op)
	return err
}

// dying is the bucket of a writer that sends nothing after a certain put.
type dying struct {
	objstore.Bucket
	last     string
	dead     bool
	position manifest.Position
}

var errDying = errors.New("the process is gone")

func (d *dying) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if d.dead {
		return objstore.PutResult{Outcome: objstore.Retry}, errors.Join(objstore.ErrAccessDenied, errDying)
	}
	d.dead = d.last != "" && strings.HasSuffix(key, d.last)
	return d.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

func (d *dying) Delete(ctx context.Context, key string) error {
	if d.dead {
		return errDying
	}
	return d.Bucket.Delete(ctx, key)
}
