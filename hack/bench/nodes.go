// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nodeNames are the cluster's nodes, in order.
func (b *bench) nodeNames(ctx context.Context) ([]string, error) {
	var list corev1.NodeList
	if err := b.List(ctx, &list); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names, nil
}

// on does something while only the i-th of two nodes takes new pods: the operator and the
// object store are on the first, the stores of goals 14 and 15 on the second. With one node
// it does it there.
func (b *bench) on(ctx context.Context, i int, do func() error) (err error) {
	if len(b.nodes) != 2 {
		return do()
	}
	other := b.nodes[1-i]
	if err := b.cordon(ctx, other, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cordon(context.WithoutCancel(ctx), other, false)) }()
	return do()
}

func (b *bench) cordon(ctx context.Context, node string, closed bool) error {
	n := &corev1.Node{}
	n.Name = node
	return b.Patch(ctx, n, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"unschedulable":%v}}`, closed)))
}
