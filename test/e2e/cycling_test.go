// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/load"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

const (
	// cyclesRate is how many writes a second come, over all pods.
	cyclesRate = 200
	// cyclesHold is how long a freeze is held once it is: long enough for some writes to come.
	cyclesHold = 30 * time.Millisecond
	// cyclesBound is for how long the pods park a write.
	cyclesBound = 10 * time.Second
)

// Whom a cycle kills.
const (
	nobody     = ""
	anOperator = "operator"
	aPod       = "pod"
	storage    = "storage"
)

// Where in a cycle it is killed.
var cycleSteps = []string{"taking", "held", "releasing"}

// cycle is one freeze: all times by this machine's clock.
type cycle struct {
	victim, step            string
	killed                  string // the pod of the victim
	at, back                time.Time
	created, held, let, end time.Time
}

func toHeld(c cycle) time.Duration     { return c.held.Sub(c.created) }
func toReleased(c cycle) time.Duration { return c.end.Sub(c.let) }

// cycles is one run of many.
type cycles struct {
	options harness.StoreOptions
	root    objstore.Bucket
	reader  *manifest.Store
	hangUp  func()
	done    []cycle
}

// connect opens the root. What carries the requests ends with the server that is killed.
func (c *cycles) connect(ctx context.Context) (err error) {
	root, hangUp, err := h.Bucket(ctx, c.options.RootURI())
	if err != nil {
		return err
	}
	reader, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
	if err != nil {
		hangUp()
		return err
	}
	if c.hangUp != nil {
		c.hangUp()
	}
	c.root, c.reader, c.hangUp = root, reader, hangUp
	return nil
}

