package nova

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
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

// configFor is how to connect to the same database by another account. Each of the two may
// ask for more security than the other, and takes nothing from what that asks for. A login
// with a CA of its own goes without the files that the database's own options name.
func (o clientOptions) configFor(login clientOptions) (*mysql.Config, error) {
	wanted, err := o.security()
	if err != nil {
		return nil, err
	}
	asked, err := login.security()
	if err != nil {
		return nil, err
	}
	wanted.encrypted = wanted.encrypted || asked.encrypted
	wanted.chain, wanted.name = wanted.chain || asked.chain, wanted.name || asked.name
	if login.hasCA() {
		maps.DeleteFunc(o, func(name, _ string) bool { return slices.Contains(securityFiles, name) })
	}
	for _, name := range securityFiles {
		if login[name] != "" {
			o[name] = login[name]
		}
	}
	o["user"], o["password"] = login["user"], login["password"]
	return o.connection(wanted)
}

func (o clientOptions) hasCA() bool { return o["ssl_ca"] != "" || o["ssl_capath"] != "" }

// security is what is asked of a session: encryption, that the chain of the server's
// certificate is verified, and that its name is the host's.
type security struct{ encrypted, chain, name bool }

var (
	securityFiles = []string{"ssl_ca", "ssl_capath", "ssl_cert", "ssl_key"}
	securityFlags = []string{"ssl", "ssl_check_hostname", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"}
	// As SQLAlchemy's asbool and PyMySQL write them.
	yes = []string{"true", "yes", "on", "y", "t", "1", "required", "optional"}
	no  = []string{"false", "no", "off", "n", "f", "0", "none"}
)

// security reads the ssl options, and refuses by name what it does not understand:
// a session that was to be encrypted is never plain text. The rules are PyMySQL's
// (pymysql/connections.py Connection.__init__, _create_ssl_ctx), except where those
// drop what was asked for: beside ssl_verify_cert or ssl_verify_identity it forgets
// ssl_ca, ssl_cert and ssl_key and compares no name, and any ssl_disabled is true.
func (o clientOptions) security() (security, error) {
	asked, empty, flags := false, "", map[string]bool{}
	for name, value := range o {
		isYes := slices.Contains(yes, strings.ToLower(value))
		switch {
		case name != "db" && name != "passwd" && !isSecurity(name):
		case value == "":
			empty = name // SQLAlchemy drops it
		case slices.Contains(securityFiles, name):
			asked = true
		case !slices.Contains(securityFlags, name):
			// Of db and database, passwd and password it depends on the driver which one counts.
			return security{}, fmt.Errorf("the database connection's option %s is not understood: "+
				"take it out of the database URL or option file", name)
		case !isYes && !slices.Contains(no, strings.ToLower(value)):
			return security{}, fmt.Errorf("the database connection's option %s is neither true nor false: %q", name, value)
		default:
			asked, flags[name] = asked || isYes || name != "ssl", isYes
		}
	}
	delete(flags, "ssl")
	verify, saysVerify := flags["ssl_verify_cert"]
	wanted := security{encrypted: true, name: flags["ssl_verify_identity"] || flags["ssl_check_hostname"]}
	switch {
	case flags["ssl_disabled"] || !asked && empty == "":
		return security{}, nil
	case !asked:
		return security{}, fmt.Errorf("the database connection's option %s has no value", empty)
	case o["ssl_key"] != "" && o["ssl_cert"] == "":
		return security{}, errors.New("the database connection's option ssl_key is of no use without ssl_cert")
	}
	if delete(flags, "ssl_disabled"); len(flags) == 0 {
		wanted.name = o.hasCA() // unless it is told not to
	}
	wanted.chain = wanted.name || verify || !saysVerify && o.hasCA()
	return wanted, nil
}

// config is how the driver is to connect.
func (o clientOptions) config() (*mysql.Config, error) {
	wanted, err := o.security()
	if err != nil {
		return nil, err
	}
	return o.connection(wanted)
}

func (o clientOptions) connection(wanted security) (*mysql.Config, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = o["user"], o["password"], o["database"]
	host, port := cmp.Or(o["host"], "localhost"), cmp.Or(o["port"], "3306")
	// It is not quoted: where an '@' is forgotten, it is the password.
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return nil, errors.New("the port of the database is not a number from 1 to 65535")
	}
	config.Net, config.Addr = "tcp", net.JoinHostPort(host, port)
	if socket := o["unix_socket"]; socket != "" {
		// Nothing is between: that what answers has a certificate of the CA is enough.
		config.Net, config.Addr, wanted.name = "unix", socket, false
	}
	if !wanted.encrypted {
		return config, nil
	}
	var err error
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
