package nova

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// FuzzParseURL: whatever stands in a configuration, no error quotes the password,
// and what is taken for a URL has what a connection needs.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"mysql+pymysql://nova:s3cret-pass@db:3306/nova?charset=utf8", "mysql://nova@[::1]/nova",
		"mysql://root@localhost/nova?unix_socket=/run/x.sock",
		"mysql+pymysql://no%40va:p%40s%2Fs%25w%3Ard@db/nova", "mysql://a:b@c/d?ssl_ca=/no/ca.pem&ssl_check_hostname=false",
		"mysql://a:pa@planted@c/d", "postgresql://a:b@c/d", "mysql://:@:/", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(unquote(text), "read_default") {
			return // would read this machine's files
		}
		var secrets []string
		options, err := parseURL(text, func(values ...string) { secrets = append(secrets, values...) })
		if err == nil {
			_, err = options.security()
		}
		var config *mysql.Config
		if err == nil {
			options["ssl_disabled"] = "true"
			config, err = options.config()
		}
		if err != nil {
			for _, secret := range secrets {
				// A short one may be a word of the message by chance.
				if len(secret) > 8 && strings.Contains(err.Error(), secret) && !strings.Contains(strings.ReplaceAll(text, ":"+secret+"@", ""), secret) {
					t.Errorf("%q: the error has the password in it: %v", text, err)
				}
			}
			return
		}
		if config.DBName == "" || config.Addr == "" || config.Net != "tcp" && config.Net != "unix" {
			t.Errorf("%q: %+v", text, config)
		}
		if config.Passwd != "" && !slices.Contains(secrets, config.Passwd) {
			t.Errorf("%q: the password is not secret", text)
		}
	})
}

// FuzzFillTemplate: a template is filled in full, or is an error.
func FuzzFillTemplate(f *testing.F) {
	f.Add("{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}#{fragment}",
		"mysql+pymysql://nova:pw@DB:3307/nova_cell0?charset=utf8")
	f.Add("{username1}@{hostname1}:{port1} {hostname2}", "mysql+pymysql://nova:pw@a:1,other:pw@b:2/nova")
	f.Add("{", "mysql://[::1]:")
	f.Add("{}{{}}", "://@")
	f.Fuzz(func(t *testing.T, template, base string) {
		filled, err := fillTemplate(template, base)
		if err == nil && !field.MatchString(template) && filled != template {
			t.Errorf("%q became %q without a field in it", template, filled)
		}
		if err != nil && filled != "" {
			t.Errorf("%q, %q: %q beside %v", template, base, filled, err)
		}
	})
}

// FuzzValue: a column's value comes back from a backup to the byte.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"", "text", "\xff\x00", `{"hex":"00"}`, "\u2028\u0085", "null", "\ufffd"} {
		f.Add([]byte(seed), false)
	}
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, text []byte, null bool) {
		want := Value{Text: string(text)}
		if null {
			want = Value{Null: true}
		}
		encoded, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Value
		if err := json.Unmarshal(encoded, &got); err != nil || got != want {
			t.Errorf("%q came back as %q: %v", want, got, err)
		}
	})
}
