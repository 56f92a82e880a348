// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"io"
	"net"
	"sync"
)

// RelayCommand is the hidden subcommand that runs Relay.
const RelayCommand = "relay"

// Relay passes connections from one address to another for as long as it
// lives. The API server listens on loopback only, so that nothing outside the
// machine can reach it; pods cannot reach loopback, and they come through here.
func Relay(listen, to string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		in, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			continue // a client that went away before it was accepted
		}
		go relay(in.(*net.TCPConn), to)
	}
}

func relay(in *net.TCPConn, to string) {
	defer in.Close()
	c, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	out := c.(*net.TCPConn)
	defer out.Close()
	var both sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{in, out}, {out, in}} {
		both.Go(func() {
			// The end of one direction is passed on; the other may go on.
			_, _ = io.Copy(way[1], way[0])
			_ = way[1].CloseWrite()
		})
	}
	both.Wait()
}
