package nova

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// urlForm is the form of a database URL as SQLAlchemy reads it
// (sqlalchemy/engine/url.py _parse_url): unlike in net/url, a password may hold
// anything but '@'.
var urlForm = regexp.MustCompile(`^([\w+]+)://` +
	`(?:([^:/]*)(?::([^@]*))?@)?` +
	`(?:\[([^/?]+)\]|([^/:?]*))(?::([^/?]*))?` +
	`(?:/([^?]*))?(?:\?(.*))?$`)

// parseURL reads a SQLAlchemy URL as its dialects for PyMySQL and mysqlclient do
// (sqlalchemy/dialects/mysql/mysqldb.py create_connect_args): what the query says goes
// before what is before it, and both before an option file. Its errors never quote the
// URL, since it holds a password. Query keys that mean nothing here are ignored, charset
// among them.
func parseURL(text string, secret func(...string)) (clientOptions, error) {
	parts := urlForm.FindStringSubmatch(text)
	if parts == nil {
		return nil, errors.New("it is not a database URL like mysql+pymysql://USER:PASSWORD@HOST/DATABASE")
	}
	secret(parts[3])
	// The rest of such a password would be taken for a host, and told as one.
	if strings.Contains(strings.Join(parts[4:], ""), "@") {
		return nil, errors.New("an '@' in its password or after it is to be written %40")
	}
	dialect, driver, _ := strings.Cut(parts[1], "+")
	if dialect != "mysql" && dialect != "mariadb" || !slices.Contains([]string{"", "pymysql", "mysqldb"}, driver) {
		return nil, fmt.Errorf("%s is not supported: only MySQL and MariaDB by PyMySQL or mysqlclient are", parts[1])
	}
	options := clientOptions{}
	for pair := range strings.SplitSeq(parts[8], "&") {
		name, value, _ := strings.Cut(strings.ReplaceAll(pair, "+", " "), "=")
		if name = unquote(name); options[name] != "" {
			return nil, fmt.Errorf("its database URL has %s twice", name)
		}
		options[name] = unquote(value)
	}
	options.fill(clientOptions{
		"user": unquote(parts[2]), "password": unquote(parts[3]), "host": parts[4] + parts[5], "port": parts[6], "database": parts[7],
	})
	file, group := options["read_default_file"], options["read_default_group"]
	if file != "" || group != "" {
		more, err := readOptionFile(cmp.Or(file, "/etc/my.cnf"), cmp.Or(group, "client"))
		if err != nil {
			return nil, err
		}
		options.fill(more)
	}
	secret(options["password"])
	if options["database"] == "" {
		return nil, errors.New("its database URL names no database")
	}
	return options, nil
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
	values["scheme"], values["path"] = strings.ToLower(scheme), strings.TrimLeft(path, "/")
	values["query"], values["fragment"] = query, fragment
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
