// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"fmt"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

// fleet has n writers that stream, their pods running.
func fleet(n int) (*Detector, []Writer) {
	d := New(Options{})
	var all []Writer
	for i := range n {
		w := Writer{Store: "s", ID: manifest.WriterID(fmt.Sprintf("w-%d", i))}
		all = append(all, w)
		for _, e := range []Event{pod(PodRunning, "a/0"), registered(e1), heard(e1)} {
			e.At, e.Writer = t0, w
			d.Apply(e)
		}
	}
	return d, all
}

func tell(d *Detector, e Event, at time.Time, to ...Writer) {
	for _, w := range to {
		e.At, e.Writer = at, w
		d.Apply(e)
	}
}

func TestDoubtBeginsAtMoreThanAFifthAndFive(t *testing.T) {
	contract.Row(t, 160)
	for _, c := range []struct {
		fleet, lost int
		spread      time.Duration
		isolated    bool
	}{
		{4, 4, 0, false},                       // too few to tell
		{5, 4, 0, false},                       // four of five are not five
		{5, 5, 0, true},                        //
		{24, 5, 0, true},                       // more than a fifth
		{25, 5, 0, false},                      // exactly a fifth
		{26, 5, 0, false},                      //
		{25, 6, 0, true},                       //
		{1000, 200, 0, false},                  // exactly a fifth
		{1000, 201, 0, true},                   //
		{10, 10, time.Second, true},            // all within a second
		{5, 5, 1100 * time.Millisecond, false}, // not within a second
		{10, 10, 2 * time.Second, true},        // five of them within one
	} {
		t.Run(fmt.Sprintf("%d of %d in %s", c.lost, c.fleet, c.spread), func(t *testing.T) {
			d, ws := fleet(c.fleet)
			at := t0.Add(time.Minute)
			for i, w := range ws[:c.lost] {
				tell(d, closed(), at.Add(c.spread*time.Duration(i)/time.Duration(c.lost-1)), w)
			}
			if got := d.Isolation(at.Add(c.spread)); got.Isolated != c.isolated {
				t.Errorf("got %+v, want isolated %t", got, c.isolated)
			}
		})
	}
}

func TestWhileIsolatedOnlyShownDeathMayBeFenced(t *testing.T) {
	contract.Row(t, 160)
	d, ws := fleet(20)
	at := t0.Add(time.Minute)
	tell(d, closed(), at, ws...)
	tell(d, refused(), at, ws...)
	tell(d, pod(PodTerminated, "a/0"), at, ws[0])
	for i, w := range ws {
		v := d.Permit(Question{Writer: w}, at.Add(time.Hour))
		if v.EndEpoch != (i == 0) {
			t.Errorf("%s: %+v", w.ID, v)
		}
		if i > 0 && v.Held != HoldIsolated {
			t.Errorf("%s is held back as %q", w.ID, v.Held)
		}
	}
}

func TestWhileIsolatedTenASecond(t *testing.T) {
	contract.Row(t, 160)
	d, ws := fleet(25)
	at := t0.Add(time.Minute)
	tell(d, closed(), at, ws...)
	tell(d, pod(PodTerminated, "a/0"), at, ws[:20]...) // 5 are missing: still isolated
	granted := func(at time.Time) (n int) {
		for _, w := range ws[:20] {
			v := d.Permit(Question{Writer: w}, at)
			if v.EndEpoch {
				n++
			} else if v.Held != HoldRate || !v.Again.After(at) || v.Again.After(at.Add(time.Second)) {
				t.Errorf("held back: %+v at %s", v, at)
			}
		}
		return n
	}
	if n := granted(at); n != 10 {
		t.Errorf("%d may be fenced at once, want 10", n)
	}
	if n := granted(at.Add(999 * time.Millisecond)); n != 10 {
		t.Errorf("%d may be fenced within a second, want the same 10", n)
	}
	if n := granted(at.Add(time.Second)); n != 20 {
		t.Errorf("%d may be fenced after a second, want 20", n)
	}
}

func TestTheFirstOfABurstIsSparedToo(t *testing.T) {
	d, ws := fleet(20)
	at := t0.Add(time.Minute)
	for i, w := range ws {
		now := at.Add(time.Duration(i) * 50 * time.Millisecond)
		tell(d, closed(), now, w)
		for _, w := range ws[:i+1] {
			if v := d.Permit(Question{Writer: w}, now); v.EndEpoch {
				t.Fatalf("%s may be fenced at %s of a burst: %+v", w.ID, now.Sub(at), v)
			}
		}
	}
}

