// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/salvor-io/salvor/objstore/s3"
)

// Server is an S3 server that a test may fill.
type Server struct {
	Endpoint                             string // "http://127.0.0.1:port"
	Region, AccessKeyID, SecretAccessKey string

	buckets atomic.Int32
}

// Options returns what opens the bucket name on the server.
func (s *Server) Options(name string) s3.Options {
	return s3.Options{
		Bucket: name, Endpoint: s.Endpoint, Region: s.Region, PathStyle: true,
		AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey,
	}
}

// NewBucket creates a bucket of its own for the caller and returns its name.
func (s *Server) NewBucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", s.buckets.Add(1))
	client := awss3.New(awss3.Options{
		BaseEndpoint: &s.Endpoint, Region: s.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatalf("create bucket: %v", err)
	}
	return name
}

// required reports whether a missing real server fails a test instead of
// skipping it: on the machines that have to prove things.
func required() bool { return os.Getenv("REQUIRE_NODE") == "1" || os.Getenv("REQUIRE_S3") == "1" }

// StartVersitygw starts a real S3 server, versitygw, on a directory of the test
// and ends it with the test. The binary is the one that SALVOR_VERSITYGW names,
// or that is on the PATH. Without one the test is skipped, or, where
// REQUIRE_NODE=1 or REQUIRE_S3=1 is set, fails.
func StartVersitygw(t testing.TB) *Server {
	t.Helper()
	binary := os.Getenv("SALVOR_VERSITYGW")
	if binary == "" {
		binary, _ = exec.LookPath("versitygw")
	}
	if binary == "" {
		const how = "no real S3 server: set SALVOR_VERSITYGW to the versitygw binary (1.8.0 or later)"
		if required() {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	s := &Server{Region: "us-east-1", AccessKeyID: "salvor-test", SecretAccessKey: "salvor-test-secret"}
	s.Endpoint = startProgram(t, program{
		binary: binary,
		arguments: func(address string) []string {
			return []string{"--port", address, "--region", s.Region, "--health", "/healthz", "--quiet", "--keep-alive", "posix", t.TempDir()}
		},
		environment: []string{"ROOT_ACCESS_KEY_ID=" + s.AccessKeyID, "ROOT_SECRET_ACCESS_KEY=" + s.SecretAccessKey},
		health:      "/healthz",
	})
	return s
}
