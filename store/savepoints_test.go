// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/test/contract"
)

// statements reads them: "x1" puts 1 into x, "-x" deletes it, "[a" "]a" "<a" are
// savepoint, release and rollback_to, "x1!a" puts if the row is not there, else to a, and
// "x1!" the same without an else.
func statements(words string) (out []store.Statement) {
	for _, w := range strings.Fields(words) {
		rest := w[1:]
		switch w[0] {
		case '[':
			out = append(out, store.Statement{Op: store.OpSavepoint, Name: rest})
		case ']':
			out = append(out, store.Statement{Op: store.OpRelease, Name: rest})
		case '<':
			out = append(out, store.Statement{Op: store.OpRollbackTo, Name: rest})
		case '-':
			out = append(out, del("t", rest))
		default:
			value, to, cond := strings.Cut(rest, "!")
			s := put("t", w[:1], value)
			if cond {
				s = onlyIf(s, store.Condition{NoneMatch: "*"})
				s.Else = to
			}
			out = append(out, s)
		}
	}
	return out
}

// Every statement in every state that the savepoints can be in. Before the statement x is
// 0, and each savepoint was opened before another write to x: 1, 2, 3. y is there, so
// that its precondition fails. The outcome is what x is; "-" means refused.
func TestEverySavepointStatementInEveryState(t *testing.T) {
	contract.Row(t, 41)
	states := []struct{ name, script string }{
		{"none", "x0"},
		{"a", "x0 [a x1"},
		{"a b", "x0 [a x1 [b x2"},
		{"a a", "x0 [a x1 [a x2"},
		{"a b a", "x0 [a x1 [b x2 [a x3"},
		{"a released", "x0 [a x1 ]a"},
		{"a rolled back to", "x0 [a x1 <a"},
		{"a, b rolled back away", "x0 [a x1 [b x2 <a"},
		{"a, b released with it", "x0 [a x1 [b x2 ]a"},
	}
	// What is tried, and then whether a and b are open: a rollback to each.
	steps := []string{"[a", "<a", "<b", "]a", "]b", "x7", "-x", "y7!a", "y7!b", "y7!"}
	want := map[string][]string{
		//                         [a   <a   <b   ]a   ]b   x7   -x   y!a  y!b  y!
		"none":                  {"0", "-", "-", "-", "-", "7", "", "-", "-", "-"},
		"a":                     {"1", "0", "-", "1", "-", "7", "", "0", "-", "-"},
		"a b":                   {"2", "0", "1", "2", "2", "7", "", "0", "1", "-"},
		"a a":                   {"2", "1", "-", "2", "-", "7", "", "1", "-", "-"},
		"a b a":                 {"3", "2", "1", "3", "3", "7", "", "2", "1", "-"},
		"a released":            {"1", "-", "-", "-", "-", "7", "", "-", "-", "-"},
		"a rolled back to":      {"0", "0", "-", "0", "-", "7", "", "0", "-", "-"},
		"a, b rolled back away": {"0", "0", "-", "0", "-", "7", "", "0", "-", "-"},
		"a, b released with it": {"2", "-", "-", "-", "-", "7", "", "-", "-", "-"},
	}
	// How often a, and how often b, can be released afterwards. A precondition changes
	// nothing of that: whether it fails is not known before.
	open := map[string][]string{
		"none":                  {"10", "", "", "", "", "00", "00", "", "", ""},
		"a":                     {"20", "10", "", "00", "", "10", "10", "10", "", ""},
		"a b":                   {"21", "10", "11", "00", "10", "11", "11", "11", "11", ""},
		"a a":                   {"30", "20", "", "10", "", "20", "20", "20", "", ""},
		"a b a":                 {"31", "21", "11", "11", "10", "21", "21", "21", "21", ""},
		"a released":            {"10", "", "", "", "", "00", "00", "", "", ""},
		"a rolled back to":      {"20", "10", "", "00", "", "10", "10", "10", "", ""},
		"a, b rolled back away": {"20", "10", "", "00", "", "10", "10", "10", "", ""},
		"a, b released with it": {"10", "", "", "", "", "00", "00", "", "", ""},
	}
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "y", "there"))
	for _, state := range states {
		for i, step := range steps {
			name := state.name + " | " + step
			p.must(del("t", "x"))
			next := p.Status().Next
			_, err := p.Transact(t.Context(), store.Transaction{Statements: statements(state.script + " " + step)})
			var refusal *store.Refusal
			switch is := want[state.name][i]; {
			case is == "-":
				reason := store.ReasonInvalid
				if step == "y7!" {
					reason = store.ReasonPrecondition
				}
				if !errors.As(err, &refusal) || refusal.Reason != reason || p.Status().Next != next {
					t.Errorf("%s: %v, want a refusal, %s", name, err, reason)
				}
				continue
			case err != nil:
				t.Errorf("%s: %v", name, err)
				continue
			case is == "":
				w.same(name, p.rows(), content{"t": {"y": `{"v":"there"}`}})
			default:
				w.same(name, p.rows(), content{"t": {"y": `{"v":"there"}`, "x": fmt.Sprintf(`{"v":%q}`, is)}})
			}
			got := ""
			for _, sp := range []string{"a", "b"} {
				n, more := 0, ""
				for {
					// Only the names of what is open matter here: a release of a takes b with it.
					if more += " ]" + sp; p.refusesScript(state.script + " " + step + more) {
						break
					}
					n++
				}
				got += fmt.Sprint(n)
			}
			if got != open[state.name][i] {
				t.Errorf("%s: a and b can be released %s times, want %s", name, got, open[state.name][i])
			}
		}
	}
}

