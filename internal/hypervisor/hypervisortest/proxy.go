//go:build lab

package hypervisortest

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// SystemSocket is where the monolithic libvirtd listens.
const SystemSocket = "/var/run/libvirt/libvirt-sock"

// Procedures of libvirt's protocol (remote_protocol.x, enum remote_procedure).
const (
	DefineXML        = 11
	GetXMLDesc       = 14
	LookupByUUID     = 24
	SnapshotCreate   = 185
	UndefineFlags    = 231
	DestroyFlags     = 234
	CheckpointCreate = 411
)

// Message is a call to libvirt, or the answer to one.
type Message struct {
	Procedure int
	Reply     bool
	// Nth counts the messages of this kind, from 1.
	Nth int
}

// Proxy stands between clients and libvirt's socket. It shows each message to
// see before it goes on, which may take its time; one for which see returns
// false does not go on, and ends the connection.
type Proxy struct {
	see func(Message) bool

	mu     sync.Mutex
	counts map[Message]int
}

// Listen starts a proxy and returns the URI by which to connect to it.
func Listen(t testing.TB, see func(Message) bool) (uri string) {
	t.Helper()
	proxy := &Proxy{see: see, counts: map[Message]int{}}
	socket := filepath.Join(t.TempDir(), "libvirt-sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go proxy.serve(client)
		}
	}()
	return "qemu+unix:///system?socket=" + socket
}

func (p *Proxy) serve(client net.Conn) {
	libvirt, err := net.Dial("unix", SystemSocket)
	if err != nil {
		_ = client.Close()
		return
	}
	hangUp := func() {
		_ = client.Close()
		_ = libvirt.Close()
	}
	go p.pass(libvirt, client, true, hangUp)
	p.pass(client, libvirt, false, hangUp)
}

// pass copies messages: a length of four bytes, which counts itself, then
// program, version, procedure, type, serial and status of four bytes each.
func (p *Proxy) pass(from io.Reader, to io.Writer, reply bool, hangUp func()) {
	const remoteProgram = 0x20008086
	defer hangUp()
	for {
		var length [4]byte
		if _, err := io.ReadFull(from, length[:]); err != nil {
			return
		}
		size := binary.BigEndian.Uint32(length[:])
		if size < 28 || size > 64<<20 {
			return
		}
		packet := make([]byte, size-4)
		if _, err := io.ReadFull(from, packet); err != nil {
			return
		}
		if binary.BigEndian.Uint32(packet) == remoteProgram && !p.see(p.count(int(binary.BigEndian.Uint32(packet[8:])), reply)) {
			return
		}
		if _, err := to.Write(append(length[:], packet...)); err != nil {
			return
		}
	}
}

func (p *Proxy) count(procedure int, reply bool) Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := Message{Procedure: procedure, Reply: reply}
	p.counts[kind]++
	kind.Nth = p.counts[kind]
	return kind
}
