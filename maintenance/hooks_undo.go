// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package maintenance

import (
	"fmt"
	"slices"
	"time"
)

// owed: pre may have begun, and post has not succeeded.
func (h Hook) owed(r HookRan) bool {
	return h.Post.There && !r.Pre.Begun.IsZero() && !r.Post.OK
}

// undo lets the post hooks run in each pod in which pre may have begun, whatever
// became of it. One that fails keeps none of the others from being tried.
func (t HookTerms) undo(p *HookPlan, ran map[string]map[string]HookRan, up map[string]HookPod, now time.Time) {
	names := make([]string, 0, len(ran))
	for name := range ran {
		names = append(names, name)
	}
	slices.Sort(names)
	p.Undone, p.Tried = true, true
	over := !now.Before(t.Until)
	var waits, left []string
	for _, name := range names {
		chosen := false
		for _, h := range slices.Backward(t.Hooks) {
			r := ran[name][h.Name]
			if !h.owed(r) {
				if !r.Pre.Begun.IsZero() && r.Pre.open(now) { // it ends before anybody calls it over
					p.Undone, p.Tried = false, false
					p.look(r.Pre.By)
					waits = append(waits, fmt.Sprintf("%s (hook %s: pre runs)", name, h.Name))
				}
				continue
			}
			p.Undone = false
			tried := !r.Post.Begun.IsZero() && !r.Post.open(now)
			p.Tried = p.Tried && h.Post.Continue && tried
			what := fmt.Sprintf("hook %s: post", h.Name)
			if over && tried {
				left = append(left, fmt.Sprintf("pod %s %s", name, what))
				continue
			}
			ok, why := t.may(p, r, up[name], now, what)
			if ok && !chosen {
				chosen = true
				p.Do = append(p.Do, HookStep{Pod: name, On: up[name].On, Hook: h.Name, Part: Post})
			}
			if !ok && over && up[name].On == "" {
				left = append(left, fmt.Sprintf("pod %s %s (%s)", name, what, why))
			}
			if why == "" {
				why = what + " has not run"
			}
			waits = append(waits, fmt.Sprintf("%s (%s)", name, why))
		}
	}
	p.Why = few(waits)
	if len(left) > 0 && len(p.Do) == 0 {
		p.GaveUp = few(left)
	}
	if !p.Undone && !over {
		p.look(t.Until)
	}
}

// may reports whether post may be tried in a pod now: not while its pre may still be
// under way, which would come after it.
func (t HookTerms) may(p *HookPlan, r HookRan, pod HookPod, now time.Time, what string) (bool, string) {
	switch {
	case r.Pre.open(now):
		p.look(r.Pre.By)
		return false, "its pre may still run"
	case pod.On == "":
		return false, "the pod does not run"
	}
	return t.due(p, r.Post, now, what)
}

func (p *HookPlan) count(t HookTerms, ran map[string]map[string]HookRan, up map[string]HookPod) {
	for name, hooks := range ran {
		for _, h := range t.Hooks {
			r, ok := hooks[h.Name]
			if !ok {
				continue
			}
			wanted := r.Pre
			switch {
			case t.Undo:
				wanted = r.Post
			case h.Prior.There && !r.Kept:
				wanted = r.Prior
			}
			if !wanted.Ended.IsZero() && !wanted.OK && (t.Undo || wanted.On == up[name].On) {
				p.Wrong++
			}
			if r.Pre.OK {
				p.Ran++
			}
			switch {
			case r.Pre.Begun.IsZero():
			case h.owed(r):
				p.Owed++
			default:
				p.Over++
			}
		}
	}
}
