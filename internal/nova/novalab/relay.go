//go:build lab

package novalab

import (
	"net"
	"sync"
	"testing"
)

// Relay passes connections on to a server, until it is closed with all of them.
type Relay struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

// NewRelay listens at an address. pass is called for each connection, and for the one to the server that it comes with.
func NewRelay(t *testing.T, network, listen, server string, pass func(from, to net.Conn)) *Relay {
	t.Helper()
	listener, err := net.Listen(network, listen)
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Listener: listener}
	t.Cleanup(r.End)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial(network, server)
			if err != nil {
				_ = from.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, from, to)
			r.mu.Unlock()
			go pass(from, to)
		}
	}()
	return r
}

// End closes it.
func (r *Relay) End() {
	_ = r.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		_ = conn.Close()
	}
}
