// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// Leg is one run on the way to a state. As text, the legs of a path are what a
// replay needs.
type Leg struct {
	Name  string // which actors
	Point Point
	// Stop: everybody died behind this many durable writes; 0: they came to their end.
	Stop  int
	Order []string
}

// String reads like "do@W1:3:torn!4~W1*7,R1*2".
func (l Leg) String() string {
	s := l.Name
	if l.Point.Moment != 0 {
		s += fmt.Sprintf("@%s:%d:%s", l.Point.Process, l.Point.Write, l.Point.Moment)
	}
	if l.Stop > 0 {
		s += fmt.Sprintf("!%d", l.Stop)
	}
	for i := 0; i < len(l.Order); {
		j := i
		for j < len(l.Order) && l.Order[j] == l.Order[i] {
			j++
		}
		s += fmt.Sprintf("%s%s*%d", map[bool]string{true: "~", false: ","}[i == 0], l.Order[i], j-i)
		i = j
	}
	return s
}

// ParseLeg is the inverse of String.
func ParseLeg(s string) (l Leg, err error) {
	s, order, _ := strings.Cut(s, "~")
	for _, part := range strings.Split(order, ",") {
		if c, n, ok := strings.Cut(part, "*"); ok {
			times, err := strconv.Atoi(n)
			if err != nil {
				return l, fmt.Errorf("leg %q: %w", s, err)
			}
			for range times {
				l.Order = append(l.Order, c)
			}
		}
	}
	s, stop, ok := strings.Cut(s, "!")
	if ok {
		if l.Stop, err = strconv.Atoi(stop); err != nil {
			return l, fmt.Errorf("leg %q: %w", s, err)
		}
	}
	var point string
	if l.Name, point, ok = strings.Cut(s, "@"); !ok {
		return l, nil
	}
	f := strings.Split(point, ":")
	if len(f) != 3 {
		return l, fmt.Errorf("leg %q: want process:write:moment", s)
	}
	l.Point.Process = f[0]
	if l.Point.Write, err = strconv.Atoi(f[1]); err != nil {
		return l, fmt.Errorf("leg %q: %w", s, err)
	}
	for m, name := range momentNames {
		if name == f[2] {
			l.Point.Moment = Moment(m)
		}
	}
	return l, nil
}
