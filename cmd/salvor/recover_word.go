// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// wordFlags are the flags of salvor recover that say what a person takes upon them.
type wordFlags struct {
	demote, promote, yes, approver string
}

func (f *wordFlags) addTo(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.demote, "demote", "", "close for ever whatever this writer left, also what it had confirmed")
	fl.StringVar(&f.promote, "promote", "", "publish this operation, although nobody confirmed it")
	fl.StringVar(&f.yes, "yes", "", "with --demote or --promote: the hash of what you have looked at, and agree to")
	fl.StringVar(&f.approver, "approver", "", "who has looked at the plan, or agrees: stands in the audit trail")
}

// spoken: a person's word is asked for. Contradictions are errors.
func (f *wordFlags) spoken(planHash string, limit int) (bool, error) {
	said := f.demote != "" || f.promote != ""
	switch {
	case f.demote != "" && f.promote != "":
		return false, errors.New("--demote closes what --promote would publish: say one of them")
	case !said && f.yes != "":
		return false, errors.New("--yes agrees to a --demote or a --promote")
	case said && planHash != "":
		return false, errors.New("--plan-hash undoes what readers can see; --demote and --promote decide about what they cannot: say one of them")
	case said && limit != 0:
		return false, errors.New("--limit does not go with --demote and --promote: they are done whole")
	case f.yes != "" && f.approver == "":
		return false, errors.New("--yes agrees to it: say who does, --approver")
	}
	return said, nil
}

// word lets a person decide, or says what there is to decide.
func (f *wordFlags) word(cmd *cobra.Command, root *rootFlags, r *recovery.Recoverer, m *manifest.Store, may recovery.RollForwardOnly) error {
	ctx := cmd.Context()
	w, err := f.weigh(ctx, r, m, may)
	var not *recovery.NotPendingError
	if errors.As(err, &not) {
		return bad("%v", err)
	}
	if err != nil {
		return err
	}
	if len(w.Refused) > 0 || w.Hash != "" && string(w.Hash) != f.yes {
		if err := root.print(cmd.OutOrStdout(), f.weighed(w), func(out io.Writer) { f.tell(out, w) }); err != nil {
			return err
		}
		switch {
		case len(w.Refused) > 0:
			return bad("refused, and nothing was done: operation %s: %s", w.Refused[0].Operation, w.Refused[0].Verdict.Message)
		case f.yes != "":
			return bad("nothing was done: what you agreed to (--yes %s) is not what is there now (%s): look at it again", f.yes, w.Hash)
		}
		return bad("nothing was done: it takes your word. To agree to all of the above: --approver YOU --yes %s", w.Hash)
	}
	reports, err := r.Carry(ctx, w, recovery.PlanHash(f.yes), f.approver)
	for _, rep := range reports {
		if err := printReport(cmd, root, rep); err != nil {
			return err
		}
	}
	if errors.Is(err, recovery.ErrNotAgreed) {
		return bad("%v", err)
	}
	if err != nil {
		return err
	}
	if why := f.missed(reports); why != "" {
		return bad("%s", why)
	}
	if root.output == "text" && len(reports) == 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "writer %s left nothing\n", f.demote)
	}
	return nil
}

func (f *wordFlags) weigh(ctx context.Context, r *recovery.Recoverer, m *manifest.Store, may recovery.RollForwardOnly) (*recovery.Weighed, error) {
	if f.promote != "" {
		return r.WeighPromotion(ctx, manifest.OperationID(f.promote), may)
	}
	w, err := r.WeighDemotion(ctx, manifest.WriterID(f.demote), may)
	if err != nil {
		return nil, err
	}
	if _, known := m.View().Writers[manifest.WriterID(f.demote)]; !known && len(w.Open)+len(w.Closed)+len(w.Refused) == 0 {
		return nil, bad("this store has no writer %s: salvor manifest show lists them", f.demote)
	}
	return w, nil
}

