// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Command s3proxy stands before the S3 server of the end-to-end tests: a bucket
// that is slow to write to, or one that does not enforce conditional writes. It
// takes the server's keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
//
//	s3proxy --target http://versitygw.storage.svc:7070 --write-delay 400ms
//	s3proxy --target http://versitygw.storage.svc:7070 --strip-if-none-match
//
// GET /inside/<host> on the second port says how many requests of a client are
// under way: whoever stopped that client can wait for 0. GET /requests/<host> lists
// what that client has asked for.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/salvor-io/salvor/objstore/objstoretest"
)

func main() {
	target := flag.String("target", "", "URL of the S3 server")
	listen := flag.String("listen", ":7070", "address for S3 clients")
	admin := flag.String("admin", ":7071", "address for the test")
	slow := flag.Duration("write-delay", 0, "mean delay of what writes; each has between half of it and one and a half")
	strip := flag.Bool("strip-if-none-match", false, "take the condition out of every request")
	flag.Parse()
	if err := serve(*target, *listen, *admin, *slow, *strip); err != nil {
		log.Fatal(err)
	}
}

func serve(target, listen, admin string, slow time.Duration, strip bool) error {
	if target == "" {
		return errors.New("--target is missing")
	}
	g, err := objstoretest.NewGateway(&objstoretest.Server{
		Endpoint: target, Region: "us-east-1",
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
	})
	if err != nil {
		return err
	}
	if strip {
		g.StripIfNoneMatch()
	}
	g.Delay(func(r *http.Request) time.Duration {
		if slow == 0 || r.Method == http.MethodGet || r.Method == http.MethodHead {
			return 0
		}
		return slow/2 + rand.N(slow)
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /inside/{host}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, g.Inside(r.PathValue("host")))
	})
	mux.HandleFunc("GET /requests/{host}", func(w http.ResponseWriter, r *http.Request) {
		for _, line := range g.RequestsOf(r.PathValue("host")) {
			fmt.Fprintln(w, line)
		}
	})
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	failed := make(chan error, 2)
	for addr, h := range map[string]http.Handler{listen: g, admin: mux} {
		srv := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- srv.ListenAndServe() }()
	}
	return <-failed
}
