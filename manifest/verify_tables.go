// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// versions looks at the table versions that the newest version names.
func (v *verifier) versions(ctx context.Context) error {
	if v.st == nil {
		v.problem(Key(v.Newest), Unreadable, "the newest version cannot be told: its tables were not looked at", "mend the objects above first")
		return nil
	}
	for t, pin := range v.st.Tables {
		key := TableKey(t, pin.Number, pin.Operation)
		v.Tables++
		v.opt.Progress(fmt.Sprintf("table %d of %d", v.Tables, len(v.st.Tables)))
		err := v.version(ctx, key, pin)
		switch {
		case gone(err):
			v.problem(key, Missing, fmt.Sprintf("version %d names it as table %s", v.Newest, t), restore)
		case err != nil:
			return err
		}
	}
	return nil
}

func (v *verifier) version(ctx context.Context, key string, pin Pin) error {
	var raw []byte
	var err error
	if v.opt.Deep {
		var o objstore.Object
		o, err = v.s.bucket.Get(ctx, key)
		raw = o.Body
	} else {
		raw, err = v.s.bucket.GetRange(ctx, key, 0, envelope.HeaderMax)
	}
	if errors.Is(err, objstore.ErrTooLarge) {
		v.problem(key, Unreadable, err.Error(), restore)
		return nil
	}
	if err != nil {
		return err
	}
	h, body, err := envelope.ParseHeader(raw)
	if err != nil {
		v.problem(key, Unreadable, err.Error(), restore)
		return nil
	}
	if pin.Digest != "" && h.Digest != pin.Digest {
		v.problem(key, Contradiction, fmt.Sprintf("it has %s, the manifest names %s", short(h.Digest), short(pin.Digest)), restore)
	}
	if v.opt.Deep && envelope.Digest(raw[body:]) != h.Digest {
		v.problem(key, Unreadable, "its body is not the one that its first line names", restore)
	}
	return nil
}

// short is a digest as people compare it.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return "sha256:" + hex[:min(len(hex), 12)]
}