// missed says which operation did not become what was asked; empty: all did.
func (f *wordFlags) missed(reports []recovery.Report) string {
	want := manifest.KindAbandon
	if f.promote != "" {
		want = manifest.KindPublish
	}
	for _, rep := range reports {
		switch {
		case rep.Gone:
			return fmt.Sprintf("operation %s: somebody else finished it meanwhile: salvor audit ls says how", rep.Operation)
		case rep.Outcome != nil && rep.Outcome.Kind != want:
			return fmt.Sprintf("operation %s: lost: somebody was faster, and it is decided otherwise: %s in manifest %d by %s", rep.Operation, rep.Outcome.Kind, rep.Outcome.Version, rep.Outcome.By.Role)
		case !rep.Complete:
			return fmt.Sprintf("operation %s is still pending: %s", rep.Operation, rep.Verdict.Message)
		}
	}
	return ""
}

// weighedWord is what --demote and --promote say before they do anything.
type weighedWord struct {
	Word       string       `json:"word"`
	Operations []weighedOne `json:"operations"`
	Unread     []string     `json:"unread,omitempty"`
	Yes        string       `json:"yes,omitempty"`
}

type weighedOne struct {
	Operation string         `json:"operation"`
	Writer    string         `json:"writer"`
	Kind      string         `json:"kind"`
	Phase     string         `json:"phase"`
	Refused   bool           `json:"refused,omitempty"`
	Reason    string         `json:"reason"`
	Message   string         `json:"message"`
	Tables    []weighedTable `json:"tables,omitempty"`
}

type weighedTable struct {
	Table string `json:"table"`
	From  string `json:"from,omitempty"`
	// Loses is the version that nobody will ever see; Gains the one that everybody will.
	Loses string `json:"loses,omitempty"`
	Gains string `json:"gains,omitempty"`
	Drop  bool   `json:"drop,omitempty"`
}

func (f *wordFlags) weighed(w *recovery.Weighed) weighedWord {
	out := weighedWord{Word: w.Word.String(), Operations: []weighedOne{}, Unread: w.Unread, Yes: string(w.Hash)}
	for i, rep := range append(append([]recovery.Report{}, w.Refused...), w.Open...) {
		one := weighedOne{
			Operation: string(rep.Operation), Phase: string(rep.Phase), Refused: i < len(w.Refused),
			Reason: string(rep.Verdict.Reason), Message: rep.Verdict.Message,
		}
		if s := rep.Sidecar; s != nil {
			one.Writer, one.Kind = string(s.Writer), string(s.Kind)
		}
		for _, t := range rep.Tables {
			wt := weighedTable{Table: string(t.Plan.Table), Drop: t.Plan.Drop}
			if !t.Pin.IsZero() {
				wt.From = t.Pin.String()
			}
			if version := (manifest.Ref{Number: t.Plan.Number, Operation: rep.Operation}).String(); !t.Plan.Drop && t.Present {
				if w.Word == recovery.Promote {
					wt.Gains = version
				} else {
					wt.Loses = version
				}
			}
			one.Tables = append(one.Tables, wt)
		}
		out.Operations = append(out.Operations, one)
	}
	return out
}

// tell names what is lost, or what becomes visible, for a person to agree to.
func (f *wordFlags) tell(out io.Writer, w *recovery.Weighed) {
	for _, one := range f.weighed(w).Operations {
		fmt.Fprintf(out, "%s\n  operation    %s of writer %s, %s\n", one.Operation, strings.ToLower(one.Phase), orNone(one.Writer), orNone(one.Kind))
		for _, t := range one.Tables {
			switch {
			case t.Loses != "":
				fmt.Fprintf(out, "  lost         %s: version %s, for ever; readers go on seeing %s\n", t.Table, t.Loses, orNone(t.From))
			case t.Gains != "":
				fmt.Fprintf(out, "  published    %s: version %s, which nobody confirmed; readers see %s now\n", t.Table, t.Gains, orNone(t.From))
			case t.Drop && w.Word == recovery.Promote:
				fmt.Fprintf(out, "  dropped      %s: readers see %s now\n", t.Table, orNone(t.From))
			default:
				fmt.Fprintf(out, "  not there    %s: readers go on seeing %s\n", t.Table, orNone(t.From))
			}
		}
		word := "because"
		if one.Refused {
			word = "refused"
		}
		fmt.Fprintf(out, "  %-12s %s (%s)\n", word, one.Message, one.Reason)
	}
	for _, key := range w.Unread {
		fmt.Fprintf(out, "%s cannot be read: whose it is, nobody knows; it stays\n", key)
	}
}
