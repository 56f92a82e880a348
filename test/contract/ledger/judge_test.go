// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/teeth"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// at is a passing result of TestX for rows 66 and 153, so many minutes past noon,
// of the code as it is now.
func at(minute int, change ...func(*Result)) Result {
	r := Result{
		Binary: contract.Binary{Package: "github.com/salvor-io/salvor/recovery"}, Test: "TestX", Rows: []int{66, 153},
		Outcome: Passed, Hash: "now", Time: noon.Add(time.Duration(minute) * time.Minute),
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func old(r *Result)        { r.Hash = "before" }
func full(r *Result)       { r.Full = true }
func sampled(r *Result)    { r.Sampled = true }
func fails(r *Result)      { r.Outcome = FailedTest }
func skipped(r *Result)    { r.Outcome = Skipped }
func unfinished(r *Result) { r.Outcome = Unfinished }
func proof(r *Result)      { r.Commit = "0123456789abcdef" }
func unhashed(r *Result)   { r.Hash = "" }
func another(r *Result)    { r.Test = "TestY" }

func caught(change ...func(*Tooth)) Tooth {
	t := Tooth{Record: teeth.Record{
		Name: "m", Hash: "m-now", Verdict: teeth.Caught, Time: noon, Rows: map[int][]string{66: {"TestX"}, 153: {"TestX"}},
	}}
	for _, c := range change {
		c(&t)
	}
	return t
}

func TestJudge(t *testing.T) {
	bites := []Tooth{caught()}
	for name, c := range map[string]struct {
		row     int
		results []Result
		teeth   []Tooth
		why     string // empty: met
	}{
		"passed and caught":                      {66, []Result{at(0)}, bites, ""},
		"nothing":                                {66, nil, bites, "no result of any test"},
		"failed":                                 {66, []Result{at(0, fails)}, bites, "failing: recovery.TestX"},
		"passed, then failed":                    {66, []Result{at(0), at(1, fails)}, bites, "failing"},
		"failed, then passed":                    {66, []Result{at(0, fails), at(1)}, bites, ""},
		"failed, then skipped":                   {66, []Result{at(0, fails), at(1, skipped)}, bites, "failing"},
		"passed, then skipped":                   {66, []Result{at(0), at(1, skipped)}, bites, ""},
		"passed, then died":                      {66, []Result{at(0), at(1, unfinished)}, bites, "did not finish"},
		"only skipped":                           {66, []Result{at(0, skipped)}, bites, "skipped"},
		"failed, but other code":                 {66, []Result{at(0), at(1, old, fails)}, bites, ""},
		"passed, but other code":                 {66, []Result{at(0, old)}, bites, "code changed since the last result: run make test"},
		"of unknown code":                        {66, []Result{at(0, unhashed)}, bites, "code changed"},
		"another test of the row fails":          {66, []Result{at(0), at(0, another, fails)}, bites, "failing: recovery.TestY"},
		"another test of the row is gone":        {66, []Result{at(0), at(0, another, old, fails)}, bites, ""},
		"sampled":                                {66, []Result{at(0, sampled)}, bites, "only sampled"},
		"proved":                                 {66, []Result{at(0, proof, full)}, bites, ""},
		"proved, then failed here":               {66, []Result{at(0, proof, full), at(1, fails)}, bites, "failing"},
		"proved, then changed":                   {66, []Result{at(0, proof, full, old)}, bites, "proved at 0123456789, but its code changed since: run make test"},
		"in full, then sampled":                  {66, []Result{at(0, full), at(1, sampled)}, bites, ""},
		"a row of tier prove, not in full":       {153, []Result{at(0)}, bites, "only sampled"},
		"a row of tier prove, in full":           {153, []Result{at(0, full)}, bites, ""},
		"a row of tier prove, in full, sampled":  {153, []Result{at(0, full, sampled)}, bites, "only sampled"},
		"a row of tier prove, proved":            {153, []Result{at(0, full, proof), at(1)}, bites, ""},
		"a row of tier prove, proved, changed":   {153, []Result{at(0, full, proof, old)}, bites, "run make prove"},
		"not caught yet":                         {66, []Result{at(0)}, nil, "make teeth ROWS=66"},
		"survived":                               {66, []Result{at(0)}, []Tooth{caught(func(t *Tooth) { t.Verdict = teeth.Survived })}, "survived: m"},
		"an error":                               {66, []Result{at(0)}, []Tooth{caught(func(t *Tooth) { t.Verdict = teeth.Failed })}, "shows nothing: m"},
		"caught, but other code":                 {66, []Result{at(0)}, []Tooth{caught(func(t *Tooth) { t.Hash = "m-before" })}, "changed since"},
		"caught, but by another row's test":      {66, []Result{at(0)}, []Tooth{caught(func(t *Tooth) { delete(t.Rows, 66) })}, "no test of this row"},
		"caught, then survived":                  {66, []Result{at(0)}, []Tooth{caught(), caught(func(t *Tooth) { t.Verdict, t.Time = teeth.Survived, noon.Add(1) })}, "survived"},
		"survived, but older code; caught now":   {66, []Result{at(0)}, []Tooth{caught(), caught(func(t *Tooth) { t.Verdict, t.Hash, t.Time = teeth.Survived, "m-before", noon.Add(1) })}, ""},
		"caught of older code first, caught now": {66, []Result{at(0)}, []Tooth{caught(func(t *Tooth) { t.Hash = "m-before" }), caught()}, ""},
		"kind":                                   {166, nil, nil, "kind: not run"},
	} {
		t.Run(name, func(t *testing.T) {
			v := Judge([]int{c.row}, Evidence{
				Results: c.results, Code: map[string]string{at(0).Key(): "now"}, Teeth: c.teeth,
				Mutants: []teeth.Mutant{{Name: "m", Rows: []int{66, 153}}}, Hashes: map[string]string{"m": "m-now"},
			})[0]
			if v.Met != (c.why == "") || !strings.Contains(v.Why, c.why) {
				t.Errorf("met %v, %q; want %q", v.Met, v.Why, c.why)
			}
		})
	}
}

// The row of planted bugs is met when all of them are caught, those that the library's
// tests do not see shown to be so. One that survives is enough for no row.
func TestOfPlantedBugsAllCount(t *testing.T) {
	tooth := func(name string, change func(*Tooth)) Tooth {
		out := Tooth{Record: teeth.Record{Name: name, Hash: "now", Verdict: teeth.Caught, Time: noon, Rows: map[int][]string{66: {"x"}, 155: {"x"}}}}
		change(&out)
		return out
	}
	is := func(*Tooth) {}
	unseen := func(t *Tooth) { t.Unseen = true }
	survives := func(t *Tooth) { t.Verdict = teeth.Survived }
	for name, c := range map[string]struct {
		row   int
		teeth []Tooth
		why   string
	}{
		"both":                    {155, []Tooth{tooth("m", is), tooth("u", unseen)}, ""},
		"one":                     {155, []Tooth{tooth("m", is)}, "1 of its 2 bugs"},
		"nobody looked":           {155, []Tooth{tooth("m", is), tooth("u", is)}, "1 of its 2 bugs"},
		"one survives":            {155, []Tooth{tooth("m", is), tooth("u", survives)}, "survived: u"},
		"of another row, one":     {66, []Tooth{tooth("m", is)}, ""},
		"of another row survives": {66, []Tooth{tooth("m", is), tooth("u", survives)}, "survived: u"},
	} {
		t.Run(name, func(t *testing.T) {
			v := Judge([]int{c.row}, Evidence{
				Results: []Result{at(0, full, func(r *Result) { r.Rows = []int{66, 155} })}, Code: map[string]string{at(0).Key(): "now"}, Teeth: c.teeth,
				Mutants: []teeth.Mutant{{Name: "m", Rows: []int{66, 155}}, {Name: "u", Rows: []int{66, 155}, Unseen: true}},
				Hashes:  map[string]string{"m": "now", "u": "now"},
			})[0]
			if v.Met != (c.why == "") || !strings.Contains(v.Why, c.why) {
				t.Errorf("met %v, %q; want %q", v.Met, v.Why, c.why)
			}
		})
	}
}

func TestARowWithoutAMutantIsUnmet(t *testing.T) {
	v := Judge([]int{66}, Evidence{Results: []Result{at(0)}, Code: map[string]string{at(0).Key(): "now"}})[0]
	if v.Met || v.Why != "no mutant in test/teeth names it" {
		t.Errorf("%+v", v)
	}
}

func TestRepeatedTestsFailIfOneFailed(t *testing.T) {
	rec := func(r contract.Result) contract.Record {
		return contract.Record{Run: "1", Test: "TestX", Result: r, Time: noon}
	}
	for _, c := range []struct {
		want    Outcome
		records []contract.Record
	}{
		{FailedTest, []contract.Record{rec(""), rec("pass"), rec(""), rec("fail"), rec(""), rec("pass")}},
		{Passed, []contract.Record{rec(""), rec("pass"), rec(""), rec("pass")}},
		{Unfinished, []contract.Record{rec(""), rec("pass"), rec("")}},
	} {
		if got := Results(c.records); len(got) != 1 || got[0].Outcome != c.want {
			t.Errorf("%v, want %s", got, c.want)
		}
	}
}

func TestAProofSaysWhatItRestsOn(t *testing.T) {
	e := Evidence{
		Results: []Result{
			at(0, full, func(r *Result) { r.Counts = map[string]int{"states": 20_000} }),
			at(0, another, full, old),
			at(0, proof, full, func(r *Result) { r.Test = "TestEarlier" }),
		},
		Code: map[string]string{at(0).Key(): "now"}, Teeth: []Tooth{caught()},
		Mutants: []teeth.Mutant{{Name: "m", Rows: []int{66, 153}}}, Hashes: map[string]string{"m": "m-now"},
	}
	all, err := contract.ParseList("")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := NewProof(Judge(all, e), "fedcba").Write(root); err != nil {
		t.Fatal(err)
	}
	p, err := ReadProof(root)
	if err != nil {
		t.Fatal(err)
	}
	if p.Met != 2 || p.All != 167 || len(p.Rows) != 2 || len(p.Rows["153"].Tests) != 2 || p.Rows["153"].Tests[1].Counts["states"] != 20_000 {
		t.Errorf("%+v", p)
	}
	if p.Rows["66"].Tests[0].Commit != "0123456789abcdef" || p.Rows["66"].Tests[1].Commit != "" {
		t.Errorf("commits: %+v", p.Rows["66"].Tests)
	}

	// On a fresh clone the proof alone meets the same rows.
	fresh := e
	if fresh.Results, fresh.Teeth, err = p.Evidence(); err != nil {
		t.Fatal(err)
	}
	for _, v := range Judge([]int{66, 153}, fresh) {
		if !v.Met {
			t.Errorf("row %d: %s", v.Number, v.Why)
		}
	}
	fresh.Code = map[string]string{at(0).Key(): "later"}
	for _, v := range Judge([]int{66, 153}, fresh) {
		if v.Met || !strings.Contains(v.Why, "changed since") {
			t.Errorf("row %d after a change: %s", v.Number, v.Why)
		}
	}
}
