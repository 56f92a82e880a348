// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/conformance"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

var _ = contract.Uses("examples/python/", "docs/protocol/")

func python(t *testing.T) string {
	t.Helper()
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	path, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(path, "-c", "import http.client, hmac, xml.etree.ElementTree").Run()
	}
	if err != nil {
		t.Skip("no python3: the example in another language is not run:", err)
	}
	return path
}

var examples = filepath.Join("..", "examples", "python")

// A store in another language, written from the page alone, passes: a sample here,
// every case in the full run.
func TestPythonWriterPasses(t *testing.T) {
	contract.Row(t, 125)
	py := python(t)
	script, err := filepath.Abs(filepath.Join(examples, "writer.py"))
	must(t, err)
	only := "PUT manifest/"
	if contract.Scale(t, "cases", 12, 56) == 56 {
		only = ""
	}
	res, err := conformance.Drive(t.Context(), conformance.Options{
		Bucket: mem.New(mem.Options{}), Writer: "exec '" + py + "' '" + script + "'", Dir: t.TempDir(), NewID: newID, Patience: 2 * time.Minute, Only: only,
	})
	must(t, err)
	for _, c := range res.Cases {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", c.Name, v)
		}
	}
	if res.NotReached() > 0 || len(res.Cases) < 12 {
		t.Errorf("%d cases, %d were not reached", len(res.Cases), res.NotReached())
	}
}

// Its codec reads the golden files, refuses what is to be refused, and comes to the
// same states.
func TestPythonCodecReadsTheGoldenFiles(t *testing.T) {
	py := python(t)
	out, err := exec.Command(py, filepath.Join(examples, "golden.py"), goldenDir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "2 full states compared") || strings.Count(string(out), "refused ") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}

// The requests that it signs by itself are taken by a real S3 server.
func TestPythonClientOnARealServer(t *testing.T) {
	py := python(t)
	server := objstoretest.StartVersitygw(t)
	bucket := server.NewBucket(t)
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretAccessKey)
	t.Setenv("SALVOR_ROOT", "s3://"+bucket+"/root?endpoint="+server.Endpoint+"&region="+server.Region)
	t.Setenv("SALVOR_WRITER", "orders-0")
	cmd := exec.Command(py, filepath.Join(examples, "writer.py"))
	cmd.Stdin = strings.NewReader("commit {\"a\": {\"n\": 1}, \"b\": {\"n\": 1}}\ncommit {\"a\": {\"n\": 2}}\nread a\nread c\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "ready shared\nok ") || !strings.HasSuffix(string(out), "\nvalue {\"n\": 2}\nnone\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := s3.Open(t.Context(), server.Options(bucket))
	must(t, err)
	defer b.Close()
	rep, err := conformance.CheckRoot(t.Context(), objstore.Prefix(b, "root"), nil)
	must(t, err)
	if len(rep.Violations) > 0 || rep.Newest != 3 || rep.Pending != 0 {
		t.Errorf("%+v", rep)
	}
}
