// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package maintenance

// Hooked is what a freeze knows of its hooks in one store.
type Hooked struct {
	// Made: what they do is being written down. Gone: it was, and somebody who undid it
	// by hand has thrown it away.
	Made, Gone bool
	// Another freeze, whose hooks in this store are not undone yet: what ours would read
	// as prior is what those have left.
	Another string
	// HookPlan is what comes next, once it is made.
	HookPlan
}

// waits: nothing can be quiesced before another freeze has undone what it did.
func (h *Hooked) waits() bool { return h != nil && !h.Made && !h.Gone && h.Another != "" }

// make reports whether what the hooks do has to be given a place now.
func (h *Hooked) make() bool { return h != nil && !h.Made && !h.Gone && h.Another == "" }

// keeps reports whether the lock is kept for what is not undone yet.
func (h *Hooked) keeps() bool {
	return h != nil && h.Made && !h.Undone && !h.Tried && h.GaveUp == ""
}

// owes reports whether the undoing goes on.
func (h *Hooked) owes() bool { return h != nil && h.Made && !h.Undone && h.GaveUp == "" }

// standing says where one pod is; ok when the hooks keep nobody waiting.
func (h *Hooked) standing(pod string) (waitsFor string, ok bool) {
	switch {
	case h == nil, h.Gone:
		return "", true
	case h.Another != "":
		return "the hooks of " + h.Another + " are not undone yet", false
	}
	s, seen := h.Pods[pod]
	switch {
	case s.Quiet:
		return "", true
	case !seen:
		return "its hooks have not run", false
	}
	return s.WaitsFor, false
}
