// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// judge is the end of every run: one more process recovers what is left, and then
// all must be well. It works beside nobody.
type judge struct {
	p *Process
	l *Ledger
}

// passes is how many looks the last recovery may need.
const passes = 3

// finish recovers and looks at everything. recovered is called in between.
func (j *judge) finish(ctx context.Context, recovered func()) {
	if !j.everyRunCanFinish(ctx) {
		return
	}
	recovered()
	j.secondPassAddsNothing(ctx)
	for _, look := range []func(context.Context){
		j.manifestEqualsWhatWasDecided, j.acknowledgedIsNeverLost, j.nobodyIsToldSomethingFalse, j.noWishIsGrantedTwice,
		j.readersSeeWhatIsNamed, j.oneAuditRow, j.nothingIsLeftOver, j.theStoreGoesOn, j.theSeenGoOn, j.aCollectionLeavesNoOrphan,
		j.manifestEqualsWhatWasDecided, j.readersSeeWhatIsNamed, j.acknowledgedIsNeverLost,
	} {
		look(ctx)
	}
}

// everyRunCanFinish: whatever happened, one calm recoverer finishes it.
func (j *judge) everyRunCanFinish(ctx context.Context) bool {
	r, m, err := j.p.recoverer(ctx)
	for pass := 0; err == nil; pass++ {
		if pass == passes {
			err = errors.New("something is always left")
			break
		}
		var left int
		if left, err = j.p.pass(ctx, r, undoing); err == nil && left == 0 {
			_, err = m.Latest(ctx)
			break
		}
	}
	if err != nil {
		j.l.breach("EveryRunCanFinish", "%v; left: %v", err, j.names(recovery.Prefix))
	}
	return err == nil
}

func (j *judge) secondPassAddsNothing(ctx context.Context) {
	before := j.p.writes
	r, _, err := j.p.recoverer(ctx)
	if err == nil {
		_, err = j.p.pass(ctx, r, undoing)
	}
	if n := j.p.writes - before; n != 0 || err != nil {
		j.l.breach("ASecondPassAddsNothing", "it wrote %d times (%v)", n, err)
	}
}

// manifestEqualsWhatWasDecided: a reader that knows nothing sees the book.
func (j *judge) manifestEqualsWhatWasDecided(ctx context.Context) {
	m, err := j.p.manifest(ctx)
	if err != nil {
		j.l.breach("TheManifestEqualsWhatWasDecided", "%v", err)
		return
	}
	st := m.View()
	if st.Version != j.l.version || !maps.Equal(st.Tables, j.l.tables) || !maps.Equal(st.Writers, j.l.writers) {
		j.l.breach("TheManifestEqualsWhatWasDecided", "a reader sees version %d %v %v, decided is %d %v %v",
			st.Version, st.Tables, st.Writers, j.l.version, j.l.tables, j.l.writers)
	}
	if (st.Lock == nil) != (j.l.lock == nil) {
		j.l.breach("TheManifestEqualsWhatWasDecided", "a reader sees lock %+v, decided is %+v", st.Lock, j.l.lock)
	}
	for _, t := range slices.Sorted(maps.Keys(st.Tables)) { // and can read it
		pin := st.Tables[t]
		key := j.l.object(t, pin.Ref)
		if o, err := j.p.Bucket().Get(ctx, key); err != nil || pin.Digest == "" || digestOf(o) != pin.Digest {
			j.l.breach("AReaderFindsWhatIsNamed", "%s: %v", short(key), err)
		}
	}
}

func (j *judge) acknowledgedIsNeverLost(context.Context) {
	for id, o := range j.ops() {
		if o.told == toldPublished && o.outcome != manifest.KindPublish {
			j.l.breach("AcknowledgedIsNeverLost", "%s was acknowledged, its outcome is %q", id, o.outcome)
		}
	}
}

func (j *judge) nobodyIsToldSomethingFalse(context.Context) {
	for id, o := range j.ops() {
		if o.told == toldFailed && o.outcome == manifest.KindPublish {
			j.l.breach("NobodyIsToldSomethingFalse", "the client of %s was told failed, it was published in %d", id, o.version)
		}
	}
}

