package nova

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestACACertificateIsWhatTheServerIsCheckedWith(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshakes that fail are meant to
	server.StartTLS()
	defer server.Close()
	// The server's certificate is for example.com.
	own := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	for _, test := range []struct {
		name, url string
		trusted   bool
	}{
		{"the right name", "mysql://nova@example.com/nova?ssl_ca=" + own, true},
		{"another name", "mysql://nova@db.internal/nova?ssl_ca=" + own, false},
		{"another name, which is not to be checked", "mysql://nova@db.internal/nova?ssl_check_hostname=false&ssl_ca=" + own, true},
	} {
		options, err := parseURL(test.url, func(...string) {})
		if err != nil {
			t.Fatal(err)
		}
		config, err := options.config()
		if err != nil {
			t.Fatal(err)
		}
		if err := handshake(t, server, config.TLS); (err == nil) != test.trusted {
			t.Errorf("%s: got %v", test.name, err)
		}
		if config.TLS.InsecureSkipVerify {
			config.TLS.RootCAs = nil
			if handshake(t, server, config.TLS) == nil {
				t.Errorf("%s: a certificate of nobody's is trusted", test.name)
			}
		}
	}
	access, err := FromLogin(Login{Host: "example.com", User: "nova", CACert: own, ConfigFile: write(t, "")}, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	for host, trusted := range map[string]bool{"example.com": true, "db.internal": false} {
		config, err := access.cell("mysql://nova@" + host + "/nova")
		if err != nil {
			t.Fatal(err)
		}
		if err := handshake(t, server, config.TLS); (err == nil) != trusted {
			t.Errorf("the cell on %s: got %v", host, err)
		}
	}
}

func handshake(t *testing.T, server *httptest.Server, config *tls.Config) error {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return tls.Client(conn, config).Handshake()
}
