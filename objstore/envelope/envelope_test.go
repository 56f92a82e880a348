// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package envelope_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore/envelope"
)

type body struct {
	Store string `json:"store"`
	N     int    `json:"n"`
}

// golden is what format 1 looks like for ever. It is never edited.
const golden = "salvor manifest 1 sha256:43ea942b0b312d999103d089ffe789554ccb52c452e13c3ad737c03f4fd7c09d\n" +
	`{"store":"s","n":42}` + "\n"

func TestGoldenBytes(t *testing.T) {
	raw, err := envelope.Encode("manifest", 1, body{"s", 42})
	if err != nil || string(raw) != golden {
		t.Fatalf("%v\n got %q\nwant %q", err, raw, golden)
	}
	var got body
	if format, err := envelope.Decode("manifest", 1, []byte(golden), &got); err != nil || format != 1 || got != (body{"s", 42}) {
		t.Fatalf("%+v, %d, %v", got, format, err)
	}
	h, off, err := envelope.ParseHeader([]byte(golden[:strings.IndexByte(golden, 10)+1]))
	if err != nil || h.Kind != "manifest" || h.Digest != envelope.Digest([]byte(golden)[off:]) {
		t.Fatalf("the header alone: %+v, %v", h, err)
	}
}

// What stands behind the object belongs to nobody, even if the digest says that it was written.
func TestAnObjectIsAllOfIt(t *testing.T) {
	body := `{"store":"s","n":42}` + "\n" + `{"n":43}` + "\n"
	raw := "salvor manifest 1 " + envelope.Digest([]byte(body)) + "\n" + body
	if _, err := envelope.Decode("manifest", 1, []byte(raw), &struct{}{}); !errors.Is(err, envelope.ErrMalformed) {
		t.Fatalf("two objects in one: %v; want ErrMalformed", err)
	}
}

// Nothing is ever half understood.
func TestWhatIsNotWholeIsRefused(t *testing.T) {
	for n := range len(golden) {
		var got body
		if _, err := envelope.Decode("manifest", 1, []byte(golden[:n]), &got); err == nil || got != (body{}) {
			t.Fatalf("cut off at %d: %+v, %v", n, got, err)
		}
	}
	for n := range len(golden) {
		altered := []byte(golden)
		altered[n] ^= 1
		var got body
		if _, err := envelope.Decode("manifest", 1, altered, &got); err == nil || got != (body{}) {
			t.Fatalf("altered at %d: %+v, %v", n, got, err)
		}
	}
}

func TestErrorsSayWhich(t *testing.T) {
	var damaged *envelope.DigestError
	if _, err := envelope.Decode("manifest", 1, []byte(strings.Replace(golden, "42", "43", 1)), &body{}); !errors.As(err, &damaged) {
		t.Errorf("altered: %v", err)
	}
	var newer *envelope.FormatError
	if _, err := envelope.Decode("manifest", 1, []byte(strings.Replace(golden, " 1 ", " 2 ", 1)), &body{}); !errors.As(err, &newer) || newer.Found != 2 || !strings.Contains(err.Error(), "upgrade salvor") {
		t.Errorf("newer: %v", err)
	}
	for name, raw := range map[string]string{
		"another kind":  strings.Replace(golden, "manifest", "sidecar", 1),
		"no envelope":   `{"store":"s"}` + "\n",
		"empty":         "",
		"endless line":  strings.Repeat("salvor ", 40) + "\n",
		"format zero":   strings.Replace(golden, " 1 ", " 0 ", 1),
		"format a word": strings.Replace(golden, " 1 ", " one ", 1),
	} {
		if _, err := envelope.Decode("manifest", 1, []byte(raw), &body{}); !errors.Is(err, envelope.ErrMalformed) {
			t.Errorf("%s: %v; want ErrMalformed", name, err)
		}
	}
}
