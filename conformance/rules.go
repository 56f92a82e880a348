// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import "fmt"

// Rule is one thing that docs/protocol.md asks for.
type Rule struct {
	// Name is a word for people and scripts.
	Name string `json:"name"`
	// Section of docs/protocol.md.
	Section string `json:"section"`
	// Asks is the rule in a sentence.
	Asks string `json:"asks"`
}

// The rules. Sections are those of docs/protocol.md; a test keeps them so.
var (
	CreateOnly = Rule{"create-only", "1. The root", "every put is a creation: If-None-Match: *"}
	Names      = Rule{"names", "1. The root", "every object has a name that the page gives"}
	IDsOnce    = Rule{"ids-once", "1. The root", "an operation id, an attempt id and an outcome id are used once, for ever"}
	Envelope   = Rule{"envelope", "2. The envelope", "every object has the line with kind, format and the digest of its body"}
	Line       = Rule{"line", "3. The manifest", "a publication names its store, its number and the digest of the one before; there is no gap"}
	Admission  = Rule{"admission", "3. The manifest", "an entry is published only when the state before it admits it"}
	FirstOne   = Rule{"first-outcome", "3. The manifest", "an operation is decided once"}
	FullState  = Rule{"checkpoint", "3. The manifest", "checkpoint/<n> is the state after publication n"}
	Rebase     = Rule{"re-base", "3. The manifest", "a number that another publication took is no failure: read it, check again, take the next"}
	LookedAt   = Rule{"boundary", "3. The manifest", "after each creation of a publication boundary/ is listed"}
	LostAnswer = Rule{"lost-answer", "3. The manifest", "a lost answer is read, and told as it is"}
	Looked     = Rule{"look-before", "4. The writer", "before Arm, recovery/ is listed and the manifest read"}
	LookAgain  = Rule{"look-again", "4. The writer", "after Arm and before the first effect, recovery/ is listed and the manifest read again"}
	Intent     = Rule{"intent-first", "4. The writer", "no effect without its sidecar: table, number and operation as planned"}
	Plan       = Rule{"sidecar", "4. The writer", "a sidecar has all its fields; what it expects is what the manifest named at its base"}
	Confirm    = Rule{"confirm", "4. The writer", "the confirmation comes after every effect and names each with its digest"}
	Publish    = Rule{"publish", "4. The writer", "an outcome says what the sidecar planned and the confirmation reached, all tables in one entry"}
	Delete     = Rule{"delete", "4. The writer", "a sidecar is deleted after an outcome that names this process, and after its confirmation; nothing else is deleted"}
	Pending    = Rule{"pending", "4. The writer", "a table on which another operation pends is not touched; other tables are"}
	Fenced     = Rule{"fenced", "4. The writer", "a fenced writer publishes nothing more under that epoch, waits for the outcome, registers again or exits"}
	Moved      = Rule{"moved-pin", "4. The writer", "another operation moved the table: abandon, and say failed"}
	Told       = Rule{"told", "4. The writer", "ok is published for good, failed is never visible, and no commit is published twice"}
	Reads      = Rule{"reads", "4. The writer", "a reader sees what the manifest names"}
	Healable   = Rule{"recoverable", "5. Recovery", "what a crash leaves can be resolved by recovery alone"}
	Newer      = Rule{"newer-format", "8. Formats", "a newer format is refused, and nothing is written"}
	Speaks     = Rule{"lines", "9. Conformance", "the writer answers each line, in time"}
)

// Rules are all of them, in the order of the page.
var Rules = []Rule{
	CreateOnly, Names, IDsOnce, Envelope, Line, Admission, FirstOne, FullState, Rebase, LookedAt, LostAnswer, Looked, LookAgain,
	Intent, Plan, Confirm, Publish, Delete, Pending, Fenced, Moved, Told, Reads, Healable, Newer, Speaks,
}

// Violation is one breach of a rule.
type Violation struct {
	Rule Rule `json:"rule"`
	// Key is the object concerned; empty when it is none.
	Key    string `json:"key,omitempty"`
	Detail string `json:"detail"`
}

// String is the violation in a sentence that names rule and section.
func (v Violation) String() string {
	at := ""
	if v.Key != "" {
		at = v.Key + ": "
	}
	return fmt.Sprintf("%s%s [%s, docs/protocol.md %s: %s]", at, v.Detail, v.Rule.Name, v.Rule.Section, v.Rule.Asks)
}
