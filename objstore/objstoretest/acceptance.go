// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
)

// Acceptance runs the contract of objstore.Bucket. open returns a bucket, or a
// prefix in one, that is empty and that nobody else uses; it is called once per
// sentence of the contract. The caller closes what it opened.
func Acceptance(t *testing.T, open func() objstore.Bucket) {
	t.Helper()
	for _, sentence := range []struct {
		name string
		test func(*testing.T, objstore.Bucket)
	}{
		{"what was created is read back, whole", readBack},
		{"a taken key is Exists and keeps its bytes", takenKey},
		{"a deleted key is absent and can be created again", deletedKey},
		{"deleting an absent key is success", deleteAbsent},
		{"reading an absent key is ErrNotFound", readAbsent},
		{"a range ends with the object", rangeEdges},
		{"a body of 8 MiB fits", largestBody},
		{"one byte more is refused and nothing is sent", tooLarge},
		{"an invalid key is refused by every verb", invalidKeys},
		{"an ended context is visible and nothing is sent", endedContext},
		{"dates are those of the store", dates},
		{"a listing is in byte order of the keys", listOrder},
		{"a listing begins after a key and keeps to its prefix", listAfter},
		{"a listing of nothing is empty and no error", listNothing},
		{"a listing has no gap where pages meet", listPages},
		{"a listing is there for the reader who stops early", listStop},
		{"32 racing writers: exactly one is Created", race},
		{"32 writers of 32 keys: all are Created", crowd},
		{"keys come and go in one directory", revolvingDoor},
		{"what stays is listed while others come and go", listConcurrent},
	} {
		t.Run(sentence.name, func(t *testing.T) { sentence.test(t, open()) })
	}
}

// mustCreate puts body under key and expects Created.
func mustCreate(t *testing.T, b objstore.Bucket, key, body string) {
	t.Helper()
	r, err := b.PutIfAbsent(t.Context(), key, []byte(body), "attempt-1")
	if r.Outcome != objstore.Created || err != nil {
		t.Fatalf("put %s: %v, %v; want Created", key, r.Outcome, err)
	}
}

// mustHave expects key to have exactly these bytes.
func mustHave(t *testing.T, b objstore.Bucket, key, body string) {
	t.Helper()
	o, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if o.Key != key || string(o.Body) != body {
		t.Fatalf("get %s: key %q with %d bytes; want the %d bytes that were put", key, o.Key, len(o.Body), len(body))
	}
}

// mustList expects a listing to have exactly these keys.
func mustList(t *testing.T, b objstore.Bucket, prefix, after string, want ...string) {
	t.Helper()
	var got []string
	for e, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("list %q after %q: %v", prefix, after, err)
		}
		got = append(got, e.Key)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("list %q after %q:\n got %q\nwant %q", prefix, after, got, want)
	}
}

func readBack(t *testing.T, b objstore.Bucket) {
	for key, body := range map[string]string{
		"one":                                    "x",
		"empty":                                  "",
		"manifest/00000000000000000042":          "salvor manifest 1\n{}\n",
		"tables/a-b_c.d~e/f@g=h+i,j;k:l!m'n(o)p": "every kind of name",
		"tables/%41%2F/a&b?c#d<e>[f]{g}|h^i`\"$*": "and names that must be escaped on the way",
		"recovery/op.confirmed":                   string([]byte{0, 1, 254, 255, '\r', '\n'}),
	} {
		mustCreate(t, b, key, body)
		mustHave(t, b, key, body)
		mustList(t, b, key, "", key)
	}
	// The body belongs to the caller again, on both sides.
	body := []byte("before")
	if r, err := b.PutIfAbsent(t.Context(), "mine", body, "a"); r.Outcome != objstore.Created || err != nil {
		t.Fatalf("put: %v, %v", r.Outcome, err)
	}
	copy(body, "after!")
	o, err := b.Get(t.Context(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	copy(o.Body, "after!")
	mustHave(t, b, "mine", "before")
}

func takenKey(t *testing.T, b objstore.Bucket) {
	mustCreate(t, b, "manifest/1", "first")
	// Another body, the same body, an empty one: the first entry wins.
	for _, body := range []string{"second", "first", ""} {
		r, err := b.PutIfAbsent(t.Context(), "manifest/1", []byte(body), "attempt-2")
		if r.Outcome != objstore.Exists || err != nil {
			t.Fatalf("put %q on a taken key: %v, %v; want Exists", body, r.Outcome, err)
		}
	}
	mustHave(t, b, "manifest/1", "first")
	mustList(t, b, "", "", "manifest/1")
}

func deletedKey(t *testing.T, b objstore.Bucket) {
	mustCreate(t, b, "recovery/op", "armed")
	if err := b.Delete(t.Context(), "recovery/op"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "recovery/op"); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("get after delete: %v; want ErrNotFound", err)
	}
	mustList(t, b, "", "")
	mustCreate(t, b, "recovery/op", "again")
	mustHave(t, b, "recovery/op", "again")
}

func deleteAbsent(t *testing.T, b objstore.Bucket) {
	mustCreate(t, b, "a/b", "x")
	for _, key := range []string{"nothing", "no/such/directory", "a/c", "a/b/c", "a"} {
		for range 2 {
			if err := b.Delete(t.Context(), key); err != nil {
				t.Errorf("delete %s: %v", key, err)
			}
		}
	}
	mustHave(t, b, "a/b", "x")
}

func readAbsent(t *testing.T, b objstore.Bucket) {
	mustCreate(t, b, "a/b", "x")
	for _, key := range []string{"nothing", "no/such/directory", "a", "a/b/c", "a/", "a/bb"} {
		key = strings.TrimSuffix(key, "/")
		if _, err := b.Get(t.Context(), key); !errors.Is(err, objstore.ErrNotFound) || !strings.Contains(err.Error(), key) {
			t.Errorf("get %s: %v; want ErrNotFound with the key", key, err)
		}
		if _, err := b.GetRange(t.Context(), key, 0, 1); !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("get range %s: %v; want ErrNotFound", key, err)
		}
	}
}

