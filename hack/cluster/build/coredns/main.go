// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Command coredns is CoreDNS with only the plugins a test cluster needs.
//
// The stock binary links some fifty plugins, cloud SDKs among them; compiling
// those took 139 s on two cores where these take a fraction, and a cold CI run
// pays for that every time. Plugin order comes from dnsserver.Directives and
// not from the imports.
package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() { coremain.Run() }
