// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"net"
	"os"
	"testing"
)

// Azurite's account; the key is the published one of every emulator.
const (
	AzuriteAccount = "devstoreaccount1"
	AzuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// StartFakeGCS starts fake-gcs-server, an emulator of Cloud Storage, in memory, and
// returns its endpoint. The binary is the one that SALVOR_FAKE_GCS_SERVER names;
// without one the test is skipped.
func StartFakeGCS(t testing.TB) string {
	t.Helper()
	return startProgram(t, program{
		binary: emulator(t, "SALVOR_FAKE_GCS_SERVER", "fake-gcs-server"),
		arguments: func(address string) []string {
			host, port, _ := net.SplitHostPort(address)
			return []string{
				"-backend", "memory", "-scheme", "http", "-host", host, "-port", port,
				"-public-host", address, "-external-url", "http://" + address, "-log-level", "error",
			}
		},
		health: "/_internal/healthcheck",
	})
}

// StartAzurite starts Azurite's blob service, in memory, and returns the endpoint
// of its account. The program is the azurite-blob that SALVOR_AZURITE names; without
// one the test is skipped.
func StartAzurite(t testing.TB) string {
	t.Helper()
	return startProgram(t, program{
		binary: emulator(t, "SALVOR_AZURITE", "Azurite"),
		arguments: func(address string) []string {
			host, port, _ := net.SplitHostPort(address)
			// It refuses versions of the protocol that are newer than itself, which the
			// SDK's always is, and headers that it does not know: the body's CRC-64.
			return []string{
				"--blobHost", host, "--blobPort", port, "--inMemoryPersistence",
				"--skipApiVersionCheck", "--loose", "--disableTelemetry", "--silent",
			}
		},
		health: "/",
	}) + "/" + AzuriteAccount
}

func emulator(t testing.TB, variable, name string) string {
	t.Helper()
	binary := os.Getenv(variable)
	if binary == "" {
		t.Skipf("no %s: set %s, or run make test-emulators", name, variable)
	}
	return binary
}