func TestInALargeFleetOneLostStreamIsHeldForASecond(t *testing.T) {
	for _, c := range []struct {
		name    string
		fleet   int
		refused bool
		wait    time.Duration
	}{
		{"a small fleet cannot tell, so it does not wait", 4, false, 0},
		{"a large one waits for a second", 5, false, time.Second},
		{"a refused connection shows that the way is open", 5, true, 100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, ws := fleet(c.fleet)
			at := t0.Add(time.Minute)
			tell(d, closed(), at, ws[0])
			if c.refused {
				tell(d, refused(), at, ws[0])
			}
			if v := d.Judge(Question{Writer: ws[0]}, at.Add(c.wait-1)); c.wait > 0 && (v.EndEpoch || v.Held != HoldBurst || !v.Again.Equal(at.Add(c.wait))) {
				t.Errorf("before: %+v", v)
			}
			if v := d.Judge(Question{Writer: ws[0]}, at.Add(c.wait)); !v.EndEpoch {
				t.Errorf("after: %+v", v)
			}
			tell(d, pod(PodTerminated, "a/0"), at, ws[0])
			if v := d.Judge(Question{Writer: ws[0]}, at); !v.EndEpoch {
				t.Errorf("shown to be dead: %+v", v)
			}
		})
	}
}

func TestDoubtEnds(t *testing.T) {
	contract.Row(t, 160)
	burst := t0.Add(time.Minute)
	after := func(d time.Duration) time.Time { return burst.Add(d) }
	for _, c := range []struct {
		name     string
		then     func(d *Detector, ws []Writer)
		now      time.Time
		isolated bool
	}{
		{"not by itself", func(*Detector, []Writer) {}, after(time.Hour), true},
		{"when all streams are back", func(d *Detector, ws []Writer) { tell(d, heard(e1), after(time.Second), ws...) }, after(time.Second), false},
		{"not while five are missing", func(d *Detector, ws []Writer) { tell(d, heard(e1), after(time.Second), ws[5:]...) }, after(time.Hour), true},
		{"when four are missing, not at once", func(d *Detector, ws []Writer) { tell(d, heard(e1), after(time.Second), ws[4:]...) }, after(5 * time.Second), true},
		{"when four are missing, soon", func(d *Detector, ws []Writer) { tell(d, heard(e1), after(time.Second), ws[4:]...) }, after(6 * time.Second), false},
		{"when pod status explains the rest", func(d *Detector, ws []Writer) {
			tell(d, heard(e1), after(time.Second), ws[8:]...)
			tell(d, pod(PodTerminated, "a/0"), after(time.Second), ws[:8]...)
		}, after(time.Second), false},
		{"when the rest is no longer ours", func(d *Detector, ws []Writer) {
			tell(d, heard(e1), after(time.Second), ws[8:]...)
			tell(d, Event{Kind: Forgotten}, after(time.Second), ws[:8]...)
		}, after(time.Second), false},
		{"not when another one is lost meanwhile", func(d *Detector, ws []Writer) {
			tell(d, heard(e1), after(time.Second), ws[4:]...)
			tell(d, closed(), after(3*time.Second), ws[4])
			tell(d, heard(e1), after(4*time.Second), ws[4])
		}, after(7 * time.Second), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, ws := fleet(20)
			tell(d, closed(), burst, ws...)
			c.then(d, ws)
			if got := d.Isolation(c.now); got.Isolated != c.isolated {
				t.Errorf("%+v, want isolated %t", got, c.isolated)
			}
		})
	}
}

func TestAfterTheDoubtWhoStaysAwayMayBeFenced(t *testing.T) {
	d, ws := fleet(20)
	at := t0.Add(time.Minute)
	tell(d, closed(), at, ws...)
	tell(d, heard(e1), at.Add(time.Second), ws[1:]...)
	if v := d.Judge(Question{Writer: ws[0]}, at.Add(5*time.Second)); v.EndEpoch {
		t.Errorf("while in doubt: %+v", v)
	}
	d.Isolation(at.Add(6 * time.Second))
	if v := d.Judge(Question{Writer: ws[0]}, at.Add(6*time.Second)); !v.EndEpoch {
		t.Errorf("after it: %+v", v)
	}
}
