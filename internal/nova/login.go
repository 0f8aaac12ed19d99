package nova

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Login is an account for all of Nova's databases, in community.mysql's terms.
// What is empty comes from the option file.
type Login struct {
	Host     string `option:"login_host"`
	Port     int    `option:"login_port"`
	User     string `option:"login_user"`
	Password string `option:"login_password"`
	Socket   string `option:"login_unix_socket"`
	// ConfigFile is a MySQL option file; "" is ~/.my.cnf, if there is one.
	ConfigFile string `option:"config_file"`
	CACert     string `option:"ca_cert"`
	// Database is the API database; "" is nova_api.
	Database string `option:"login_db"`
}

// FromLogin gives the access with an account: the API database on its host, and
// the cells' databases on the hosts of their mappings.
func FromLogin(login Login, secret func(...string)) (Access, error) {
	options, err := login.optionFile()
	if err != nil {
		return Access{}, err
	}
	set := func(into *string, value string) {
		if value != "" {
			*into = value
		}
	}
	set(&options.user, login.User)
	set(&options.password, login.Password)
	set(&options.caCert, login.CACert)
	if login.Host != "" {
		// The socket of an option file is this machine's.
		options.host, options.socket = login.Host, ""
	}
	set(&options.socket, login.Socket)
	if login.Port != 0 {
		options.port = strconv.Itoa(login.Port)
	}
	secret(options.password)
	config, err := options.config()
	if err != nil {
		return Access{}, err
	}
	if config.DBName = login.Database; config.DBName == "" {
		config.DBName = "nova_api"
	}
	return Access{api: config, login: config, secret: secret}, nil
}

func (l Login) optionFile() (clientOptions, error) {
	if l.ConfigFile != "" {
		return readOptionFile(l.ConfigFile, "client")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return clientOptions{}, nil //nolint:nilerr // without a home there is no ~/.my.cnf
	}
	options, err := readOptionFile(filepath.Join(home, ".my.cnf"), "client")
	if errors.Is(err, fs.ErrNotExist) {
		return clientOptions{}, nil
	}
	return options, err
}

// clientOptions is what a client of MySQL has to know.
type clientOptions struct {
	user, password, host, port, socket, caCert string
}

// readOptionFile reads one group of a MySQL option file. Includes are not followed.
func readOptionFile(path, group string) (clientOptions, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return clientOptions{}, fmt.Errorf("read option file: %w", err)
	}
	var options clientOptions
	known := map[string]*string{
		"user": &options.user, "password": &options.password, "host": &options.host,
		"port": &options.port, "socket": &options.socket, "ssl-ca": &options.caCert,
	}
	current := ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			current = strings.Trim(line, "[] ")
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		into := known[strings.ReplaceAll(strings.TrimSpace(name), "_", "-")]
		if current != group || into == nil {
			continue
		}
		value = strings.TrimSpace(value)
		if quote := value; len(quote) > 1 && (quote[0] == '"' || quote[0] == '\'') && quote[len(quote)-1] == quote[0] {
			value = quote[1 : len(quote)-1]
		}
		*into = value
	}
	return options, nil
}

func (o clientOptions) config() (*mysql.Config, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd = o.user, o.password
	if o.socket != "" {
		config.Net, config.Addr = "unix", o.socket
		return config, nil
	}
	host, port := o.host, o.port
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "3306"
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return nil, fmt.Errorf("the port of the database is not a number from 1 to 65535: %q", port)
	}
	config.Net, config.Addr = "tcp", net.JoinHostPort(host, port)
	if o.caCert == "" {
		return config, nil
	}
	pem, err := os.ReadFile(o.caCert)
	if err != nil {
		return nil, fmt.Errorf("read the database's CA certificate: %w", err)
	}
	config.TLS = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: host, MinVersion: tls.VersionTLS12}
	if !config.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the database's CA certificate: %s has no certificate in it", o.caCert)
	}
	return config, nil
}

// trustAnyName keeps the check of the certificate's chain, but not of its name.
func trustAnyName(config *tls.Config) {
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		intermediates := x509.NewCertPool()
		for _, certificate := range state.PeerCertificates[1:] {
			intermediates.AddCert(certificate)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: config.RootCAs, Intermediates: intermediates})
		return err
	}
}
