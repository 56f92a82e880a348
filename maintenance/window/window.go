// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package window says whether work that may wait is done now: windows that come again,
// each in a time zone of its own. It has no clock.
//
//	schedule "0 2 * * 6", 3 h, Europe/Berlin     Saturday 02:00 ──open──▶ 05:00 ──▶ next Saturday
package window

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// Window is a time that comes again, in which work that may wait is done.
type Window struct {
	// Schedule is when it opens: minute, hour, day of the month, month, day of the week,
	// as cron has them.
	Schedule string
	// Duration is how long it stays open: at most a week.
	Duration time.Duration
	// TimeZone by its name in the IANA database, such as Europe/Berlin. Default UTC.
	TimeZone string
}

// Opening is whether work may be done now.
type Opening struct {
	// Open: a window is open now, or there are none. Until is when it closes; zero
	// where there are no windows.
	Open  bool
	Until time.Time
	// Next is when the next one opens; zero where there are none, or none ever does.
	Next time.Time
}

// String says it for people.
func (o Opening) String() string {
	switch {
	case o.Open && o.Until.IsZero():
		return "at any time"
	case o.Open:
		return "until " + o.Until.UTC().Format(time.RFC3339)
	case o.Next.IsZero():
		return "never: no window ever opens"
	}
	return "from " + o.Next.UTC().Format(time.RFC3339)
}

// Windows are when work may be done: at any time if there are none.
type Windows []Window

// parser reads five fields. What cron has beside them (@every, @reboot) is no time of day.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// longest is the longest window.
const longest = 7 * 24 * time.Hour

// schedule reads one window.
func (w Window) schedule() (cron.Schedule, *time.Location, error) {
	if w.Duration < time.Minute || w.Duration > longest {
		return nil, nil, fmt.Errorf("duration %s: want one minute to seven days", w.Duration)
	}
	zone := w.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	if zone == "Local" {
		return nil, nil, fmt.Errorf("time zone %q: want a name of the IANA database, such as Europe/Berlin", zone)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, nil, fmt.Errorf("time zone %q: want a name of the IANA database, such as Europe/Berlin: %w", zone, err)
	}
	s, err := parser.Parse(w.Schedule)
	if err != nil {
		return nil, nil, fmt.Errorf("schedule %q: want five fields as cron has them, such as \"0 2 * * 6\": %w", w.Schedule, err)
	}
	return s, loc, nil
}

// At says whether work may be done at a time. It is pure. A window that would open in
// an hour which the clocks leave out does not open that day; in an hour which they
// repeat it opens both times.
func (ws Windows) At(now time.Time) (o Opening, err error) {
	o.Open = len(ws) == 0
	for i, w := range ws {
		s, loc, err := w.schedule()
		if err != nil {
			return Opening{}, fmt.Errorf("window %d: %w", i, err)
		}
		local := now.In(loc)
		// The last opening that could still last.
		for at := s.Next(local.Add(-w.Duration)); !at.IsZero() && !at.After(local); at = s.Next(at) {
			o.Open = true
			if until := at.Add(w.Duration); until.After(o.Until) {
				o.Until = until
			}
		}
		if next := s.Next(local); !next.IsZero() && (o.Next.IsZero() || next.Before(o.Next)) {
			o.Next = next
		}
	}
	return o, nil
}
