// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"strings"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// Between looking at an operation and publishing it the world goes on. What is
// published is what was looked at, or nothing.
func TestWhatIsPublishedIsWhatWasClassified(t *testing.T) {
	contract.Row(t, 73)
	object := func(w *world, key, content string) {
		raw, err := envelope.Encode("table", 1, content)
		must(t, err)
		must(t, w.disk.Delete(ctx(t), key))
		_, err = w.disk.PutIfAbsent(ctx(t), key, raw, "x")
		must(t, err)
	}
	for _, c := range []struct {
		name    string
		meddle  func(w *world, st *manifest.State)
		forward bool
		puts    int // of publications
	}{
		{"others publish other tables", func(w *world, _ *manifest.State) {
			wr, err := w.writer(w.disk, "rival")
			must(t, err)
			for range 3 {
				_, err = wr.Commit(ctx(t), checkpoint(put(w.disk, "elsewhere", "x")))
				must(t, err)
			}
		}, true, 2},
		{"a newer version of a table appears", func(w *world, st *manifest.State) {
			object(w, manifest.TableKey("a", st.Ref("a").Number+1, "ZOMBIE"), "newer")
			object(w, manifest.TableKey("a", st.Ref("a").Number+2, "ZOMBIE"), "newer still")
		}, true, 1},
		{"the object of a table is exchanged", func(w *world, st *manifest.State) {
			for _, k := range w.keys(manifest.TablePrefix + "a/") {
				if !strings.HasSuffix(k, string(st.Ref("a").Operation)) {
					object(w, k, "exchanged")
				}
			}
		}, true, 1},
		{"another operation moves one of the tables", func(w *world, st *manifest.State) {
			m, err := w.manifest(w.disk)
			must(t, err)
			process := manifest.ProcessID(w.newID())
			e, err := m.Register(ctx(t), "rival", process, manifest.Epoch{})
			must(t, err)
			object(w, manifest.TableKey("b", 2, "RIVAL"), "the rival's")
			_, err = m.Publish(ctx(t), manifest.Publication{
				By: manifest.Publisher{Role: manifest.RoleWriter, Process: process, Writer: "rival", Epoch: e},
				Entries: []manifest.Entry{{
					Kind: manifest.KindPublish, Operation: "RIVAL", Writer: "rival", Epoch: e, Base: st.Version,
					Tables: []manifest.Change{{Table: "b", Expected: st.Ref("b"), To: &manifest.Pin{Ref: manifest.Ref{Number: 2, Operation: "RIVAL"}}}},
				}},
			})
			must(t, err)
		}, false, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, op := confirmed(t)
			classified := confirmation(t, w.disk, op)
			b := fault.Wrap(w.disk)
			puts := 0
			b.OnCall(func(call fault.Call) {
				if call.Verb == fault.PutIfAbsent && strings.HasPrefix(call.Key, manifest.Prefix) {
					if puts++; puts == 1 {
						c.meddle(w, w.state())
					}
				}
			})
			reps, err := w.recoverAll(b, ended)
			must(t, err)
			st := w.state()
			out, _ := st.Outcome(op)
			if !reps[0].Complete || (out.Kind == manifest.KindPublish) != c.forward || puts != c.puts {
				t.Fatalf("%+v, outcome %+v, %d puts", reps[0], out, puts)
			}
			for table, digest := range classified {
				pin := st.Tables[table]
				if own := pin.Operation == op; own != c.forward || own && pin.Digest != digest {
					t.Errorf("table %s is %+v; classified was %s", table, pin, digest)
				}
			}
			if !c.forward && st.Ref("b").Operation != "RIVAL" {
				t.Errorf("the rival's table is %s", st.Ref("b"))
			}
		})
	}
}

// confirmation is what an operation reached: the digest of each table.
func confirmation(t *testing.T, b objstore.Bucket, op manifest.OperationID) map[manifest.TableID]string {
	t.Helper()
	s, err := recovery.Get(ctx(t), b, recovery.SidecarKey(op))
	must(t, err)
	o, err := b.Get(ctx(t), recovery.ConfirmedKey(op))
	must(t, err)
	c, err := recovery.DecodeConfirmed(s, o.Body)
	must(t, err)
	out := map[manifest.TableID]string{}
	for _, r := range c.Tables {
		out[r.Table] = r.Digest
	}
	if len(out) != 3 {
		t.Fatalf("confirmed %v", out)
	}
	return out
}
