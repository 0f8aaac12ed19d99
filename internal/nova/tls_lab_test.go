//go:build lab

package nova

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

func TestASessionIsAsSecureAsWasAskedForOrIsNotMade(t *testing.T) {
	folder := t.TempDir()
	authority(t, folder, "ca", "server", "client")
	authority(t, folder, "other", "intruder")
	replacer := strings.NewReplacer("DIR", folder, "/nova?", ":"+startMariaDB(t, folder)+"/nova?")
	file := func(content string) string { return write(t, replacer.Replace(content)) }
	const (
		unknown = "certificate signed by unknown authority"
		name    = "x509: cannot validate certificate for 127.0.0.1"
		denied  = "Error 1045 (28000): Access denied"
		// What MariaDB says of a session without encryption, and newer ones.
		insecure = denied + "|Error 3159 (08004): Connections using insecure transport are prohibited"
		// With TLS 1.3 the client is done before the server has looked at its certificate.
		closed = " connection"
		strict = "strict:pw@localhost/nova?ssl_ca=DIR/ca.pem"
	)
	for _, test := range []struct {
		name, url string
		// want is in the error, or one of it with | between; "" is an encrypted session.
		want string
	}{
		{"nothing asked", "nova:pw@localhost/nova?charset=utf8", insecure},
		{"a CA", "nova:pw@localhost/nova?ssl_ca=DIR/ca.pem", ""},
		{"another CA", "nova:pw@localhost/nova?ssl_ca=DIR/other.pem", unknown},
		{"another name", "nova:pw@127.0.0.1/nova?ssl_ca=DIR/ca.pem", name},
		{"another name, which is not to be checked", "nova:pw@127.0.0.1/nova?ssl_ca=DIR/ca.pem&ssl_check_hostname=false", ""},
		{"another CA and any name", "nova:pw@localhost/nova?ssl_ca=DIR/other.pem&ssl_check_hostname=false", unknown},
		{"a folder of CAs", "nova:pw@localhost/nova?ssl_capath=DIR/hashed", ""},
		{"a folder of other CAs", "nova:pw@localhost/nova?ssl_capath=DIR/hashed-other", unknown},
		{"a folder without hashes", "nova:pw@localhost/nova?ssl_capath=DIR", "has none that is named by its hash"},
		{"verified, by the system's CAs", "nova:pw@localhost/nova?ssl_verify_cert=true", unknown},
		{"not verified", "nova:pw@localhost/nova?ssl_verify_cert=false", ""},
		{"a CA, verified", "nova:pw@127.0.0.1/nova?ssl_ca=DIR/ca.pem&ssl_verify_cert=true", ""},
		{"another CA, verified", "nova:pw@127.0.0.1/nova?ssl_ca=DIR/other.pem&ssl_verify_cert=true", unknown},
		{"a CA, verified with its name", "nova:pw@localhost/nova?ssl_ca=DIR/ca.pem&ssl_verify_cert=true&ssl_verify_identity=true", ""},
		{"a CA, verified with another name", "nova:pw@127.0.0.1/nova?ssl_ca=DIR/ca.pem&ssl_verify_cert=true&ssl_verify_identity=true", name},
		{"a CA that is not there", "nova:pw@localhost/nova?ssl_ca=DIR/no.pem", "no such file"},
		{"a CA that is a key", "nova:pw@localhost/nova?ssl_ca=DIR/client.key", "has no certificate in it"},
		{"disabled", "nova:pw@localhost/nova?ssl_ca=DIR/ca.pem&ssl_disabled=true", insecure},
		{"not disabled", "nova:pw@localhost/nova?ssl_ca=DIR/ca.pem&ssl_disabled=false", ""},
		{"a client certificate", strict + "&ssl_cert=DIR/client.pem&ssl_key=DIR/client.key", ""},
		{"a client certificate beside ssl_verify_cert", strict + "&ssl_cert=DIR/client.pem&ssl_key=DIR/client.key&ssl_verify_cert=1", ""},
		{"no client certificate", strict, denied},
		{"a client certificate of another's", strict + "&ssl_cert=DIR/intruder.pem&ssl_key=DIR/intruder.key", closed},
		{"a client certificate with another key", strict + "&ssl_cert=DIR/client.pem&ssl_key=DIR/intruder.key",
			"private key does not match"},
		{"on the socket", "nova:pw@localhost/nova?unix_socket=DIR/socket&ssl_ca=DIR/ca.pem", ""},
		{"on the socket by another CA", "nova:pw@localhost/nova?unix_socket=DIR/socket&ssl_ca=DIR/other.pem", unknown},
		{"an option file", "nova:pw@localhost/nova?read_default_file=" + file("[client]\nssl-ca = DIR/ca.pem\n"), ""},
		{"an option file for a client certificate", "strict:pw@localhost/nova?read_default_file=" +
			file("[client]\nssl-ca = DIR/ca.pem\nssl-cert = DIR/client.pem\nssl-key = DIR/client.key\n"), ""},
		{"an option file's encryption", "nova:pw@localhost/nova?read_default_file=" + file("[client]\nssl\n"), ""},
		{"an option file's verification", "nova:pw@localhost/nova?read_default_file=" + file("[client]\nssl\nssl-verify-server-cert\n"), unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			secured(t, Access{secret: func(...string) {}}, test.url, replacer, test.want)
		})
	}

	t.Setenv("HOME", t.TempDir())
	for _, test := range []struct {
		name, mapping string
		login         Login
		want          string
	}{
		{"the mapping's CA", "x:y@localhost/nova?ssl_ca=DIR/ca.pem", Login{}, ""},
		{"the mapping's CA, which is another", "x:y@localhost/nova?ssl_ca=DIR/other.pem", Login{}, unknown},
		{"the mapping's CA and its name", "x:y@127.0.0.1/nova?ssl_ca=DIR/ca.pem", Login{}, name},
		{"a CA of its own", "x:y@localhost/nova?ssl_ca=DIR/other.pem&ssl_verify_cert=0", Login{CACert: "DIR/ca.pem"}, ""},
		{"a CA of its own, which is another", "x:y@localhost/nova?ssl_ca=DIR/ca.pem&ssl_verify_cert=0", Login{CACert: "DIR/other.pem"}, unknown},
		{"a CA of its own where the mapping wants no encryption", "x:y@localhost/nova?ssl_disabled=1", Login{CACert: "DIR/ca.pem"}, ""},
		{"encryption of its own beside the mapping's CA", "x:y@localhost/nova?ssl_ca=DIR/other.pem", Login{ConfigFile: file("[client]\nssl\n")},
			unknown},
		{"nothing", "x:y@localhost/nova?charset=utf8", Login{}, insecure},
	} {
		t.Run("a login has "+test.name, func(t *testing.T) {
			test.login.User, test.login.Password, test.login.Host = "nova", "pw", "localhost"
			test.login.CACert = replacer.Replace(test.login.CACert)
			access, err := FromLogin(test.login, func(...string) {})
			if err != nil {
				t.Fatal(err)
			}
			secured(t, access, test.mapping, replacer, test.want)
		})
	}
}

