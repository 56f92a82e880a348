// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// condition is one word of a status, before it is dated.
type condition struct {
	Type    string
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

func isTrue(t, reason, message string) condition {
	return condition{t, metav1.ConditionTrue, reason, message}
}
func isFalse(t, reason, message string) condition {
	return condition{t, metav1.ConditionFalse, reason, message}
}
func unknown(t, reason, message string) condition {
	return condition{t, metav1.ConditionUnknown, reason, message}
}

// unseen are the conditions of what nobody has looked at yet.
func unseen(types []string) []condition {
	var out []condition
	for _, t := range types {
		out = append(out, unknown(t, v1alpha1.ReasonNotObserved, "nobody has looked yet"))
	}
	return out
}

// dated turns conditions into those of a status: in a fixed order, with the time
// of the last change of each status kept. What is not said stays as it was.
func dated(before []metav1.Condition, said []condition, types []string, generation int64, now time.Time) []metav1.Condition {
	var out []metav1.Condition
	for _, t := range types {
		was, had := find(before, t)
		i := slices.IndexFunc(said, func(c condition) bool { return c.Type == t })
		switch {
		case i < 0 && had:
			out = append(out, was)
			continue
		case i < 0:
			said, i = append(said, unseen([]string{t})...), len(said)
		}
		c := metav1.Condition{
			Type: t, Status: said[i].Status, Reason: said[i].Reason, Message: said[i].Message,
			ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
		}
		if had && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
		out = append(out, c)
	}
	return out
}

func find(conditions []metav1.Condition, t string) (metav1.Condition, bool) {
	for _, c := range conditions {
		if c.Type == t {
			return c, true
		}
	}
	return metav1.Condition{}, false
}

// holds reports whether the condition is True.
func holds(conditions []metav1.Condition, t string) bool {
	c, _ := find(conditions, t)
	return c.Status == metav1.ConditionTrue
}

// sameWords reports whether two lists differ in nothing but times and in messages
// whose reason is the same.
func sameWords(a, b []metav1.Condition) bool {
	return slices.EqualFunc(a, b, func(x, y metav1.Condition) bool {
		return x.Type == y.Type && x.Status == y.Status && x.Reason == y.Reason && x.ObservedGeneration == y.ObservedGeneration
	})
}
