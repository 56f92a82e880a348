// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
)

// Defect is what is wrong with an object. The words are shown; never rename one.
type Defect string

// The defects.
const (
	// Missing: an object that others need is not there.
	Missing Defect = "Missing"
	// Unreadable: not a salvor object of this kind and format, or damaged.
	Unreadable Defect = "Unreadable"
	// Foreign: it belongs to another store, or to another history of this one.
	Foreign Defect = "Foreign"
	// Contradiction: it says what an earlier publication excludes.
	Contradiction Defect = "Contradiction"
)

// Problem is one object that is not as it should be, and what to do.
type Problem struct {
	Key    string `json:"key"`
	Defect Defect `json:"defect"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

// String is the problem in a sentence.
func (p Problem) String() string {
	return fmt.Sprintf("%s: %s: %s: %s", p.Key, p.Defect, p.Detail, p.Remedy)
}

// Verification is what Verify found.
type Verification struct {
	Store        string    `json:"store"`
	First        Version   `json:"first"` // the oldest version that can be read
	Newest       Version   `json:"newest"`
	Publications int       `json:"publications"`
	Checkpoints  int       `json:"checkpoints"`
	Tables       int       `json:"tables"` // of the newest version, whose objects were looked at
	Problems     []Problem `json:"problems"`
}

// VerifyOptions says how close to look.
type VerifyOptions struct {
	// Deep reads every table version whole, and not only its first line.
	Deep bool
	// Progress is called now and then. May be nil.
	Progress func(done string)
}

const restore = "restore this object from a copy or an older bucket version"

// Verify reads the manifest from the boundary on and the table versions that its
// newest version names, and reports every object that is not as it should be. It
// changes nothing. An error says that it could not look.
func Verify(ctx context.Context, b objstore.Bucket, opt VerifyOptions) (*Verification, error) {
	if opt.Progress == nil {
		opt.Progress = func(string) {}
	}
	id, err := ReadIdentity(ctx, b)
	if err != nil {
		return nil, err
	}
	v := &verifier{s: &Store{bucket: &dated{Bucket: b}, id: id}, opt: opt, Verification: Verification{Store: id.UID, Problems: []Problem{}}}
	if err := v.line(ctx); err != nil {
		return nil, err
	}
	if err := v.versions(ctx); err != nil {
		return nil, err
	}
	return &v.Verification, nil
}

type verifier struct {
	s   *Store
	opt VerifyOptions
	Verification
	checkpoints map[Version]bool
	st          *State // nil after a publication that cannot be read
	digest      string // of the publication before; "" when unknown
	decided     map[OperationID]Version
}

func (v *verifier) problem(key string, d Defect, detail, remedy string) {
	v.Problems = append(v.Problems, Problem{key, d, detail, remedy})
}