// secured connects as a cell mapping says.
func secured(t *testing.T, access Access, mapping string, replacer *strings.Replacer, want string) {
	t.Helper()
	config, err := access.cell(replacer.Replace("mysql+pymysql://" + mapping))
	cipher := ""
	if err == nil {
		cipher, err = cipherOf(t, config)
	}
	wanted := func(one string) bool { return strings.Contains(err.Error(), one) }
	switch {
	case want != "" && (err == nil || !slices.ContainsFunc(strings.Split(want, "|"), wanted)):
		t.Errorf("got %v and the cipher %q, want %q", err, cipher, want)
	case want == "" && (err != nil || cipher == ""):
		t.Errorf("got %v and the cipher %q", err, cipher)
	}
}

func cipherOf(t *testing.T, config *mysql.Config) (cipher string, err error) {
	t.Helper()
	db, err := open(config, true)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var variable string
	return cipher, db.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&variable, &cipher)
}

// startMariaDB starts a server of the test's own, and returns its port. It takes no session that is neither encrypted nor on its socket.
func startMariaDB(t *testing.T, folder string) string {
	t.Helper()
	data := filepath.Join(folder, "data")
	install := exec.Command("mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data, "--skip-test-db",
		"--auth-root-authentication-method=normal")
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	socket := filepath.Join(folder, "socket")
	server := exec.Command("mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--bind-address=127.0.0.1", "--port="+port,
		"--socket="+socket, "--require-secure-transport=ON", "--ssl-ca="+folder+"/ca.pem", "--ssl-cert="+folder+"/server.pem",
		"--ssl-key="+folder+"/server.key")
	complaints, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	lines := bufio.NewScanner(complaints)
	var log strings.Builder
	for lines.Scan() && !strings.Contains(lines.Text(), "ready for connections") {
		fmt.Fprintln(&log, lines.Text())
	}
	root := mysql.NewConfig()
	root.User, root.Net, root.Addr = "root", "unix", socket
	connector, err := mysql.NewConnector(root)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	for _, statement := range []string{
		"CREATE DATABASE nova", "CREATE USER nova@'%' IDENTIFIED BY 'pw'", "GRANT SELECT ON nova.* TO nova@'%'",
		"CREATE USER strict@'%' IDENTIFIED BY 'pw' REQUIRE X509", "GRANT SELECT ON nova.* TO strict@'%'",
	} {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v\n%s", statement, err, log.String())
		}
	}
	return port
}

// authority makes a CA, NAME.pem and in a folder of its own as OpenSSL looks for it, and certificates of it for localhost.
func authority(t *testing.T, folder, name string, certificates ...string) {
	t.Helper()
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey := newKey(t, folder, name)
	sign(t, folder, name, ca, ca, caKey, caKey)
	for i, one := range certificates {
		key := newKey(t, folder, one)
		sign(t, folder, one, &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 2)), Subject: pkix.Name{CommonName: one}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, ca, key, caKey)
	}
	hashed := filepath.Join(folder, "hashed")
	if name != "ca" {
		hashed += "-" + name
	}
	if err := os.Mkdir(hashed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(folder, name+".pem"), filepath.Join(hashed, name+".pem")); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("openssl", "rehash", hashed).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

func newKey(t *testing.T, folder, name string) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	content, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(folder, name+".key"), "PRIVATE KEY", content)
	return key
}

func sign(t *testing.T, folder, name string, certificate, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) {
	t.Helper()
	content, err := x509.CreateCertificate(rand.Reader, certificate, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(folder, name+".pem"), "CERTIFICATE", content)
}

func writePEM(t *testing.T, path, kind string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		t.Fatal(err)
	}
}
