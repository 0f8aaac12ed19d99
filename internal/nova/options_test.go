package nova

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const takeOut = ": take it out of the database URL or option file"

// connections say where a session leads, and how it is secured, by what a database URL says and the option file that it
// names as FILE. options_lab_test.go asks SQLAlchemy and PyMySQL.
var connections = []struct {
	name, url, file string
	// want is the account, the address and the database, and what describe says of the encryption.
	want string
	// refused is our own error.
	refused string
	// library is what the libraries make of it where that is not want: "refused" if they raise an error.
	library string
}{
	{name: "usual", url: "mysql+pymysql://nova:pw@db/nova?charset=utf8", want: "nova pw tcp db:3306 nova"},
	{name: "with a port", url: "mysql+pymysql://nova:pw@db:3307/nova", want: "nova pw tcp db:3307 nova"},
	{name: "with a colon and no port", url: "mysql+pymysql://nova:pw@db:/nova", want: "nova pw tcp db:3306 nova", library: "refused"},
	{name: "plain dialect", url: "mysql://nova:pw@db/nova", want: "nova pw tcp db:3306 nova"},
	{name: "mysqldb", url: "mysql+mysqldb://nova:pw@db/nova", want: "nova pw tcp db:3306 nova"},
	{name: "mariadb", url: "mariadb+pymysql://nova:pw@db/nova", want: "nova pw tcp db:3306 nova"},
	{name: "percent-encoded", url: "mysql+pymysql://no%40va:p%40s%2Fs%25w%3Ard@db/nova", want: "no@va p@s/s%w:rd tcp db:3306 nova"},
	{name: "a plus is a plus", url: "mysql+pymysql://no+va:a+b@db/nova", want: "no+va a+b tcp db:3306 nova"},
	{name: "a percent sign that is no escape", url: "mysql+pymysql://nova:100%@db/nova", want: "nova 100% tcp db:3306 nova"},
	{name: "a percent sign that is half an escape", url: "mysql+pymysql://nova:%4@db/nova", want: "nova %4 tcp db:3306 nova"},
	{name: "encoded UTF-8", url: "mysql+pymysql://nova:%C3%A9@db/nova", want: "nova \u00e9 tcp db:3306 nova"},
	{name: "special characters not encoded", url: "mysql+pymysql://nova:a/b#c?d:e@db/nova", want: "nova a/b#c?d:e tcp db:3306 nova"},
	{name: "no password", url: "mysql+pymysql://nova@localhost/nova", want: "nova  tcp localhost:3306 nova"},
	{name: "an empty password", url: "mysql+pymysql://nova:@localhost/nova", want: "nova  tcp localhost:3306 nova"},
	{name: "no account", url: "mysql+pymysql://db/nova", want: "  tcp db:3306 nova"},
	{name: "no host", url: "mysql+pymysql://nova:pw@/nova", want: "nova pw tcp localhost:3306 nova"},
	{name: "an at sign in the user", url: "mysql+pymysql://no@va:pw@db/nova", want: "no@va pw tcp db:3306 nova"},
	{name: "an escape in the host stays", url: "mysql+pymysql://nova:pw@d%62/nova", want: "nova pw tcp d%62:3306 nova"},
	{name: "an escape in the database stays", url: "mysql+pymysql://nova:pw@db/no%76a", want: "nova pw tcp db:3306 no%76a"},
	{name: "a slash in the database", url: "mysql+pymysql://nova:pw@db/nova/x", want: "nova pw tcp db:3306 nova/x"},
	{name: "IPv6", url: "mysql+pymysql://nova:pw@[2001:db8::1]:3307/nova", want: "nova pw tcp [2001:db8::1]:3307 nova"},
	{name: "IPv6 without a port", url: "mysql+pymysql://nova:pw@[::1]/nova", want: "nova pw tcp [::1]:3306 nova"},

	{name: "a host in the query", url: "mysql+pymysql://nova:pw@db/nova?host=other", want: "nova pw tcp other:3306 nova"},
	{name: "a host only in the query", url: "mysql+pymysql://nova:pw@/nova?host=other", want: "nova pw tcp other:3306 nova"},
	{name: "a host in the query and a port before it", url: "mysql+pymysql://nova:pw@db:3307/nova?host=other",
		want: "nova pw tcp other:3307 nova"},
	{name: "IPv6 in the query", url: "mysql+pymysql://nova:pw@/nova?host=::1", want: "nova pw tcp [::1]:3306 nova"},
	{name: "a port in the query", url: "mysql+pymysql://nova:pw@db:1/nova?port=3307", want: "nova pw tcp db:3307 nova", library: "refused"},
	{name: "a port in the query beside an option file", url: "mysql+pymysql://nova:pw@db/nova?port=3307&read_default_file=FILE",
		want: "nova pw tcp db:3307 nova"},
	{name: "an account in the query", url: "mysql+pymysql://nova:pw@db/nova?user=u&password=p%2Bq+r", want: "u p+q r tcp db:3306 nova"},
	{name: "a database in the query", url: "mysql+pymysql://nova:pw@db/nova?database=other", want: "nova pw tcp db:3306 other"},
	{name: "a database only in the query", url: "mysql+pymysql://nova:pw@db?database=other", want: "nova pw tcp db:3306 other"},
	{name: "a database by its old name", url: "mysql+mysqldb://nova:pw@db/nova?db=other",
		refused: "the database connection's option db is not understood" + takeOut,
		library: "nova pw tcp db:3306 other"},
	{name: "a password by its old name", url: "mysql://nova:pw-secret@db/nova?passwd=x",
		refused: "the database connection's option passwd is not understood" + takeOut,
		library: "nova x tcp db:3306 nova"},
	{name: "a socket", url: "mysql+pymysql://nova@localhost/nova?unix_socket=/run/mysqld/mysqld.sock",
		want: "nova  unix /run/mysqld/mysqld.sock nova"},
	{name: "an encoded socket", url: "mysql+pymysql://nova@/nova?charset=utf8&unix_socket=%2Frun%2Fx", want: "nova  unix /run/x nova"},
	{name: "empty values", url: "mysql+pymysql://nova:pw@db/nova?host=&port=&unix_socket", want: "nova pw tcp db:3306 nova"},
	{name: "a query of nothing", url: "mysql+pymysql://nova:pw@db/nova?", want: "nova pw tcp db:3306 nova"},
	{name: "a half escape in the query", url: "mysql+pymysql://nova:pw@db/nova?host=%6fther%", want: "nova pw tcp other%:3306 nova"},
	{name: "a semicolon in the query", url: "mysql+pymysql://nova:pw@db/nova?host=other;port=1", want: "nova pw tcp other;port=1:3306 nova"},
	{name: "keys that mean nothing here", url: "mysql+pymysql://nova:pw@db/nova?connect_timeout=3&use_unicode=1",
		want: "nova pw tcp db:3306 nova"},
	{name: "a key that PyMySQL does not have", url: "mysql+pymysql://nova:pw@db/nova?plugin=x", want: "nova pw tcp db:3306 nova",
		library: "refused"},
	{name: "a key twice", url: "mysql+pymysql://nova:pw@db/nova?host=a&host=b", refused: "its database URL has host twice",
		library: "nova pw tcp ('a', 'b'):3306 nova"},

	{name: "postgresql", url: "postgresql+psycopg2://nova:pw-secret@db/nova",
		refused: "postgresql+psycopg2 is not supported: only MySQL and MariaDB by PyMySQL or mysqlclient are", library: "refused"},
	{name: "sqlite", url: "sqlite:////var/lib/nova/nova.sqlite",
		refused: "sqlite is not supported: only MySQL and MariaDB by PyMySQL or mysqlclient are", library: "refused"},
	{name: "another driver", url: "mysql+mysqlconnector://nova:pw-secret@db/nova",
		refused: "mysql+mysqlconnector is not supported: only MySQL and MariaDB by PyMySQL or mysqlclient are", library: "refused"},
	{name: "another driver, which is there", url: "mysql+cymysql://nova:pw-secret@db/nova",
		refused: "mysql+cymysql is not supported: only MySQL and MariaDB by PyMySQL or mysqlclient are",
		library: "nova pw-secret tcp db:3306 nova"},
	{name: "no database", url: "mysql+pymysql://nova:pw-secret@db", refused: "its database URL names no database",
		library: "nova pw-secret tcp db:3306 "},
	{name: "a port that is none", url: "mysql+pymysql://nova:pw-secret@db:None/nova",
		refused: "the port of the database is not a number from 1 to 65535", library: "refused"},
	{name: "a password without an at sign", url: "mysql+pymysql://nova:pw-secret/nova",
		refused: "the port of the database is not a number from 1 to 65535", library: "refused"},
	{name: "no URL", url: "nova:pw-secret@db/nova", refused: "it is not a database URL like mysql+pymysql://USER:PASSWORD@HOST/DATABASE",
		library: "refused"},
	{name: "blanks before it", url: " mysql+pymysql://nova:pw-secret@db/nova",
		refused: "it is not a database URL like mysql+pymysql://USER:PASSWORD@HOST/DATABASE", library: "refused"},
	{name: "something after the host", url: "mysql+pymysql://nova:pw@[::1]x/nova",
		refused: "the port of the database is not a number from 1 to 65535", library: "nova pw tcp [::1]:3306 "},
	{name: "empty", refused: "it is not a database URL like mysql+pymysql://USER:PASSWORD@HOST/DATABASE", library: "refused"},
	{name: "an at sign in the password", url: "mysql+pymysql://nova:p@pw-secret@db/nova",
		refused: "an '@' in its password or after it is to be written %40", library: "nova p tcp pw-secret@db:3306 nova"},
	{name: "an at sign and a slash in the password", url: "mysql+pymysql://nova:p@pw-secret/x@db/nova",
		refused: "an '@' in its password or after it is to be written %40", library: "nova p tcp pw-secret:3306 x@db/nova"},
	{name: "an at sign and a colon in the password", url: "mysql+pymysql://nova:p@pw:secret@db/nova",
		refused: "an '@' in its password or after it is to be written %40", library: "refused"},
	{name: "an at sign and a question mark in the password", url: "mysql+pymysql://nova:p@pw-secret/x?y=z@db/nova",
		refused: "an '@' in its password or after it is to be written %40", library: "refused"},

	{name: "an option file", url: "mysql+pymysql:///nova?read_default_file=FILE",
		file: "[mysqld]\nuser = x\n[client]\nuser = nova\npassword = \"p#w d\"\nhost: db\nport = 3307\n# host = x\n;host = x\n",
		want: "nova p#w d tcp db:3307 nova"},
	{name: "an option file's socket and database", url: "mysql+pymysql://nova:pw@db?read_default_file=FILE",
		file: "[client]\nsocket=/run/x\ndatabase=nova\n", want: "nova pw unix /run/x nova"},
	{name: "the URL before the option file", url: "mysql+pymysql://nova:pw@db/nova?read_default_file=FILE",
		file: "[client]\nuser = u\npassword = p\nhost = h\ndatabase = d\n", want: "nova pw tcp db:3306 nova"},
	{name: "another group", url: "mysql+pymysql://nova@/nova?read_default_file=FILE&read_default_group=tripleo",
		file: "[client]\nhost = x\n[tripleo]\nHOST = db\n", want: "nova  tcp db:3306 nova"},
	{name: "a group that is not there", url: "mysql+pymysql://nova@/nova?read_default_file=FILE&read_default_group=other",
		file: "[client]\nhost = x\n", want: "nova  tcp localhost:3306 nova"},
	{name: "quotes in an option file", url: "mysql+pymysql://nova@/nova?read_default_file=FILE",
		file: "[client]\npassword = 'p'w'\nhost = \"db\n", want: "nova p'w tcp \"db:3306 nova"},
	{name: "an option file that is not there", url: "mysql+pymysql://nova:pw-secret@db/nova?read_default_file=/no/my.cnf",
		refused: "read option file: open /no/my.cnf: no such file or directory", library: "nova pw-secret tcp db:3306 nova"},

	{name: "a CA", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca", want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca"},
	{name: "a folder of CAs", url: "mysql+pymysql://nova:pw@db/nova?ssl_capath=/cas",
		want: "nova pw tcp db:3306 nova tls chain name ssl_capath=/cas"},
	{name: "a CA and a client certificate", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_cert=/cert&ssl_key=/key",
		want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca ssl_cert=/cert ssl_key=/key"},
	{name: "a client certificate alone", url: "mysql+pymysql://nova:pw@db/nova?ssl_cert=/cert&ssl_key=/key",
		want: "nova pw tcp db:3306 nova tls ssl_cert=/cert ssl_key=/key"},
	{name: "a client certificate with its key in it", url: "mysql+pymysql://nova:pw@db/nova?ssl_cert=/both",
		want: "nova pw tcp db:3306 nova tls ssl_cert=/both"},
	{name: "a CA by mysqldb", url: "mysql://nova:pw@db/nova?ssl_ca=/ca", want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca"},
	{name: "a CA and any name", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_check_hostname=false",
		want: "nova pw tcp db:3306 nova tls chain ssl_ca=/ca"},
	{name: "a CA and its name", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_check_hostname=yes",
		want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca"},
	{name: "any certificate", url: "mysql+pymysql://nova:pw@db/nova?ssl_check_hostname=false", want: "nova pw tcp db:3306 nova tls"},
	{name: "verified by the system's CAs", url: "mysql+pymysql://nova:pw@db/nova?ssl_verify_cert=true",
		want: "nova pw tcp db:3306 nova tls chain"},
	{name: "verified, in another word", url: "mysql+pymysql://nova:pw@db/nova?ssl_verify_cert=Required",
		want: "nova pw tcp db:3306 nova tls chain"},
	{name: "not verified", url: "mysql+pymysql://nova:pw@db/nova?ssl_verify_cert=false", want: "nova pw tcp db:3306 nova tls"},
	{name: "not verified, in another word", url: "mysql+pymysql://nova:pw@db/nova?ssl_verify_cert=none",
		want: "nova pw tcp db:3306 nova tls"},
	{name: "encryption on a socket", url: "mysql+pymysql://nova@/nova?unix_socket=/run/x&ssl_ca=/ca",
		want: "nova  unix /run/x nova tls chain name ssl_ca=/ca"},
	{name: "disabled", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_disabled=true", want: "nova pw tcp db:3306 nova"},
	{name: "an option file's CA and client certificate", url: "mysql+pymysql://nova:pw@db/nova?read_default_file=FILE",
		file: "[client]\nssl-ca=/ca\nssl-capath=/cas\nssl-cert = /cert\nssl-key = /key\n",
		want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca ssl_capath=/cas ssl_cert=/cert ssl_key=/key"},
	{name: "the URL's CA before the option file's", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&read_default_file=FILE",
		file: "[client]\nssl-ca=/other\n", want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca"},
	{name: "an option file's CA and any name", url: "mysql+pymysql://nova:pw@db/nova?ssl_check_hostname=0&read_default_file=FILE",
		file: "[client]\nssl-ca=/ca\n", want: "nova pw tcp db:3306 nova tls chain ssl_ca=/ca"},
	{name: "an option file's CA for no value", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=&ssl_verify_cert&read_default_file=FILE",
		file: "[client]\nssl-ca=/ca\n", want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca"},
	{name: "an option file's CA in the URL's place is disabled", url: "mysql+pymysql://nova:pw@db/nova?ssl_disabled=1&read_default_file=FILE",
		file: "[client]\nssl-ca=/ca\n", want: "nova pw tcp db:3306 nova"},

	// The libraries forget ssl_ca, ssl_cert and ssl_key where ssl_verify_cert or ssl_verify_identity is given, and then compare no name.
	{name: "a CA, verified", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_verify_cert=true",
		want: "nova pw tcp db:3306 nova tls chain ssl_ca=/ca", library: "nova pw tcp db:3306 nova tls chain"},
	{name: "a CA and a client certificate, verified",
		url:  "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_cert=/cert&ssl_key=/key&ssl_verify_cert=true",
		want: "nova pw tcp db:3306 nova tls chain ssl_ca=/ca ssl_cert=/cert ssl_key=/key", library: "nova pw tcp db:3306 nova tls chain"},
	{name: "a CA, not verified", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_verify_cert=0",
		want: "nova pw tcp db:3306 nova tls ssl_ca=/ca", library: "nova pw tcp db:3306 nova tls"},
	{name: "a CA, verified with its name", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_verify_cert=true&ssl_verify_identity=true",
		want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca", library: "nova pw tcp db:3306 nova tls chain"},
	{name: "an identity", url: "mysql+pymysql://nova:pw@db/nova?ssl_verify_identity=true", want: "nova pw tcp db:3306 nova tls chain name",
		library: "nova pw tcp db:3306 nova tls"},
	{name: "no identity", url: "mysql+pymysql://nova:pw@db/nova?ssl_verify_identity=false", want: "nova pw tcp db:3306 nova tls"},
	{name: "a name without a CA", url: "mysql+pymysql://nova:pw@db/nova?ssl_check_hostname=true",
		want: "nova pw tcp db:3306 nova tls chain name", library: "nova pw tcp db:3306 nova tls"},
	// To PyMySQL any text is true.
	{name: "not disabled", url: "mysql+pymysql://nova:pw@db/nova?ssl_disabled=false", want: "nova pw tcp db:3306 nova tls",
		library: "nova pw tcp db:3306 nova"},
	{name: "a CA, not disabled", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_disabled=0",
		want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca", library: "nova pw tcp db:3306 nova"},
	// What asks for encryption by the names of other clients.
	{name: "encryption", url: "mysql+pymysql://nova:pw@db/nova?ssl=true", want: "nova pw tcp db:3306 nova tls", library: "refused"},
	{name: "an option file of the MariaDB client", url: "mysql+pymysql://nova:pw@db/nova?read_default_file=FILE",
		file: "[client]\nssl\nssl-verify-server-cert\n", want: "nova pw tcp db:3306 nova tls chain name", library: "nova pw tcp db:3306 nova"},
	{name: "an option file's encryption", url: "mysql+pymysql://nova:pw@db/nova?read_default_file=FILE", file: "[client]\nssl=1\n",
		want: "nova pw tcp db:3306 nova tls", library: "nova pw tcp db:3306 nova"},
	{name: "an option file with an underscore", url: "mysql+pymysql://nova:pw@db/nova?read_default_file=FILE",
		file: "[client]\nssl_ca = /ca\n", want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca", library: "nova pw tcp db:3306 nova"},
	{name: "a cipher", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_cipher=AES256-SHA",
		refused: "the database connection's option ssl_cipher is not understood" + takeOut,
		library: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca"},
	{name: "an option file's mode", url: "mysql+pymysql://nova:pw@db/nova?read_default_file=FILE", file: "[client]\nssl-mode=REQUIRED\n",
		want: "nova pw tcp db:3306 nova tls", library: "nova pw tcp db:3306 nova"},
	{name: "an option file that need not encrypt", url: "mysql+pymysql://nova:pw@db/nova?read_default_file=FILE",
		file: "[client]\nloose-ssl-mode=PREFERRED\nskip-ssl\n",
		want: "nova pw tcp db:3306 nova", library: "nova pw tcp db:3306 nova"},
	{name: "an option file's mode that there is not", url: "mysql+pymysql://nova:pw@db/nova?read_default_file=FILE",
		file:    "[client]\nssl-mode=SOME\n",
		refused: "the database connection's option ssl_mode is not understood: take it out of the database URL or option file",
		library: "nova pw tcp db:3306 nova"},
	{name: "a mode", url: "mysql+pymysql://nova:pw@db/nova?ssl_mode=REQUIRED",
		refused: "the database connection's option ssl_mode is not understood" + takeOut,
		library: "refused"},
	{name: "a version", url: "mysql+pymysql://nova:pw@db/nova?tls_version=TLSv1.3",
		refused: "the database connection's option tls_version is not understood" + takeOut,
		library: "refused"},
	{name: "verified, in no word", url: "mysql+pymysql://nova:pw@db/nova?ssl_verify_cert=maybe",
		refused: `the database connection's option ssl_verify_cert is neither true nor false: "maybe"`, library: "nova pw tcp db:3306 nova tls"},
	{name: "a name, in no word", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_check_hostname=maybe",
		refused: `the database connection's option ssl_check_hostname is neither true nor false: "maybe"`, library: "refused"},
	{name: "a key without its certificate", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_key=/key",
		refused: "the database connection's option ssl_key is of no use without ssl_cert",
		library: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca"},
	{name: "verified, with no value", url: "mysql+pymysql://nova:pw@db/nova?ssl_verify_cert",
		refused: "the database connection's option ssl_verify_cert has no value", library: "nova pw tcp db:3306 nova"},
	{name: "a CA, with no value", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=",
		refused: "the database connection's option ssl_ca has no value",
		library: "nova pw tcp db:3306 nova"},
	{name: "verified with no value, beside a CA", url: "mysql+pymysql://nova:pw@db/nova?ssl_ca=/ca&ssl_verify_cert",
		want: "nova pw tcp db:3306 nova tls chain name ssl_ca=/ca"},
}

// urls are those of the connections, their option files written.
func urls(t *testing.T) []string {
	t.Helper()
	urls := make([]string, len(connections))
	for i, test := range connections {
		urls[i] = strings.ReplaceAll(test.url, "FILE", write(t, test.file))
	}
	return urls
}

func TestADatabaseURLIsReadAsSQLAlchemyAndPyMySQLReadIt(t *testing.T) {
	for i, url := range urls(t) {
		test := connections[i]
		t.Run(test.name, func(t *testing.T) {
			got, err := describe(url)
			if test.refused != "" {
				if err == nil || err.Error() != test.refused {
					t.Errorf("got %s, %v, want the error %s", got, err, test.refused)
				}
			} else if err != nil || got != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

// describe tells what a URL leads to, without reading certificates.
func describe(url string) (string, error) {
	options, err := parseURL(url, func(...string) {})
	if err != nil {
		return "", err
	}
	wanted, err := options.security()
	if err != nil {
		return "", err
	}
	text := ""
	for _, name := range []string{"ssl_ca", "ssl_capath", "ssl_cert", "ssl_key"} {
		if options[name] != "" {
			text += " " + name + "=" + options[name]
		}
		delete(options, name)
	}
	switch {
	case wanted.name:
		text = " tls chain name" + text
	case wanted.chain:
		text = " tls chain" + text
	case wanted.encrypted:
		text = " tls" + text
	default:
		text = ""
	}
	options["ssl_disabled"] = "true"
	config, err := options.config()
	if err != nil {
		return "", err
	}
	return strings.Join([]string{config.User, config.Passwd, config.Net, config.Addr, config.DBName}, " ") + text, nil
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