// victims says whom each cycle kills: each of three each times, at random.
func (c *cycles) victims(total, each int) []string {
	out := make([]string, total)
	for i := range min(3*each, total) {
		out[i] = []string{anOperator, aPod, storage}[i%3]
	}
	rand.Shuffle(total, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (c *cycles) times(of func(cycle) time.Duration) (out []time.Duration) {
	for _, d := range c.done {
		if d.victim == nobody {
			out = append(out, of(d))
		}
	}
	return out
}

// cycle freezes the store and lets it go, and kills the victim somewhere in it.
func (c *cycles) cycle(ctx context.Context, i int, victim string) {
	GinkgoHelper()
	d := cycle{victim: victim, step: cycleSteps[rand.N(len(cycleSteps))]}
	m := &v1alpha1.StoreMaintenance{ObjectMeta: metav1.ObjectMeta{Namespace: c.options.Namespace, Name: fmt.Sprintf("cycle-%d", i)}}
	m.Spec = v1alpha1.StoreMaintenanceSpec{
		StoreRef: &v1alpha1.LocalReference{Name: c.options.Name}, Reason: "a cycle", Until: metav1.NewTime(time.Now().Add(20 * time.Minute).Truncate(time.Second)),
	}
	what := func() string { return fmt.Sprintf("cycle %d, %q killed while %s", i, d.victim, d.step) }
	var back <-chan error
	kill := func(step string, within time.Duration) {
		if d.victim != nobody && d.step == step {
			pause(ctx, rand.N(within))
			back = c.kill(ctx, &d, i)
		}
	}
	w, err := h.Watch(ctx, &v1alpha1.StoreMaintenanceList{}, client.InNamespace(m.Namespace), client.MatchingFields{"metadata.name": m.Name})
	Expect(err).NotTo(HaveOccurred())
	defer w.Stop()
	d.created = time.Now()
	Expect(h.Create(ctx, m)).To(Succeed())
	kill("taking", 100*time.Millisecond)
	var last []metav1.Condition
	for held, late := false, time.After(2*time.Minute); !held; {
		select {
		case e, ok := <-w.ResultChan():
			Expect(ok).To(BeTrue(), what()+": the watch has ended")
			if s, ok := e.Object.(*v1alpha1.StoreMaintenance); ok {
				last = s.Status.Conditions
				held = meta.IsStatusConditionTrue(last, v1alpha1.ConditionHeld)
			}
		case <-late:
			Fail(what() + ": not held within two minutes: " + harness.Conditions(last))
		}
	}
	d.held = time.Now()
	kill("held", cyclesHold)
	pause(ctx, cyclesHold-time.Since(d.held))
	d.let = time.Now()
	Expect(h.Delete(ctx, m)).To(Succeed())
	kill("releasing", 100*time.Millisecond)
	d.end = c.released(ctx, what())
	if back != nil {
		Expect(<-back).To(Succeed(), what())
		d.back = time.Now()
	}
	c.done = append(c.done, d)
}

// released waits until no lock holds the store, and says when that was seen.
func (c *cycles) released(ctx context.Context, what string) time.Time {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for last := error(nil); ; {
		st, err := c.reader.Latest(ctx)
		if err == nil && st.Lock == nil {
			return time.Now()
		}
		if err != nil { // the server that it asked may have been killed
			err = errors.Join(err, c.connect(ctx))
		}
		if last = err; ctx.Err() != nil {
			Fail(fmt.Sprintf("%s: two minutes later the lock is %+v (%v)", what, st.Lock, last))
		}
		pause(ctx, 2*time.Millisecond)
	}
}

// kill sends SIGKILL to whoever the cycle kills; the channel tells when it is back.
func (c *cycles) kill(ctx context.Context, d *cycle, i int) <-chan error {
	GinkgoHelper()
	v := harness.Victim{}
	switch d.victim {
	case anOperator:
		leader, err := h.Leader(ctx)
		Expect(err).NotTo(HaveOccurred())
		v.Namespace, v.Pod, v.Container = harness.OperatorNamespace, leader, "operator"
	case aPod:
		v.Namespace, v.Pod, v.Container = c.options.Namespace, fmt.Sprintf("%s-%d", c.options.Name, i%c.options.Replicas), "store"
	case storage:
		var pods corev1.PodList
		Expect(h.List(ctx, &pods, client.InNamespace(harness.StorageNamespace), client.MatchingLabels{"app": "versitygw"})).To(Succeed())
		Expect(pods.Items).To(HaveLen(1))
		v.Namespace, v.Pod, v.Container = harness.StorageNamespace, pods.Items[0].Name, "versitygw"
	}
	d.killed, d.at = v.Pod, time.Now()
	back := make(chan error, 1)
	_, ready, err := h.Kill(ctx, machine, v)
	Expect(err).NotTo(HaveOccurred())
	go func() { back <- (<-ready).Err }()
	return back
}

// broken reports whether a try met a pod that had been killed and was not back.
func (c *cycles) broken(target int, try load.Try) bool {
	return slices.ContainsFunc(c.done, func(d cycle) bool {
		return d.victim == aPod && d.killed == fmt.Sprintf("%s-%d", c.options.Name, target) && try.Sent.Before(d.back) && !try.Sent.Add(try.Waited).Before(d.at)
	})
}

// judge says whether a write failed that had no reason to: what a killed pod had in
// hand, or was asked before it was back, is broken off and sent again under its id.
// Everything else is answered, with at most the bound between.
func (c *cycles) judge(traces []load.Trace) {
	GinkgoHelper()
	var wrong []string
	broken, refused := 0, 0
	for _, t := range traces {
		for _, try := range t.Failed {
			switch {
			case c.broken(t.Target, try):
				broken++
			case try.Status == http.StatusServiceUnavailable && try.Waited >= cyclesBound && strings.Contains(try.Says, "no writes until"):
				refused++ // the freeze was longer than that
			default:
				wrong = append(wrong, fmt.Sprintf("%s on pod %d at %s: status %d after %s: %s", t.Token, t.Target, try.Sent.Format("15:04:05.000"), try.Status, try.Waited, try.Says))
			}
		}
	}
	h.Say("tries that a killed pod broke off: %d; writes that a long freeze refused after %s: %d; failed: %d", broken, cyclesBound, refused, len(wrong))
	Expect(wrong).To(BeEmpty(), "writes that failed within the bound")
}

// parked counts the cycles in which a write came while the store was held, and was
// answered when it was let go.
func (c *cycles) parked(traces []load.Trace) (n int) {
	byDue := slices.Clone(traces)
	slices.SortFunc(byDue, func(a, b load.Trace) int { return a.Due.Compare(b.Due) })
	for _, d := range c.done {
		i := sort.Search(len(byDue), func(i int) bool { return !byDue[i].Due.Before(d.held) })
		for ; i < len(byDue) && byDue[i].Due.Before(d.let); i++ {
			if byDue[i].Answered().After(d.let) {
				n++
				break
			}
		}
	}
	return n
}

// report prints what was seen.
func (c *cycles) report(took time.Duration, acked int, traces []load.Trace) {
	kills := map[string]int{}
	for _, d := range c.done {
		if d.victim != nobody {
			kills[d.victim+" "+d.step]++
		}
	}
	var latencies []time.Duration
	for _, t := range traces {
		latencies = append(latencies, t.Took)
	}
	h.Say(`%d freezes in %s, kills %v
  from creation to Held, nobody killed   %s
  from deletion to its end, nobody killed %s
  acknowledged %d (%.0f/s), all of them there; latency since due %s
  cycles that parked a write: %d`, len(c.done), took.Round(time.Second), kills, harness.Quantiles(c.times(toHeld)), harness.Quantiles(c.times(toReleased)),
		acked, float64(acked)/took.Seconds(), harness.Quantiles(latencies), c.parked(traces))
}
