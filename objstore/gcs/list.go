// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"google.golang.org/api/storage/v1"

	"github.com/salvor-io/salvor/objstore"
)

// pageSize is how many entries one answer has at most; Google gives no more.
const pageSize = 1000

// List implements objstore.Bucket.
//
// A listing is what decisions are made from, so a server that does not keep the
// order, or that names the same page for ever, is an error and not a shorter
// listing.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		var last, token string
		for {
			page, err := b.page(ctx, prefix, after, token, pageSize)
			if err != nil {
				yield(objstore.Entry{}, err)
				return
			}
			for _, o := range page.Items {
				if o.Name <= last || !strings.HasPrefix(o.Name, prefix) {
					yield(objstore.Entry{}, fmt.Errorf("list %q in %s: %q follows %q: the server does not list in the order of the keys", prefix, b.where, o.Name, last))
					return
				}
				last = o.Name
				if o.Name <= after {
					continue // the offset of the JSON API is inclusive
				}
				modified, err := modifiedAt(o.Updated)
				if err != nil {
					yield(objstore.Entry{}, fmt.Errorf("list %q in %s: %s: %w", prefix, b.where, o.Name, err))
					return
				}
				if !yield(objstore.Entry{Key: o.Name, Size: int64(o.Size), Modified: modified}, nil) {
					return
				}
			}
			if page.NextPageToken == "" {
				return
			}
			if page.NextPageToken == token {
				yield(objstore.Entry{}, fmt.Errorf("list %q in %s: the server names the same page again", prefix, b.where))
				return
			}
			token = page.NextPageToken
		}
	}
}

// page asks for one page of the listing of what begins with prefix, from the key
// after (inclusive) or from the token of the page before.
func (b *Bucket) page(ctx context.Context, prefix, after, token string, n int64) (page *storage.Objects, err error) {
	ctx, call := b.begin(ctx, "list", fmt.Sprintf("%q", prefix))
	defer call.End()
	err = b.again(ctx, call, func() (string, error) {
		list := b.objects.List(b.o.Bucket).Prefix(prefix).MaxResults(n).Projection("noAcl").
			Fields("nextPageToken,items(name,size,updated)").Context(ctx)
		if after != "" {
			list.StartOffset(after)
		}
		if token != "" {
			list.PageToken(token)
		}
		var err error
		page, err = list.Do()
		return reasonOf(err, false), err
	})
	return page, err
}

// isSentinel reports whether Google itself has said what is missing.
func isSentinel(err error) bool {
	return errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrNoSuchBucket)
}
