// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package window

import (
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

func TestWindows(t *testing.T) {
	contract.Row(t, 141)
	at := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	saturday := Window{Schedule: "0 2 * * 6", Duration: 3 * time.Hour, TimeZone: "Europe/Berlin"}
	nightly := Window{Schedule: "30 23 * * *", Duration: 90 * time.Minute}
	berlin := Window{Schedule: "30 2 * * *", Duration: 30 * time.Minute, TimeZone: "Europe/Berlin"}
	long := Window{Schedule: "0 0 * * 1", Duration: 7 * 24 * time.Hour}
	for _, c := range []struct {
		name string
		ws   Windows
		now  string
		want string
	}{
		{"none", nil, "2026-11-23T12:00:00Z", "at any time"},
		{"before it", Windows{saturday}, "2026-11-28T00:59:59Z", "from 2026-11-28T01:00:00Z"},
		{"as it opens", Windows{saturday}, "2026-11-28T01:00:00Z", "until 2026-11-28T04:00:00Z"},
		{"in its last second", Windows{saturday}, "2026-11-28T03:59:59Z", "until 2026-11-28T04:00:00Z"},
		{"as it closes", Windows{saturday}, "2026-11-28T04:00:00Z", "from 2026-12-05T01:00:00Z"},
		{"in summer", Windows{saturday}, "2026-07-04T00:30:00Z", "until 2026-07-04T03:00:00Z"},
		{"over midnight", Windows{nightly}, "2026-11-24T00:59:00Z", "until 2026-11-24T01:00:00Z"},
		{"the nearest of two", Windows{saturday, nightly}, "2026-11-27T12:00:00Z", "from 2026-11-27T23:30:00Z"},
		{"two that overlap", Windows{saturday, {Schedule: "0 3 * * *", Duration: time.Hour, TimeZone: "UTC"}}, "2026-11-28T03:10:00Z", "until 2026-11-28T04:00:00Z"},
		{"an hour that the clocks leave out", Windows{berlin}, "2026-03-29T00:59:00Z", "from 2026-03-30T00:30:00Z"},
		{"an hour that they repeat", Windows{berlin}, "2026-10-25T00:45:00Z", "until 2026-10-25T01:00:00Z"},
		{"the second time of that hour", Windows{berlin}, "2026-10-25T01:45:00Z", "until 2026-10-25T02:00:00Z"},
		{"always", Windows{long}, "2026-11-26T12:00:00Z", "until 2026-11-30T00:00:00Z"},
		{"never", Windows{{Schedule: "0 0 30 2 *", Duration: time.Hour}}, "2026-11-26T12:00:00Z", "never: no window ever opens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := c.ws.At(at(c.now))
			if err != nil || o.String() != c.want {
				t.Errorf("%s, %v; want %s", o, err, c.want)
			}
		})
	}
}

func TestAWindowThatCannotBeReadSaysWhatIsWanted(t *testing.T) {
	contract.Row(t, 141)
	for want, w := range map[string]Window{
		"want five fields":                {Schedule: "whenever", Duration: time.Hour},
		"five fields as cron has them":    {Schedule: "@every 1h", Duration: time.Hour},
		"IANA database":                   {Schedule: "0 2 * * 6", Duration: time.Hour, TimeZone: "Berlin"},
		"such as Europe/Berlin":           {Schedule: "0 2 * * 6", Duration: time.Hour, TimeZone: "Local"},
		"duration 0s: want one minute":    {Schedule: "0 2 * * 6"},
		"duration 169h0m0s: want one min": {Schedule: "0 2 * * 6", Duration: 169 * time.Hour},
	} {
		if _, err := (Windows{{Schedule: "0 0 * * *", Duration: time.Hour}, w}).At(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "window 1") {
			t.Errorf("%+v: %v", w, err)
		}
	}
}
