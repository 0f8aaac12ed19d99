package nova

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// urlForm is the form of a database URL as SQLAlchemy reads it
// (sqlalchemy/engine/url.py _parse_url): unlike in net/url, a password may hold
// anything but '@'.
var urlForm = regexp.MustCompile(`^([\w+]+)://` +
	`(?:([^:/]*)(?::([^@]*))?@)?` +
	`(?:\[([^/?]+)\]|([^/:?]*))(?::([^/?]*))?` +
	`(?:/([^?]*))?(?:\?(.*))?$`)

// parseURL reads a SQLAlchemy URL. Its errors never quote it, since it holds a
// password. Query keys that mean nothing here are ignored, charset among them.
func parseURL(text string, secret func(...string)) (*mysql.Config, error) {
	parts := urlForm.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return nil, errors.New("it is not a database URL like mysql+pymysql://USER:PASSWORD@HOST/DATABASE")
	}
	secret(parts[3])
	dialect, _, _ := strings.Cut(parts[1], "+")
	if dialect != "mysql" && dialect != "mariadb" {
		return nil, fmt.Errorf("%s is not supported: only MySQL and MariaDB are", dialect)
	}
	query, err := url.ParseQuery(parts[8])
	if err != nil {
		return nil, errors.New("the part of its database URL after the question mark is malformed")
	}
	var options clientOptions
	if file := query.Get("read_default_file"); file != "" {
		group := query.Get("read_default_group")
		if group == "" {
			group = "client"
		}
		if options, err = readOptionFile(file, group); err != nil {
			return nil, err
		}
		secret(options.password)
	}
	set := func(into *string, value string) {
		if value != "" {
			*into = value
		}
	}
	set(&options.user, unquote(parts[2]))
	set(&options.password, unquote(parts[3]))
	set(&options.host, parts[4]+parts[5])
	set(&options.port, parts[6])
	set(&options.socket, query.Get("unix_socket"))
	set(&options.caCert, query.Get("ssl_ca"))
	secret(options.password)
	config, err := options.config()
	if err != nil {
		return nil, err
	}
	if config.DBName = parts[7]; config.DBName == "" {
		return nil, errors.New("its database URL names no database")
	}
	// PyMySQL compares the host name unless it is told not to (pymysql/connections.py _create_ssl_ctx).
	if check := query.Get("ssl_check_hostname"); config.TLS != nil && strings.EqualFold(check, "false") {
		trustAnyName(config.TLS)
	}
	return config, nil
}

// unquote decodes as Python's urllib.parse.unquote does: '+' stays, and what is
// no escape stays as well.
func unquote(text string) string {
	return escape.ReplaceAllStringFunc(text, func(match string) string {
		decoded, err := strconv.ParseUint(match[1:], 16, 8)
		if err != nil {
			return match
		}
		return string([]byte{byte(decoded)})
	})
}

var escape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

// fillTemplate fills a cell mapping that is a template from base, as
// CellMapping._format_url does (nova/objects/cell_mapping.py): the values stay
// percent-encoded, the host's name becomes lower case, and what base does not
// have is "None". Python's urlparse, which it uses, lets '/', '?' and '#' end
// the part with the password, and the last '@' the account.
func fillTemplate(template, base string) (string, error) {
	scheme, rest, found := strings.Cut(base, "://")
	if !found {
		return "", errors.New("[database]connection, which its database_connection refers to, is not a URL")
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	netloc, path, _ := strings.Cut(rest, "/")
	values := account(netloc)
	values["scheme"], values["path"], values["query"], values["fragment"] = strings.ToLower(scheme), strings.TrimLeft(path, "/"), query, fragment
	if strings.Contains(netloc, ",") {
		for i, one := range strings.Split(netloc, ",") {
			for name, value := range account(one) {
				values[name+strconv.Itoa(i+1)] = value
			}
		}
	}
	var missing []string
	filled := field.ReplaceAllStringFunc(template, func(match string) string {
		value, known := values[match[1:len(match)-1]]
		if !known {
			missing = append(missing, match)
		}
		return value
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("its database_connection refers to %s, which [database]connection cannot fill", strings.Join(missing, ", "))
	}
	return filled, nil
}

var field = regexp.MustCompile(`\{[^{}]*\}`)

func account(netloc string) map[string]string {
	values := map[string]string{"username": "None", "password": "None", "hostname": "None", "port": "None"}
	at := strings.LastIndex(netloc, "@")
	if at >= 0 {
		user, password, hasPassword := strings.Cut(netloc[:at], ":")
		values["username"] = user
		if hasPassword {
			values["password"] = password
		}
	}
	host, port := netloc[at+1:], ""
	if rest, isIPv6 := strings.CutPrefix(host, "["); isIPv6 {
		// urlparse drops the brackets: such a template has to bring its own.
		host, port, _ = strings.Cut(rest, "]")
		port = strings.TrimPrefix(port, ":")
	} else {
		host, port, _ = strings.Cut(host, ":")
	}
	if host != "" {
		values["hostname"] = strings.ToLower(host)
	}
	if port != "" {
		values["port"] = port
	}
	return values
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
