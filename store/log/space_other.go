// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux && !darwin

package log

import "errors"

// Space implements FS.
func (osFS) Space(string) (Space, error) { return Space{}, errors.ErrUnsupported }
