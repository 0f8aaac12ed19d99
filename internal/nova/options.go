package nova

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// clientOptions are what a client of MySQL has to know, by the names that
// PyMySQL has for them (pymysql/connections.py Connection.__init__).
type clientOptions map[string]string

// fill takes from others what is not said yet.
func (o clientOptions) fill(others clientOptions) {
	for name, value := range others {
		if o[name] == "" {
			o[name] = value
		}
	}
}

// isSecurity says whether an option is about encryption.
func isSecurity(name string) bool {
	return strings.Contains(name, "ssl") || strings.Contains(name, "tls")
}

// withAccount is the same database by another account. What that asks of the
// session's security is added; with a CA of its own it goes before all that was asked.
func (o clientOptions) withAccount(login clientOptions) clientOptions {
	o["user"], o["password"] = login["user"], login["password"]
	security := clientOptions{}
	for name, value := range login {
		if isSecurity(name) && value != "" {
			security[name] = value
		}
	}
	for name := range o {
		if security.hasCA() && isSecurity(name) || len(security) > 0 && name == "ssl_disabled" {
			delete(o, name)
		}
	}
	for name, value := range security {
		o[name] = value
	}
	return o
}

func (o clientOptions) hasCA() bool { return o["ssl_ca"] != "" || o["ssl_capath"] != "" }

// security is what is asked of a session: encryption, that the chain of the server's
// certificate is verified, and that its name is the host's.
type security struct{ encrypted, chain, name bool }

// security reads the ssl options, and refuses by name what it does not understand:
// a session that was to be encrypted is never plain text. The rules are PyMySQL's
// (pymysql/connections.py Connection.__init__, _create_ssl_ctx), except where those
// drop what was asked for: there ssl_ca, ssl_cert and ssl_key go where ssl_verify_cert
// comes, an identity is compared only beside ssl_ca, and any ssl_disabled is true.
func (o clientOptions) security() (security, error) {
	asked, flags, empty := false, map[string]bool{}, ""
	for name, value := range o {
		switch {
		case name == "db" || name == "passwd": // which of two names counts depends on the driver
			return security{}, fmt.Errorf("its option %s is not understood", name)
		case !isSecurity(name):
		case value == "":
			empty = name // SQLAlchemy drops it
		case slices.Contains([]string{"ssl_ca", "ssl_capath", "ssl_cert", "ssl_key"}, name):
			asked = true
		case slices.Contains([]string{"ssl", "ssl_check_hostname", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"}, name):
			isTrue := slices.Contains([]string{"true", "yes", "on", "y", "t", "1", "required", "optional"}, strings.ToLower(value))
			if !isTrue && !slices.Contains([]string{"false", "no", "off", "n", "f", "0", "none"}, strings.ToLower(value)) {
				return security{}, fmt.Errorf("its option %s is neither true nor false: %q", name, value)
			}
			asked, flags[name] = asked || isTrue || name != "ssl", isTrue
		default:
			return security{}, fmt.Errorf("its option %s is not understood", name)
		}
	}
	verify, saysVerify := flags["ssl_verify_cert"]
	_, saysIdentity := flags["ssl_verify_identity"]
	_, saysName := flags["ssl_check_hostname"]
	wanted := security{encrypted: true, name: flags["ssl_verify_identity"] || flags["ssl_check_hostname"]}
	switch {
	case flags["ssl_disabled"] || !asked && empty == "":
		return security{}, nil
	case !asked:
		return security{}, fmt.Errorf("its option %s has no value", empty)
	case o["ssl_key"] != "" && o["ssl_cert"] == "":
		return security{}, errors.New("its option ssl_key is of no use without ssl_cert")
	case !saysVerify && !saysIdentity && !saysName:
		wanted.name = o.hasCA()
	}
	wanted.chain = wanted.name || verify || !saysVerify && o.hasCA()
	return wanted, nil
}

// config is how the driver is to connect.
func (o clientOptions) config() (*mysql.Config, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = o["user"], o["password"], o["database"]
	host, port := cmp.Or(o["host"], "localhost"), cmp.Or(o["port"], "3306")
	// It is not quoted: where an '@' is forgotten, it is the password.
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return nil, errors.New("the port of the database is not a number from 1 to 65535")
	}
	config.Net, config.Addr = "tcp", net.JoinHostPort(host, port)
	if socket := o["unix_socket"]; socket != "" {
		config.Net, config.Addr = "unix", socket
	}
	wanted, err := o.security()
	if err != nil || !wanted.encrypted {
		return config, err
	}
	config.TLS, err = o.tls(wanted, host)
	return config, err
}

func (o clientOptions) tls(wanted security, host string) (*tls.Config, error) {
	// Without a CA the system's are trusted.
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: !wanted.name}
	if o.hasCA() {
		config.RootCAs = x509.NewCertPool()
		files := []string{o["ssl_ca"]}
		if folder := o["ssl_capath"]; folder != "" {
			// OpenSSL finds those that are named by their hash (openssl-rehash).
			hashed, err := filepath.Glob(filepath.Join(folder, "????????.[0-9]*"))
			if err != nil || len(hashed) == 0 {
				return nil, fmt.Errorf("read the database's CA certificates: the folder %s has none that is named by its hash", folder)
			}
			files = append(files, hashed...)
		}
		for _, file := range slices.DeleteFunc(files, func(file string) bool { return file == "" }) {
			pem, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("read the database's CA certificate: %w", err)
			}
			if !config.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("read the database's CA certificate: %s has no certificate in it", file)
			}
		}
	}
	if cert := o["ssl_cert"]; cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, cmp.Or(o["ssl_key"], cert))
		if err != nil {
			return nil, fmt.Errorf("read the client certificate for the database: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if wanted.chain && !wanted.name {
		config.VerifyConnection = func(state tls.ConnectionState) error {
			intermediates := x509.NewCertPool()
			for _, certificate := range state.PeerCertificates[1:] {
				intermediates.AddCert(certificate)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: config.RootCAs, Intermediates: intermediates})
			return err
		}
	}
	return config, nil
}
