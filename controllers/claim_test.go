// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

const anyVerb = fault.Any

// secret makes a Secret with these entries.
func (w *world) secret(name string, entries ...string) {
	w.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: map[string]string{}}
	for _, e := range entries {
		s.StringData[e] = "x"
	}
	w.create(s)
}

// misbehaving is a door to a root that ignores If-None-Match.
func (w *world) misbehaving(context.Context, v1alpha1.Root, Access) (objstore.Bucket, error) {
	return fault.IgnoresIfAbsent(w.disk), nil
}

func TestASecondStoreOnOneRootDoesNothing(t *testing.T) {
	contract.Row(t, 162)
	w := newWorld(t)
	w.store("ledger", 0)
	w.start()
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	before := w.keys("")
	w.store("thief", 0)
	w.becomes("thief", v1alpha1.ConditionReady, "False RootClaimedByAnother")
	c, _ := find(w.get("thief").Status.Conditions, v1alpha1.ConditionRootClaimed)
	if !strings.Contains(c.Message, w.namespace+"/ledger") || !strings.Contains(c.Message, "salvor manifest adopt --root") {
		t.Errorf("it says: %s", c.Message)
	}
	if after := w.keys(""); len(after) != len(before) {
		t.Errorf("the root was touched: %v", after)
	}
	if st := w.get("thief").Status; st.Root != nil {
		t.Errorf("it remembers a root that is not its own: %+v", st.Root)
	}
}

func TestAClaimantIsOfThisClusterAndUID(t *testing.T) {
	contract.Row(t, 162)
	w := newWorld(t)
	ws := w.store("ledger", 0)
	w.start()
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	var kube corev1.Namespace
	must(t, w.client.Get(w.ctx, types.NamespacedName{Name: "kube-system"}, &kube))
	want := manifest.Claimant{Cluster: string(kube.UID), Namespace: w.namespace, Name: "ledger", UID: string(ws.UID)}
	if got := w.manifest().Claimant; got == nil || *got != want {
		t.Errorf("claimed by %+v, want %+v", got, want)
	}
}

// again deletes the store and makes it once more, under another uid.
func (w *world) again(name string) {
	w.t.Helper()
	must(w.t, w.client.Delete(w.ctx, w.get(name)))
	w.create(&v1alpha1.WALStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.WALStoreSpec{
			Root: v1alpha1.Root{URI: "mem://" + w.namespace}, Workload: &v1alpha1.Workload{StatefulSetName: name},
			Audit: v1alpha1.Audit{KeySecretRef: v1alpha1.LocalReference{Name: "audit"}},
		},
	})
}

// The pods of the one before still publish while the root is taken over.
func TestAStoreThatWasMadeAgainTakesARootOverThatMoves(t *testing.T) {
	contract.Row(t, 162)
	w, pods := ledgerWorld(t, 1)
	gate := w.root.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
	w.again("ledger")
	_, err := gate.Await(w.ctx)
	must(t, err)
	if got := <-pods[0].commitNow("accounts"); got.err != nil {
		t.Fatal(got.err)
	}
	gate.Release()
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	if st := w.manifest(); st.Claimant.UID != string(w.get("ledger").UID) || st.Ref("accounts").IsZero() {
		t.Errorf("claimed by %+v, tables %v: want ours, and what was published meanwhile", st.Claimant, st.Tables)
	}
}

func TestAStoreThatWasMadeAgainTakesItsRootOver(t *testing.T) {
	contract.Row(t, 162)
	w, pods := ledgerWorld(t, 1)
	epoch := pods[0].writer.Epoch()
	w.again("ledger")
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
	st := w.manifest()
	if st.Claimant.UID != string(w.get("ledger").UID) || st.Generation != 1 || !st.Ended("ledger-0", epoch) {
		t.Errorf("claimed by %+v, generation %d, epochs %v: want ours, and every epoch ended", st.Claimant, st.Generation, st.Writers)
	}
}

// remembering is a store whose status remembers a manifest of some length.
func remembering(t *testing.T) (*world, *mem.Bucket) {
	t.Helper()
	w, pods := ledgerWorld(t, 1)
	early := w.disk.Clone()
	for range 3 {
		if got := <-pods[0].commitNow("accounts"); got.err != nil {
			t.Fatal(got.err)
		}
	}
	pods[0].kill()
	w.stop()
	w.start() // the status remembers what is there now
	eventually(t, "the status to remember the manifest", func() bool {
		return w.get("ledger").Status.Root.ManifestVersion == int64(w.manifest().Version)
	})
	w.stop()
	return w, early
}

