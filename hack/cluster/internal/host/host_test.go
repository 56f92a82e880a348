// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"net/netip"
	"reflect"
	"testing"
)

func TestNodeNetwork(t *testing.T) {
	for _, test := range []struct {
		pods  string
		index int
		want  string
	}{
		{"10.244.0.0/16", 0, "10.244.0.0/24"},
		{"10.244.0.0/16", 255, "10.244.255.0/24"},
		{"10.244.0.0/16", 256, ""},
		{"10.244.7.9/20", 1, "10.244.1.0/24"},
		{"192.168.5.0/24", 0, "192.168.5.0/24"},
		{"192.168.5.0/24", 1, ""},
		{"192.168.5.0/25", 0, ""},
		{"fd00::/16", 0, ""},
	} {
		got, err := NodeNetwork(netip.MustParsePrefix(test.pods), test.index)
		if test.want == "" {
			if err == nil {
				t.Errorf("%s, node %d: got %s, want an error", test.pods, test.index, got)
			}
			continue
		}
		if err != nil || got.String() != test.want {
			t.Errorf("%s, node %d: got %s, %v, want %s", test.pods, test.index, got, err, test.want)
		}
	}
	if g := Gateway(netip.MustParsePrefix("10.244.3.0/24")); g.String() != "10.244.3.1" {
		t.Errorf("gateway %s", g)
	}
}

func TestOverlapping(t *testing.T) {
	network := netip.MustParsePrefix("10.244.0.0/16")
	own := func(dev string) bool { return dev == "sv-salvor0" }
	for name, test := range map[string]struct {
		route Route
		want  bool
	}{
		"default route":         {Route{"default", "eth0"}, false},
		"everything":            {Route{"0.0.0.0/0", "eth0"}, false},
		"inside":                {Route{"10.244.9.0/24", "vpn0"}, true},
		"around":                {Route{"10.0.0.0/8", "vpn0"}, true},
		"single address inside": {Route{"10.244.1.1", "wg0"}, true},
		"beside":                {Route{"10.245.0.0/16", "eth1"}, false},
		"our own bridge":        {Route{"10.244.0.0/24", "sv-salvor0"}, false},
		"nonsense":              {Route{"what", "eth0"}, false},
	} {
		if got := len(Overlapping(network, []Route{test.route}, own)) > 0; got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestParseMounts(t *testing.T) {
	info := `22 27 0:21 / /proc rw - proc proc rw
30 27 8:1 / /state/a rw - ext4 /dev/x rw
31 30 0:3 / /state/a/shm\040x rw - tmpfs t rw
32 27 0:4 / /state/ab rw - tmpfs t rw
33 30 0:5 / /state/a rw - tmpfs over rw
`
	got := parseMounts([]byte(info), "/state/a")
	want := []string{"/state/a", "/state/a/shm x", "/state/a"}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if got := parseMounts([]byte(info), "/nowhere"); got != nil {
		t.Fatalf("got %q", got)
	}
}
