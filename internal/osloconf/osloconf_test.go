package osloconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAValueIsReadAsOsloConfigReadsIt(t *testing.T) {
	for _, test := range []struct{ name, conf, want string }{
		{"plain", "[database]\nconnection = mysql+pymysql://u:p@h/nova", "mysql+pymysql://u:p@h/nova"},
		{"no blanks around the delimiter", "[database]\nconnection=x", "x"},
		{"a colon delimits too", "[database]\nconnection: x", "x"},
		{"a hash inside a value is part of it", "[database]\nconnection = a#b ;c", "a#b ;c"},
		{"a comment line is none", "[database]\n# connection = x\n;connection = y\n", ""},
		{"a reference to the same section", "[database]\npw = s3\nconnection = u:$pw@h", "u:s3@h"},
		{"a reference to DEFAULT", "[DEFAULT]\nmy_ip = 127.0.0.1\n[database]\nconnection = ${my_ip}:3306", "127.0.0.1:3306"},
		{"a reference to another section", "[DEFAULT]\nx = 1\n[db]\nhost = h\n[database]\nconnection = $db.host", "h"},
		{"two dollars are one", "[database]\nconnection = u:a$$b@h", "u:a$b@h"},
		{"an escaped dollar is one", "[database]\nconnection = u:a\\$b@h", "u:a$b@h"},
		{"an unknown reference stays", "[database]\nconnection = u:$nothing@h", "u:$nothing@h"},
		{"a reference to an option without a name stays", "[database]\nconnection = u:${database.}@h", "u:${database.}@h"},
		{"references in a circle end", "[database]\nconnection = $connection", "$connection"},
		{"a percent sign is no reference", "[database]\nconnection = u:%40%(x)s@h", "u:%40%(x)s@h"},
		{"the last of two wins", "[database]\nconnection = a\nconnection = b", "b"},
		{"quotes are kept", "[database]\nconnection = 'a'", "'a'"},
		{"a section that comes twice is one", "[database]\nconnection = a\n[x]\ny = z\n[database]\nother = b", "a"},
		{"a backslash at the end does not join lines", "[database]\nconnection = a\\\nother = b", "a\\"},
		{"a missing section", "[x]\ny = z", ""},
		{"another option's continuation lines", "[database]\nother = a\n  b\nconnection = c", "c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "nova.conf")
			if err := os.WriteFile(path, []byte(test.conf), 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := config.Get("database", "connection"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestConfDFilesComeAfterTheFileInTheOrderOfTheirNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nova.conf")
	for name, content := range map[string]string{
		"": "[a]\nx = main\ny = main\nz = main", ".d/10-first.conf": "[a]\ny = first\nz = first",
		".d/20-second.conf": "[a]\nz = second", ".d/30-ignored.conf.bak": "[a]\nz = backup",
	} {
		if err := os.MkdirAll(filepath.Dir(path+name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]string{"x": "main", "y": "first", "z": "second"} {
		if got := config.Get("a", option); got != want {
			t.Errorf("%s: got %q, want %q", option, got, want)
		}
	}
}

func TestAnErrorNamesTheFileAndNotItsContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nova.conf")
	if err := os.WriteFile(path, []byte("[database\nconnection = s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(path + "x"); err == nil {
		t.Error("a missing file is no error")
	}
}