// noWishIsGrantedTwice: who heard that it failed may ask again, and only then.
func (j *judge) noWishIsGrantedTwice(context.Context) {
	granted := map[string]manifest.OperationID{}
	for id, o := range j.ops() {
		if o.outcome != manifest.KindPublish || o.intent == "" {
			continue
		}
		if other, twice := granted[o.intent]; twice {
			j.l.breach("NothingIsAppliedTwice", "%s and %s both published %q", other, id, o.intent)
		}
		granted[o.intent] = id
	}
}

// oneAuditRow: one for every outcome that recovery decided, one at most for what a
// writer decided, none for anything else; each copies its entry; the chain is good.
func (j *judge) oneAuditRow(ctx context.Context) {
	rep, err := audit.Verify(ctx, j.p.Bucket(), "main", keyring(), audit.VerifyOptions{})
	if err != nil || rep.Verdict() != audit.Good {
		j.l.breach("TheTrailIsGood", "%+v (%v)", rep, err)
		return
	}
	trail, err := audit.Open(j.p.Bucket(), "main", keyring(), audit.Options{Recoverer: string(j.p.ID()), Now: j.p.Now, NewAttempt: j.p.NewID, Wait: j.p.Sleep})
	if err != nil {
		j.l.breach("TheTrailIsGood", "%v", err)
		return
	}
	rows := map[manifest.OperationID]int{}
	for row, err := range trail.Rows(ctx, 0) {
		if err != nil {
			j.l.breach("TheTrailIsGood", "%v", err)
			return
		}
		id := manifest.OperationID(row.Operation)
		o := j.l.ops[id]
		rows[id]++
		want, by := audit.RolledBack, audit.ByWriter
		if o.outcome == manifest.KindPublish {
			want = audit.RolledForward
		}
		if o.by.Role == manifest.RoleRecovery {
			by = audit.ByRecovery
		}
		tables, version := o.undone, max(o.version, o.restored)
		if o.plan != nil && want == audit.RolledForward {
			tables = len(o.plan.Tables)
		}
		if row.Kind != want || row.ManifestVersion != uint64(version) || row.PublishedBy != by || len(row.Tables) != tables {
			j.l.breach("TheRowCopiesTheEntry", "row %+v, decided is %s in %d by %s", row, o.outcome, version, o.by.Role)
		}
	}
	for id, o := range j.ops() {
		if n := rows[id]; n > 1 || n == 0 && o.by.Role == manifest.RoleRecovery {
			j.l.breach("OneAuditRow", "%d rows of %s, decided by %s", n, id, o.by.Role)
		}
	}
}

func (j *judge) nothingIsLeftOver(context.Context) {
	if left := j.names(recovery.Prefix); len(left) > 0 {
		j.l.breach("NothingIsLeftOver", "%v", left)
	}
}

// theStoreGoesOn: the next write of every table works.
func (j *judge) theStoreGoesOn(ctx context.Context) {
	wr, err := j.p.writer(ctx, "next")
	if err != nil {
		j.l.breach("TheStoreGoesOn", "register: %v", err)
		return
	}
	r, err := wr.Commit(ctx, j.p.operation(wish("the next write", "a", "b", "c")))
	if err != nil {
		j.l.breach("TheStoreGoesOn", "%v", err)
		return
	}
	j.p.tell(r.Operation, toldPublished, r.Version)
}

// aCollectionLeavesNoOrphan: afterwards nothing is there that was never published.
func (j *judge) aCollectionLeavesNoOrphan(ctx context.Context) {
	m, err := j.p.manifest(ctx)
	if err == nil {
		_, err = m.Collect(ctx, j.p.collectOptions())
	}
	if err != nil {
		j.l.breach("NothingIsLeftOver", "collect: %v", err)
		return
	}
	for _, key := range j.names(manifest.TablePrefix) {
		if _, op, _ := manifest.VersionKey(key); j.l.ops[op].outcome != manifest.KindPublish {
			j.l.breach("NothingIsLeftOver", "orphan %s", short(key))
		}
	}
}

func (j *judge) ops() func(func(manifest.OperationID, operation) bool) {
	return func(yield func(manifest.OperationID, operation) bool) {
		for _, id := range slices.Sorted(maps.Keys(j.l.ops)) {
			if !yield(id, j.l.ops[id]) {
				return
			}
		}
	}
}

func (j *judge) names(prefix string) (out []string) {
	for e, err := range j.p.w.Disk.List(always, prefix, "") {
		if err != nil {
			return append(out, fmt.Sprint(err))
		}
		out = append(out, e.Key)
	}
	return out
}
