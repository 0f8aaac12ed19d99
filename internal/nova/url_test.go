package nova

import (
	"slices"
	"strings"
	"testing"
)

func TestATemplateIsFilledAsCellMappingFillsIt(t *testing.T) {
	const all = "{scheme}|{username}|{password}|{hostname}|{port}|{path}|{query}|{fragment}"
	for _, test := range []struct{ name, template, base, want string }{
		{"everything", all, "mysql+pymysql://nova:pw@DB:3307/nova_cell0?charset=utf8", "mysql+pymysql|nova|pw|db|3307|nova_cell0|charset=utf8|"},
		{"the encoding stays", "{scheme}://{username}:{password}@{hostname}/nova?{query}",
			"mysql+pymysql://nova:p%40ss@db/nova_cell0?charset=utf8", "mysql+pymysql://nova:p%40ss@db/nova?charset=utf8"},
		{"what is not there is None", all, "mysql+pymysql://db/nova", "mysql+pymysql|None|None|db|None|nova||"},
		{"IPv6 loses its brackets", "[{hostname}]:{port}", "mysql+pymysql://nova:pw@[::1]:3306/nova", "[::1]:3306"},
		{"the last at sign ends the account", "{username} {password} {hostname}", "mysql+pymysql://nova:p@ss@db/nova", "nova p@ss db"},
		{"two hosts", "{username1}@{hostname1}:{port1} {hostname2}", "mysql+pymysql://nova:pw@a:1,other:pw@b:2/nova", "nova@a:1 b"},
		{"a fragment", "{fragment}", "mysql+pymysql://nova:pw@db/nova#x", "x"},
		{"a name that it does not know", "{username}{nonsense}", "mysql://nova@db/nova",
			"its database_connection refers to {nonsense}, which [database]connection cannot fill"},
		{"a base that is no URL", "{username}", "nonsense", "[database]connection, which its database_connection refers to, is not a URL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := fillTemplate(test.template, test.base)
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEveryPasswordThatIsReadIsSecret(t *testing.T) {
	var secrets []string
	secret := func(values ...string) { secrets = append(secrets, values...) }
	path := write(t, "[api_database]\nconnection = mysql+pymysql://nova:api%40pw@db/nova_api\n[database]\nconnection = "+
		"mysql+pymysql://nova:base%40pw@db/nova_cell0\n")
	access, err := FromConf(path, secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, mapping := range []string{"mysql+pymysql://nova:cell%40pw@db/nova", "{scheme}://{username}:{password}@{hostname}/nova"} {
		if _, err := access.cell(mapping); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"api%40pw", "api@pw", "cell%40pw", "cell@pw", "base%40pw", "base@pw"} {
		if !slices.Contains(secrets, want) {
			t.Errorf("%s is not secret", want)
		}
	}
}

func TestAConfigurationWithoutTheAPIDatabaseSaysSo(t *testing.T) {
	for content, want := range map[string]string{
		"[database]\nconnection = mysql://a:b@c/d": "has no [api_database]connection",
		"[api_database]\nconnection = sqlite:///x": "sqlite is not supported",
		"nonsense": "not in the INI form",
	} {
		path := write(t, content)
		if _, err := FromConf(path, func(...string) {}); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v", content, err)
		}
	}
}

func TestALoginIsThatOfTheOptionsBeforeTheOptionFile(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	file := write(t, "[mysqld]\nuser = wrong\n[client]\nuser = filed\npassword = \"p#w d\"\nhost=db.example\nport = 3307\nsocket = "+
		"/run/filed.sock\n")
	for _, test := range []struct {
		name  string
		login Login
		want  string
	}{
		{"nothing but a host", Login{Host: "db"}, "  tcp db:3306 nova_api"},
		{"the option file", Login{ConfigFile: file}, "filed p#w d unix /run/filed.sock nova_api"},
		{"a host beats the file's socket", Login{ConfigFile: file, Host: "db"}, "filed p#w d tcp db:3307 nova_api"},
		{"a socket beats a host", Login{Host: "db", Socket: "/run/x.sock"}, "  unix /run/x.sock nova_api"},
		{"options beat the file", Login{ConfigFile: file, Host: "db", Port: 1, User: "u", Password: "p", Database: "api"}, "u p tcp db:1 api"},
	} {
		t.Run(test.name, func(t *testing.T) {
			access, err := FromLogin(test.login, func(...string) {})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join([]string{access.api.User, access.api.Passwd, access.api.Net, access.api.Addr, access.api.DBName},
				" "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	for name, login := range map[string]Login{
		"no such option file":    {ConfigFile: "/no/my.cnf"},
		"no such CA certificate": {Host: "db", CACert: "/no/ca.pem"},
		"a CA certificate empty": {Host: "db", CACert: write(t, "nonsense")},
		"a port beyond the last": {Host: "db", Port: 65536},
	} {
		if _, err := FromLogin(login, func(...string) {}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestALoginsAccountIsUsedOnTheCellsOwnHosts(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	access, err := FromLogin(Login{Host: "api", User: "admin", Password: "pw"}, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	config, err := access.cell("mysql+pymysql://nova:other@cell1:3307/nova")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join([]string{config.User, config.Passwd, config.Addr, config.DBName}, " "); got != "admin pw cell1:3307 nova" {
		t.Errorf("got %q", got)
	}
	if _, err := access.cell("{scheme}://{hostname}/nova"); err == nil {
		t.Error("a template was filled from nothing")
	}
}

func TestAValueIsEncodedSoThatItCanBeRestored(t *testing.T) {
	for want, value := range map[string]Value{
		`null`:                  {Null: true},
		`""`:                    {},
		`"2026-01-02 03:04:05"`: {Text: "2026-01-02 03:04:05"},
		`"{\"hex\": 1}"`:        {Text: `{"hex": 1}`},
		`{"hex":"ff00"}`:        {Text: "\xff\x00"},
	} {
		if got, err := value.MarshalJSON(); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
