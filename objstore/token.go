// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Token is a signed statement of who asks, which the token service of a cloud
// takes in exchange for credentials: in Kubernetes, a ServiceAccount's.
type Token struct {
	// Value is the token itself, a JWT. It is a secret.
	Value string
	// Expires is when nobody takes it any more; zero when that is not known.
	Expires time.Time
}

// TokenSource makes tokens. A driver asks for a fresh one each time that it
// exchanges one, which is about once an hour; it keeps the credentials and not
// the token. An error ends the call that needed credentials, and comes back
// wrapped: nothing was sent to the store. Safe for concurrent use.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// TokenFunc is a function that makes tokens.
type TokenFunc func(ctx context.Context) (Token, error)

// Token implements TokenSource.
func (f TokenFunc) Token(ctx context.Context) (Token, error) { return f(ctx) }

// TokenFile reads tokens from a file that somebody else keeps fresh, as the kubelet
// does for a projected volume.
func TokenFile(path string) TokenSource {
	return TokenFunc(func(context.Context) (Token, error) {
		raw, err := os.ReadFile(path)
		if err == nil && len(bytes.TrimSpace(raw)) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return Token{}, fmt.Errorf("read the token %s: %w", path, err)
		}
		return Token{Value: string(bytes.TrimSpace(raw))}, nil
	})
}
