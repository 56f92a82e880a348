// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/salvor-io/salvor/objstore"
)

// List implements objstore.Bucket.
//
// A listing is what decisions are made from, so a server that does not keep the
// order, or that names the same page for ever, is an error and not a shorter
// listing. (Accounts with a hierarchical namespace do not keep it.)
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		var last, marker string
		for {
			page, err := b.page(ctx, prefix, after, marker)
			if err != nil {
				yield(objstore.Entry{}, err)
				return
			}
			for _, item := range page.Segment.BlobItems {
				e, ok := entryOf(item)
				if !ok || e.Key <= last || !strings.HasPrefix(e.Key, prefix) {
					yield(objstore.Entry{}, fmt.Errorf("list %q in %s: %q follows %q: the server does not list blobs in the order of the keys", prefix, b.where, e.Key, last))
					return
				}
				last = e.Key
				if e.Key <= after {
					continue // startFrom is inclusive, and older servers do not know it
				}
				if !yield(e, nil) {
					return
				}
			}
			if page.NextMarker == nil || *page.NextMarker == "" {
				return
			}
			if *page.NextMarker == marker {
				yield(objstore.Entry{}, fmt.Errorf("list %q in %s: the server names the same page again", prefix, b.where))
				return
			}
			marker = *page.NextMarker
		}
	}
}

// page asks for one page of the listing of what begins with prefix, from the key
// after (inclusive) or from the marker of the page before.
func (b *Bucket) page(ctx context.Context, prefix, after, marker string) (container.ListBlobsFlatResponse, error) {
	ctx, call := b.begin(ctx, "list", fmt.Sprintf("%q", prefix))
	defer call.End()
	to, err := b.clients()
	if err != nil {
		return container.ListBlobsFlatResponse{}, call.Wrap(Classify(call.Answer("")), err)
	}
	o := &container.ListBlobsFlatOptions{}
	if prefix != "" {
		o.Prefix = &prefix
	}
	switch {
	case marker != "":
		o.Marker = &marker
	case after != "":
		o.StartFrom = &after
	}
	page, err := to.again.NewListBlobsFlatPager(o).NextPage(ctx)
	if err == nil && page.Segment == nil {
		err = fmt.Errorf("the answer is no listing")
	}
	if err != nil {
		_, err = fail(call, err)
	}
	return page, err
}

// entryOf returns what a listing says of a blob; false when that is not whole.
func entryOf(item *container.BlobItem) (e objstore.Entry, ok bool) {
	if item == nil || item.Name == nil {
		return e, false
	}
	e.Key = *item.Name
	if p := item.Properties; p == nil || p.ContentLength == nil || p.LastModified == nil {
		return e, false
	}
	e.Size, e.Modified = *item.Properties.ContentLength, *item.Properties.LastModified
	return e, true
}
