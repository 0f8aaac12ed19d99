package nova

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	options, err := login.options()
	if err != nil {
		return Access{}, err
	}
	secret(options["password"])
	config, err := options.config()
	return Access{api: config, login: options, secret: secret}, err
}

// options are those of the task, and then those of the option file.
func (l Login) options() (clientOptions, error) {
	options := clientOptions{
		"host": l.Host, "user": l.User, "password": l.Password, "unix_socket": l.Socket, "database": cmp.Or(l.Database, "nova_api"),
	}
	if l.Port != 0 {
		options["port"] = strconv.Itoa(l.Port)
	}
	if l.CACert != "" {
		options["ssl_ca"] = l.CACert
	}
	path := l.ConfigFile
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return options, nil //nolint:nilerr // without a home there is no ~/.my.cnf
		}
		path = filepath.Join(home, ".my.cnf")
	}
	file, err := readOptionFile(path, "client")
	if l.ConfigFile == "" && errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if l.Host != "" {
		// The socket of an option file is this machine's.
		delete(file, "unix_socket")
	}
	options.fill(file)
	return options, err
}

// fileOptions are the names of an option file for what PyMySQL calls otherwise.
var fileOptions = map[string]string{"socket": "unix_socket", "ssl_verify_server_cert": "ssl_verify_identity"}

// sslModes are what MySQL's client takes as ssl-mode.
var sslModes = map[string]string{
	"disabled": "ssl_disabled=true", "preferred": "ssl=false", "required": "ssl=true", "verify_ca": "ssl_verify_cert=true",
	"verify_identity": "ssl_verify_identity=true",
}

// readOptionFile reads one group of a MySQL option file, as PyMySQL does with Python's
// configparser (pymysql/optionfile.py); as for MySQL, '_' and '-' are one, and the MariaDB
// client's ssl and ssl-verify-server-cert count. osloconf's reader is of no use for it:
// there a value-less option is an error, and an indented line continues the one before.
// Includes are not followed.
func readOptionFile(path, group string) (clientOptions, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read option file: %w", err)
	}
	options := clientOptions{}
	current := ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			current = strings.Trim(line, "[] ")
		}
		if current != group || line == "" || strings.ContainsRune("[#;!", rune(line[0])) {
			continue
		}
		name, value, hasValue := line, "", false
		if at := strings.IndexAny(line, "=:"); at >= 0 {
			name, value, hasValue = line[:at], strings.TrimSpace(line[at+1:]), true
		}
		if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
		name = strings.TrimPrefix(name, "loose_")
		if !hasValue && isSecurity(name) {
			value = "true"
		}
		for _, negation := range []string{"skip_", "disable_"} {
			if what, negated := strings.CutPrefix(name, negation); negated && isSecurity(what) {
				name, value = what, "false"
			}
		}
		if mode, known := sslModes[strings.ToLower(value)]; known && name == "ssl_mode" {
			name, value, _ = strings.Cut(mode, "=")
		}
		options[cmp.Or(fileOptions[name], name)] = value
	}
	return options, nil
}