func rangeEdges(t *testing.T, b objstore.Bucket) {
	mustCreate(t, b, "ten", "0123456789")
	mustCreate(t, b, "empty", "")
	for _, c := range []struct {
		key    string
		off, n int64
		want   string
	}{
		{"ten", 0, 10, "0123456789"},
		{"ten", 0, 1, "0"},
		{"ten", 3, 4, "3456"},
		{"ten", 9, 1, "9"},
		{"ten", 8, 100, "89"},
		{"ten", 0, 1 << 62, "0123456789"},
		{"ten", 5, 1<<63 - 1, "56789"},
		{"ten", 10, 1, ""},
		{"ten", 11, 5, ""},
		{"ten", 1<<63 - 1, 1<<63 - 1, ""},
		{"empty", 0, 1, ""},
		{"empty", 7, 1, ""},
	} {
		got, err := b.GetRange(t.Context(), c.key, c.off, c.n)
		if err != nil || string(got) != c.want {
			t.Errorf("%s from %d, %d bytes: %q, %v; want %q", c.key, c.off, c.n, got, err, c.want)
		}
	}
	for _, c := range [][2]int64{{-1, 1}, {0, 0}, {0, -1}} {
		if _, err := b.GetRange(t.Context(), "ten", c[0], c[1]); !errors.Is(err, objstore.ErrInvalidRange) {
			t.Errorf("from %d, %d bytes: %v; want ErrInvalidRange", c[0], c[1], err)
		}
	}
}

func largestBody(t *testing.T, b objstore.Bucket) {
	body := bytes.Repeat([]byte("0123456789abcdef"), objstore.MaxObject/16)
	mustCreate(t, b, "large", string(body))
	mustHave(t, b, "large", string(body))
	tail, err := b.GetRange(t.Context(), "large", objstore.MaxObject-3, 10)
	if err != nil || string(tail) != "def" {
		t.Fatalf("tail: %q, %v", tail, err)
	}
}

func tooLarge(t *testing.T, b objstore.Bucket) {
	r, err := b.PutIfAbsent(t.Context(), "large", make([]byte, objstore.MaxObject+1), "a")
	if r.Outcome != objstore.Retry || !errors.Is(err, objstore.ErrTooLarge) {
		t.Fatalf("%v, %v; want Retry, ErrTooLarge", r.Outcome, err)
	}
	mustList(t, b, "", "")
}

func invalidKeys(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	for _, key := range []string{
		"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a b", "a\x00b", "a\nb", "é", `a\b`,
		strings.Repeat("k", 513), strings.Repeat("s", 256),
	} {
		_, getErr := b.Get(ctx, key)
		_, rangeErr := b.GetRange(ctx, key, 0, 1)
		delErr := b.Delete(ctx, key)
		r, putErr := b.PutIfAbsent(ctx, key, nil, "a")
		for verb, err := range map[string]error{"get": getErr, "get range": rangeErr, "delete": delErr, "put": putErr} {
			if !errors.Is(err, objstore.ErrInvalidKey) {
				t.Errorf("%s %q: %v; want ErrInvalidKey", verb, key, err)
			}
		}
		if r.Outcome != objstore.Retry {
			t.Errorf("put %q: %v; want Retry", key, r.Outcome)
		}
	}
	mustList(t, b, "", "")
}

func endedContext(t *testing.T, b objstore.Bucket) {
	mustCreate(t, b, "there", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := b.Get(ctx, "there")
	_, rangeErr := b.GetRange(ctx, "there", 0, 1)
	delErr := b.Delete(ctx, "there")
	r, putErr := b.PutIfAbsent(ctx, "new", nil, "a")
	var listErr error
	for _, err := range b.List(ctx, "", "") {
		listErr = err
	}
	for verb, err := range map[string]error{"get": getErr, "get range": rangeErr, "delete": delErr, "put": putErr, "list": listErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want context.Canceled", verb, err)
		}
	}
	if r.Outcome != objstore.Retry {
		t.Errorf("put: %v; want Retry", r.Outcome)
	}
	mustList(t, b, "", "", "there")
}

func dates(t *testing.T, b objstore.Bucket) {
	created, err := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a")
	if err != nil || created.Date.IsZero() {
		t.Fatalf("Created at %v, %v", created.Date, err)
	}
	exists, err := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a")
	if err != nil || exists.Date.Before(created.Date) {
		t.Fatalf("Exists at %v, Created at %v, %v", exists.Date, created.Date, err)
	}
	o, err := b.Get(t.Context(), "k")
	if err != nil || o.Modified.IsZero() || o.Date.Before(created.Date) {
		t.Fatalf("read at %v, modified at %v, created at %v, %v", o.Date, o.Modified, created.Date, err)
	}
	for e, err := range b.List(t.Context(), "", "") {
		if err != nil || e.Size != 1 || e.Modified.Unix() != o.Modified.Unix() {
			t.Fatalf("listed %+v, %v; get says modified at %v", e, err, o.Modified)
		}
	}
}
