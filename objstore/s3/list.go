// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/salvor-io/salvor/objstore"
)

// List implements objstore.Bucket.
//
// A listing is what decisions are made from, so a server that cuts one short
// without saying where to go on, or that does not keep the order, is an error and
// not a shorter listing. (S3's directory buckets do not keep it.)
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &b.o.Bucket, Prefix: &prefix}
		if after != "" {
			in.StartAfter = &after
		}
		var last string
		for {
			out, err := b.listPage(ctx, in)
			if err != nil {
				yield(objstore.Entry{}, err)
				return
			}
			for _, o := range out.Contents {
				key := aws.ToString(o.Key)
				if key <= last || !strings.HasPrefix(key, prefix) {
					yield(objstore.Entry{}, fmt.Errorf("list %q in %s: %q follows %q: the server does not list in the order of the keys", prefix, b.where, key, last))
					return
				}
				last = key
				if key <= after {
					continue // a server that does not know start-after
				}
				if !yield(objstore.Entry{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			in.StartAfter, in.ContinuationToken = nil, out.NextContinuationToken
		}
	}
}

func (b *Bucket) listPage(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, call := b.begin(ctx, "list", fmt.Sprintf("%q", *in.Prefix))
	defer call.end()
	out, err := b.again.ListObjectsV2(ctx, in)
	if err != nil {
		_, err = call.fail(err)
		return nil, err
	}
	if aws.ToBool(out.IsTruncated) && aws.ToString(out.NextContinuationToken) == "" {
		return nil, call.wrap(Verdict{}, errors.New("the listing was cut short without a token to go on"))
	}
	return out, nil
}
