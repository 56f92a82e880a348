// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Contract prints the rows of the contract, what proves each, and how many are
// met by the code as it is now.
//
// Exit code 0: all rows that were asked for are met; 1: some are not; 2: it could
// not look.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/contract/ledger"
)

func main() {
	os.Exit(run())
}

func run() int {
	rows := flag.String("rows", "", "rows to look at, as in 66-105,121; all if empty")
	format := flag.String("o", "text", "text or json")
	root := flag.String("root", ".", "root of the module")
	prove := flag.Bool("prove", false, "write "+ledger.ProofFile+" from what is proved now")
	seconds := flag.Float64("seconds", 0, "with -prove: how long the run took")
	flag.Parse()
	if flag.NArg() > 0 || *format != "text" && *format != "json" {
		flag.Usage()
		return 2
	}
	asked, err := contract.ParseList(*rows)
	if err != nil {
		return fail(err)
	}
	if err := ledger.Prune(*root, time.Now()); err != nil {
		return fail(err)
	}
	evidence, err := ledger.Load(*root)
	if err != nil {
		return fail(err)
	}
	if *prove {
		if err := writeProof(*root, evidence, *seconds); err != nil {
			return fail(err)
		}
	}
	verdicts := ledger.Judge(asked, evidence)
	met := ledger.Met(verdicts)
	if *format == "json" {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		err := out.Encode(map[string]any{"met": met, "asked": len(verdicts), "rows": verdicts})
		if err != nil {
			return fail(err)
		}
	} else {
		ledger.Print(os.Stdout, verdicts, *rows != "")
	}
	if met < len(verdicts) {
		return 1
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "contract:", err)
	return 2
}

func writeProof(root string, e ledger.Evidence, seconds float64) error {
	all, err := contract.ParseList("")
	if err != nil {
		return err
	}
	commit, err := git(root, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	changed, err := git(root, "status", "--porcelain", "--", ".", ":!"+ledger.ProofFile)
	if err != nil {
		return err
	}
	p := ledger.NewProof(ledger.Judge(all, e), commit)
	p.Modified, p.Time, p.Go, p.Seconds = changed != "", time.Now().UTC().Truncate(time.Second), runtime.Version(), seconds
	if err := p.Write(root); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d of %d rows met at %.10s\n", ledger.ProofFile, p.Met, p.All, commit)
	return nil
}

func git(root string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