// refusesScript reports whether the script is Invalid; it is never done.
func (p *process) refusesScript(words string) bool {
	p.w.Helper()
	_, err := p.Transact(context.Background(), store.Transaction{Statements: statements("y7! " + words)})
	var refusal *store.Refusal
	if !errors.As(err, &refusal) {
		p.w.Fatalf("%s: %v", words, err)
	}
	return refusal.Reason == store.ReasonInvalid
}

// What is between a savepoint and its end is done all or not at all, and what follows is
// done.
func TestABlockIsDoneWholeOrNotAtAll(t *testing.T) {
	contract.Row(t, 41)
	for _, c := range []struct{ script, want, skipped string }{
		{"a1 [s b1 y7!s c1 ]s d1", "a d", "4"},
		{"a1 [s b1 z7!s c1 ]s d1", "a b c d z", ""},
		{"a1 [s b1 y7!s c1", "a", "4"},
		{"a1 [s b1 [i c1 y7!i d1 ]i e1 ]s f1", "a b e f", "6"},
		{"a1 [s b1 [i c1 y7!s d1 ]i e1 ]s f1", "a f", "6 7 8"},
		{"a1 [o b1 [s c1 y7!s d1 ]o e1", "a b e", "6"},
		{"a1 [o b1 [s c1 y7!s d1 <o e1 ]o", "a e", "6"},
		{"a1 [s b1 y7!s c1 [s d1 ]s e1 ]s f1", "a f", "4 5 6 7 8"},
		{"a1 [s y7!s ]s [s z7!s ]s", "a z", ""},
		{"[s a1 y7!s ]s", "", ""},
	} {
		w := newWorld(t)
		p := w.start()
		p.must(put("t", "y", "there"))
		_, err := p.Transact(t.Context(), store.Transaction{Statements: statements("[s y1 <s")})
		if err != nil || p.Status().Next != 2 {
			t.Fatalf("what was rolled back has left something in the log: next %d, %v", p.Status().Next, err)
		}
		r, err := p.Transact(t.Context(), store.Transaction{Statements: statements(c.script)})
		if err != nil {
			t.Fatalf("%s: %v", c.script, err)
		}
		want := content{"t": {"y": `{"v":"there"}`}}
		for _, key := range strings.Fields(c.want) {
			value := "1"
			if key == "z" {
				value = "7"
			}
			want.set("t", key, fmt.Sprintf(`{"v":%q}`, value))
		}
		w.same(c.script, p.rows(), want)
		var skipped []string
		for i, res := range r.Results {
			if res.Skipped {
				skipped = append(skipped, fmt.Sprint(i))
			}
			if failed := res.Failed != nil; failed && (res.Failed.Statement != i || !res.Failed.Is.Found) {
				t.Errorf("%s: statement %d: %+v", c.script, i, res.Failed)
			}
		}
		if got := strings.Join(skipped, " "); got != c.skipped {
			t.Errorf("%s: skipped %q, want %q", c.script, got, c.skipped)
		}
		next := p.Status().Next
		if wrote := c.want != ""; wrote != (next == 3) {
			t.Errorf("%s: next position %d", c.script, next)
		}
		for _, path := range w.segments() {
			if raw := string(w.disk.Bytes(path)); strings.Contains(raw, "savepoint") || strings.Contains(raw, `"if"`) || strings.Contains(raw, "else") {
				t.Errorf("%s: the log has more than writes", c.script)
			}
		}
		p.kill()
		w.same("after a restart: "+c.script, w.start().rows(), want)
	}
}

// Random scripts against a model that copies everything at each savepoint, as SQL says.
func TestSavepointsAreThoseOfSQL(t *testing.T) {
	contract.Row(t, 41)
	p := newWorld(t).start()
	rapid.Check(t, func(rt *rapid.T) {
		word := rapid.SampledFrom([]string{"x1", "x2", "y1", "-x", "-y", "[a", "[b", "[c", "<a", "<b", "<c", "]a", "]b", "]c"})
		var words []string
		for range rapid.IntRange(1, 25).Draw(rt, "words") {
			next := append(words, word.Draw(rt, "word"))
			if _, ok := model(next); ok {
				words = next
			}
		}
		words = append(words, word.Draw(rt, "the last one")) // which may be no good
		p.must(put("t", "x", "0"), del("t", "y"))
		want, ok := model(words)
		_, err := p.Transact(t.Context(), store.Transaction{Statements: statements(strings.Join(words, " "))})
		var refusal *store.Refusal
		if !ok {
			if !errors.As(err, &refusal) || refusal.Reason != store.ReasonInvalid {
				rt.Fatalf("%q: %v, want that it is Invalid", words, err)
			}
			return
		}
		if err != nil {
			rt.Fatalf("%q: %v", words, err)
		}
		r := p.must(get("t", "x"), get("t", "y"))
		if got := [2]string{string(r.Results[0].Row), string(r.Results[1].Row)}; got != want {
			rt.Fatalf("%q: %q, want %q", words, got, want)
		}
	})
}

// model runs a script without conditions on x and y; false: it is not one.
func model(words []string) (is [2]string, ok bool) {
	type saved struct {
		name string
		is   [2]string
	}
	is = [2]string{`{"v":"0"}`, ""}
	var stack []saved
	for _, w := range words {
		top := len(stack) - 1
		for top >= 0 && stack[top].name != w[1:] {
			top--
		}
		switch w[0] {
		case '[':
			stack = append(stack, saved{w[1:], is})
		case '<', ']':
			if top < 0 {
				return is, false
			}
			if w[0] == ']' {
				stack = stack[:top]
				continue
			}
			is = stack[top].is
			stack = stack[:top+1]
		case '-':
			is[w[1]-'x'] = ""
		default:
			is[w[0]-'x'] = fmt.Sprintf(`{"v":%q}`, w[1:])
		}
	}
	return is, true
}
