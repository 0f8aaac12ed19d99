//go:build lab

package novalab

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Action is what a Proxy does with a statement.
type Action struct {
	// Refuse answers with this error number in the server's place; 0 does not.
	Refuse  uint16
	Message string
	// Instead is sent in the statement's place; "" does not.
	Instead string
	// Hold keeps the statement from the server, and the client waiting.
	Hold bool
	// HoldAnswer lets the server execute it, and keeps the client waiting for the answer.
	HoldAnswer bool
	// Cut closes the connection before the server sees the statement.
	Cut bool
	// CutAnswer closes it when the server has executed it, before the client knows.
	CutAnswer bool
}

// Proxy stands between a module and MariaDB and sees each statement. What it is
// told to do at one is a named point in the module's work, without any hook in it.
type Proxy struct {
	// Conf is a nova.conf that leads through it to the API database and to cell1.
	Conf string
	// Socket is where it listens.
	Socket string
	// Held gets each statement that is held.
	Held chan string

	mu         sync.Mutex
	statements []string
	decide     func(number int, statement string) Action
	relay      *Relay
}

// Proxy starts one; decide is called with each statement and its number from 0 on.
func (d *Databases) Proxy(t *testing.T, decide func(number int, statement string) Action) *Proxy {
	t.Helper()
	p := &Proxy{Socket: filepath.Join(t.TempDir(), "p"), Held: make(chan string, 16), decide: decide}
	p.Conf = d.writeConf(t, strings.Replace(d.URL("root", "", "api"), Socket, p.Socket, 1),
		strings.Replace(d.URL("root", "", "cell0"), Socket, p.Socket, 1))
	p.relay = NewRelay(t, "unix", p.Socket, Socket, func(client, server net.Conn) {
		link := &link{client: client, server: server}
		go link.answers()
		p.serve(link)
	})
	return p
}

// Close ends it with all its connections.
func (p *Proxy) Close() { p.relay.End() }

// Statements are those that it has seen.
func (p *Proxy) Statements() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.statements)
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	mu             sync.Mutex
	// withhold keeps answers from the client, and cut closes at the next one.
	withhold, cut bool
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// answers passes on what the server says.
func (l *link) answers() {
	defer l.close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := l.server.Read(buffer)
		l.mu.Lock()
		withhold, cut := l.withhold, l.cut
		l.mu.Unlock()
		if err == nil && !cut && !withhold {
			_, err = l.client.Write(buffer[:n])
		}
		if err != nil || cut {
			return
		}
	}
}

// commandQuery is COM_QUERY of the client/server protocol.
const commandQuery = 3

// serve passes on the client's packets, and does with its statements what is decided.
func (p *Proxy) serve(link *link) {
	defer link.close()
	reader := bufio.NewReader(link.client)
	for {
		packet, err := readPacket(reader)
		if err != nil {
			return
		}
		if packet[3] == 0 && len(packet) > 4 && packet[4] == commandQuery {
			text, pass := p.statement(link, string(packet[5:]))
			if !pass {
				continue
			}
			packet = queryPacket(text)
		}
		if _, err := link.server.Write(packet); err != nil {
			return
		}
	}
}

// statement says what the server is to see, if anything.
func (p *Proxy) statement(link *link, text string) (string, bool) {
	p.mu.Lock()
	action := p.decide(len(p.statements), text)
	p.statements = append(p.statements, text)
	p.mu.Unlock()
	switch {
	case action.Refuse != 0:
		_, _ = link.client.Write(errorPacket(action.Refuse, action.Message))
		return "", false
	case action.Hold:
		p.Held <- text
		return "", false
	case action.Cut:
		link.close()
		return "", false
	case action.Instead != "":
		text = action.Instead
	case action.HoldAnswer, action.CutAnswer:
		link.mu.Lock()
		link.withhold, link.cut = action.HoldAnswer, action.CutAnswer
		link.mu.Unlock()
		if action.HoldAnswer {
			defer func() { p.Held <- text }()
		}
	}
	return text, true
}

func readPacket(reader *bufio.Reader) ([]byte, error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(reader, header); err != nil {
		return nil, err
	}
	length := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	if length == 1<<24-1 {
		return nil, errors.New("a packet of several parts")
	}
	packet := make([]byte, len(header)+length)
	copy(packet, header)
	_, err := io.ReadFull(reader, packet[4:])
	return packet, err
}

func queryPacket(text string) []byte {
	length := len(text) + 1
	return append([]byte{byte(length), byte(length >> 8), byte(length >> 16), 0, commandQuery}, text...)
}

func errorPacket(number uint16, message string) []byte {
	payload := append(binary.LittleEndian.AppendUint16([]byte{0xff}, number), "#HY000"+message...)
	return append([]byte{byte(len(payload)), byte(len(payload) >> 8), 0, 1}, payload...)
}
