// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// tellStatus writes it for people: a line for each store, what there is to know of
// those that are not just Ready, and the next step last.
func tellStatus(w io.Writer, all fleetStatus) {
	if len(all.Stores) == 0 {
		fmt.Fprintln(w, "there is no WALStore here")
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(all.Stores) > 0 {
		fmt.Fprintln(t, "NAMESPACE\tSTORE\tSTATUS\tREASON\tPENDING\tWRITERS\tMANIFEST")
	}
	for _, s := range all.Stores {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%d\n", s.Namespace, s.Name, s.Standing, s.Reason, len(s.Pending), orDash(s.Writers), s.Manifest)
	}
	_ = t.Flush() // the writer's own errors come again at the next write
	for _, s := range all.Stores {
		if s.Standing != standsReady || len(all.Stores) == 1 {
			s.tell(w)
		}
	}
	fmt.Fprintln(w, "\nNext step:", all.Next)
}

func (s *storeStatus) tell(w io.Writer) {
	fmt.Fprintf(w, "\n%s/%s\n  %-10s %s\n", s.Namespace, s.Name, strings.ToLower(string(s.Standing)), s.Message)
	for _, a := range s.Also {
		fmt.Fprintf(w, "  also       %s\n", a)
	}
	if l := s.Lock; l != nil {
		fmt.Fprintf(w, "  lock       %s by %s, since %s, until %s: %s\n", l.Mode, l.who(), rfc3339(l.Since), rfc3339(l.Until), l.Reason)
	}
	if p := s.Suspended; p != nil {
		fmt.Fprintf(w, "  suspended  by %s until %s: %s\n", p.By, rfc3339(p.Until), p.Reason)
	}
	for _, p := range s.Pending {
		fmt.Fprintf(w, "  pending    %s for %s: %s (%s) %s\n", p.Name, ago(p.AgeSeconds), orNone(p.Decision), orNone(p.Reason), p.Message)
	}
	for _, p := range s.Pods {
		ready := "ready"
		if !p.Ready {
			ready = "not ready"
		}
		fmt.Fprintf(w, "  pod        %s %s%s, %s\n", p.Name, ready, p.restarted(), p.where())
	}
	if s.PodsUnknown != "" {
		fmt.Fprintf(w, "  pods       unknown: %s\n", s.PodsUnknown)
	}
	if s.Oldest != nil {
		fmt.Fprintf(w, "  oldest     %s, for %s\n", s.Oldest.What, ago(s.Oldest.AgeSeconds))
	}
}

func (p *podStatus) restarted() string {
	if p.Restarts == 0 {
		return ""
	}
	return fmt.Sprintf(", %d restarts", p.Restarts)
}

func (p *podStatus) where() string {
	var words []string
	if p.State != "" {
		words = append(words, p.State)
	}
	if p.Position != nil {
		words = append(words, fmt.Sprintf("log durable up to %d", *p.Position))
	}
	if p.Published != nil {
		words = append(words, fmt.Sprintf("published up to %d", *p.Published))
	}
	if p.Position == nil {
		words = append(words, "position unknown"+strings.TrimSuffix(": "+p.Unknown, ": "))
	}
	return strings.Join(words, ", ")
}

// summary counts the stores by where they stand, for the error line.
func summary(all []storeStatus) string {
	count := map[standing]int{}
	for _, s := range all {
		count[s.Standing]++
	}
	var words []string
	for _, st := range standings {
		if n := count[st]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, st))
		}
	}
	return fmt.Sprintf("of %d stores: %s", len(all), strings.Join(words, ", "))
}

func ago(seconds int64) string { return (time.Duration(seconds) * time.Second).String() }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
