package nova

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

func TestACACertificateIsWhatTheServerIsCheckedWith(t *testing.T) {
	server, own := exampleServer(t)
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

// kolla-ansible's database URLs name a bundle that only its container has, and what is in it lies beside nova.conf.
func TestTheAuthoritiesBesideNovaConfAreTheDatabasesToo(t *testing.T) {
	server, own := exampleServer(t)
	const url = "mysql+pymysql://nova@example.com/nova"
	for _, test := range []struct {
		name, query, connection string
		beside, trusted, read   bool
	}{
		{"a bundle that only the container has", "?ssl_ca=/of/the/container.crt", url, true, true, true},
		{"the host's bundle of that name", "?ssl_ca=/etc/ssl/certs/ca-certificates.crt", url, true, true, true},
		{"no bundle", "?ssl_verify_cert=true", url, true, true, true},
		{"a server of another name", "?ssl_ca=/of/the/container.crt", "mysql+pymysql://nova@db.internal/nova", true, false, true},
		{"none beside it", "?ssl_ca=/etc/ssl/certs/ca-certificates.crt", url, false, false, true},
		{"neither", "?ssl_ca=/of/the/container.crt", url, false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := write(t, "[api_database]\nconnection = "+test.connection+test.query+"\n")
			if test.beside {
				folder := filepath.Join(filepath.Dir(conf), "ca-certificates")
				if err := errors.Join(os.Mkdir(folder, 0o700), os.Symlink(own, filepath.Join(folder, "own.crt"))); err != nil {
					t.Fatal(err)
				}
			}
			access, err := FromConf(conf, func(...string) {})
			if (err == nil) != test.read {
				t.Fatalf("got %v", err)
			}
			if !test.read {
				return
			}
			cell, err := access.cell(test.connection + test.query)
			if err != nil {
				t.Fatal(err)
			}
			for _, config := range []*mysql.Config{access.api, cell} {
				if err := handshake(t, server, config.TLS); (err == nil) != test.trusted {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

func TestALoginKeepsTheEncryptionThatACellMappingAsksFor(t *testing.T) {
	server, own := exampleServer(t)
	access, err := FromLogin(Login{Host: "db", User: "nova", ConfigFile: write(t, "")}, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	config, err := access.cell("mysql://other@example.com/nova?ssl_ca=" + own)
	if err != nil || config.User != "nova" || config.TLS == nil {
		t.Fatalf("got %+v, %v", config, err)
	}
	if err := handshake(t, server, config.TLS); err != nil {
		t.Error(err)
	}
}

func TestALoginTakesNothingFromWhatACellMappingAsksFor(t *testing.T) {
	_, own := exampleServer(t)
	for _, mapping := range []string{"ssl_ca=" + own, "ssl_ca=" + own + "&ssl_verify_cert=true&ssl_verify_identity=true"} {
		for _, file := range []string{"ssl-verify-server-cert=0", "ssl_disabled=true", "skip-ssl"} {
			access, err := FromLogin(Login{Host: "db", User: "nova", ConfigFile: write(t, "[client]\n"+file+"\n")}, func(...string) {})
			if err != nil {
				t.Fatal(err)
			}
			config, err := access.cell("mysql://other@example.com/nova?" + mapping)
			if err != nil || config.TLS == nil || config.TLS.InsecureSkipVerify || config.TLS.ServerName != "example.com" {
				t.Errorf("%s and %s: got %+v, %v", mapping, file, config, err)
			}
		}
	}
}

// exampleServer is a server with a certificate for example.com, and the file of that.
func exampleServer(t *testing.T) (server *httptest.Server, certificate string) {
	t.Helper()
	server = httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshakes that fail are meant to
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
}

func TestAServerThatDoesNotEncryptIsNotTalkedTo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, failure := listener.Accept()
			if failure != nil {
				return
			}
			// A server's greeting, whose capabilities have no TLS in them.
			greeting := "\n5.5.5-10.11\x00" + "\x01\x00\x00\x00" + "12345678\x00" + "\x00\x82" +
				"\x21" + "\x02\x00" + "\x08\x00" + "\x15" + strings.Repeat("\x00", 10) + "123456789012\x00"
			_, _ = conn.Write(append([]byte{byte(len(greeting)), 0, 0, 0}, greeting...))
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	config, err := Access{secret: func(...string) {}}.cell("mysql://nova@" + listener.Addr().String() + "/nova?ssl_verify_cert=false")
	if err != nil {
		t.Fatal(err)
	}
	db, err := open(config, true)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(t.Context()); !errors.Is(err, mysql.ErrNoTLS) {
		t.Errorf("got %v", err)
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