// replace puts another root behind the operator's door.
func (w *world) replace(disk *mem.Bucket) {
	w.disk = disk
	w.root = fault.Wrap(disk)
}

func TestARootThatIsNotTheSameIsRefusedUntilAdopted(t *testing.T) {
	contract.Row(t, 162)
	for _, c := range []struct {
		name   string
		change func(w *world, early *mem.Bucket)
		reason string
		adopts bool
	}{
		{"emptied", func(w *world, _ *mem.Bucket) { w.replace(mem.New(mem.Options{})) }, v1alpha1.ReasonRootEmptied, false},
		{"swapped", func(w *world, _ *mem.Bucket) {
			w.replace(mem.New(mem.Options{}))
			_, err := manifest.CreateIdentity(w.ctx, w.disk, "another", "a", nil)
			must(w.t, err)
		}, v1alpha1.ReasonRootSwapped, true},
		{"restored from a copy", func(w *world, early *mem.Bucket) { w.replace(early) }, v1alpha1.ReasonRootRestored, true},
		{"restored, and written to since", func(w *world, early *mem.Bucket) {
			w.replace(early)
			m, err := manifest.Open(w.ctx, early, manifest.Options{NewID: w.newID})
			must(w.t, err)
			for range 9 {
				_, err := m.Publish(w.ctx, manifest.Publication{By: manifest.Publisher{Role: manifest.RoleOperator, Process: "x"}, Entries: []manifest.Entry{{Kind: manifest.KindAnchor}}})
				must(w.t, err)
			}
		}, v1alpha1.ReasonRootRestored, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, early := remembering(t)
			w.opt.BackoffMost = never
			remembered := *w.get("ledger").Status.Root
			c.change(w, early)
			keys := w.keys("")
			w.start()
			w.becomes("ledger", v1alpha1.ConditionReady, "False "+c.reason)
			throughout(t, never, "an untouched root", func() bool { return len(w.keys("")) == len(keys) })
			if got := *w.get("ledger").Status.Root; got != remembered {
				t.Errorf("the status forgot what it remembered: %+v, was %+v", got, remembered)
			}
			if !c.adopts {
				return
			}
			ws := w.get("ledger")
			message, _ := find(ws.Status.Conditions, v1alpha1.ConditionRootClaimed)
			m, err := manifest.Open(w.ctx, w.disk, manifest.Options{NewID: w.newID})
			must(t, err)
			for _, part := range []string{"salvor manifest adopt --root mem://", "--expect-version", "--uid " + string(ws.UID), "--namespace " + w.namespace, "--name ledger"} {
				if !strings.Contains(message.Message, part) {
					t.Errorf("no %q in: %s", part, message.Message)
				}
			}
			us := manifest.Claimant{Namespace: w.namespace, Name: "ledger", UID: string(ws.UID)}
			_, err = m.Adopt(w.ctx, manifest.Publisher{Role: manifest.RoleOperator, Process: "admin"}, us, m.View().Version)
			must(t, err)
			w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
			if got := w.get("ledger").Status.Root; got.UID != m.View().Store || got.Generation != 1 {
				t.Errorf("after the adoption the status remembers %+v", got)
			}
		})
	}
}

func TestARootThatChangesUnderARunningOperatorIsRefused(t *testing.T) {
	contract.Row(t, 162)
	w, pods := ledgerWorld(t, 1, func(w *world) { w.opt.SweepEvery = 2 * never; w.opt.BackoffMost = never })
	if got := <-pods[0].commitNow("accounts"); got.err != nil {
		t.Fatal(got.err)
	}
	last := w.manifest().Version
	gate := w.root.On(fault.Get, manifest.Key(last+1)).ParkBefore()
	_, err := gate.Await(w.ctx) // who asks for the next publication has read the last one
	must(t, err)
	must(t, w.disk.Delete(w.ctx, manifest.Key(last)))
	gate.Release()
	w.becomes("ledger", v1alpha1.ConditionReady, "False RootRestored")
}
