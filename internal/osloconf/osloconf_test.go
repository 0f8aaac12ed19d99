package osloconf

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readings say what oslo.config makes of [database]connection. osloconf_lab_test.go asks oslo.config itself.
var readings = []struct {
	name, conf, want string
	// confD are files of nova.conf.d.
	confD map[string]string
	// refused says that there is no value, but an error.
	refused bool
}{
	{name: "plain", conf: "[database]\nconnection = mysql+pymysql://u:p@h/nova", want: "mysql+pymysql://u:p@h/nova"},
	{name: "no blanks around the delimiter", conf: "[database]\nconnection=x", want: "x"},
	{name: "tabs around the delimiter", conf: "[database]\nconnection\t=\tx\t", want: "x"},
	{name: "a colon delimits too", conf: "[database]\nconnection: x", want: "x"},
	{name: "the first delimiter counts: a colon", conf: "[database]\nconnection : a=b", want: "a=b"},
	{name: "the first delimiter counts: an equals sign", conf: "[database]\nconnection = a:b=c", want: "a:b=c"},
	{name: "a second equals sign is part of the value", conf: "[database]\nconnection == x", want: "= x"},
	{name: "empty", conf: "[database]\nconnection =\n"},
	{name: "blanks only", conf: "[database]\nconnection =  \t \n"},
	{name: "an option that is not there", conf: "[database]\nother = y"},
	{name: "a section that is not there", conf: "[x]\ny = z"},
	{name: "an empty file"},
	{name: "no newline at the end of two sections", conf: "[x]\ny = z\n[database]\nconnection = a\n[w]", want: "a"},

	{name: "double quotes go", conf: "[database]\nconnection = \"a b\"", want: "a b"},
	{name: "single quotes go", conf: "[database]\nconnection = 'a'", want: "a"},
	{name: "only one pair of quotes goes", conf: "[database]\nconnection = \"\"a\"\"", want: "\"a\""},
	{name: "three quotes are a pair and one more", conf: "[database]\nconnection = \"\"\"a\"\"\"", want: "\"\"a\"\""},
	{name: "three quotes that are not closed", conf: "[database]\nconnection = \"\"\"a", want: "\"\"\"a"},
	{name: "different quotes stay", conf: "[database]\nconnection = 'a\"", want: "'a\""},
	{name: "a quote at the end only stays", conf: "[database]\nconnection = a\"", want: "a\""},
	{name: "quotes inside stay", conf: "[database]\nconnection = a\"b\"c", want: "a\"b\"c"},
	{name: "blanks inside quotes stay", conf: "[database]\nconnection = ' a '", want: " a "},
	{name: "a lone quote is nothing", conf: "[database]\nconnection = '"},
	{name: "two quotes are nothing", conf: "[database]\nconnection = \"\""},
	{name: "a backtick", conf: "[database]\nconnection = `a", want: "`a"},
	{name: "a pair of backticks stays", conf: "[database]\nconnection = `a`", want: "`a`"},
	{name: "a backtick for another option", conf: "[x]\ny = `a\n[database]\nconnection = b", want: "b"},
	{name: "a quoted option's name stays quoted", conf: "[database]\n\"connection\" = a"},

	{name: "a continuation line", conf: "[database]\nconnection = a\n  b", want: "a\nb"},
	{name: "a continuation line with a tab", conf: "[database]\nconnection = a\n\tb \n", want: "a\nb"},
	{name: "a value that begins on the next line", conf: "[database]\nconnection =\n  b", want: "\nb"},
	{name: "a continuation line that looks like an option", conf: "[database]\nconnection = a\n  other = b", want: "a\nother = b"},
	{name: "a comment that is indented is a continuation line", conf: "[database]\nconnection = a\n  # b", want: "a\n# b"},
	{name: "quotes go from the first line only", conf: "[database]\nconnection = \"a\"\n  \"b\"", want: "a\n\"b\""},
	{name: "another option's continuation lines", conf: "[database]\nother = a\n  b\nconnection = c", want: "c"},
	{name: "a continuation line after an empty one", conf: "[database]\nconnection = a\n\n  b", refused: true},
	{name: "a continuation line after a comment", conf: "[database]\nconnection = a\n# x\n  b", refused: true},
	{name: "a continuation line of a section", conf: "[database]\n  connection = a", refused: true},
	{name: "a backslash at the end does not join lines", conf: "[database]\nconnection = a\\\nother = b", want: "a\\"},

	{name: "a hash inside a value is part of it", conf: "[database]\nconnection = a#b ;c", want: "a#b ;c"},
	{name: "a value that begins with a hash", conf: "[database]\nconnection = #b", want: "#b"},
	{name: "a comment line is none", conf: "[database]\n# connection = x\n;connection = y\n"},
	{name: "a comment before any section", conf: "# x\n\n[database]\nconnection = a", want: "a"},

	{name: "the last of two wins", conf: "[database]\nconnection = a\nconnection = b", want: "b"},
	{name: "the last of two wins, though empty", conf: "[database]\nconnection = a\nconnection ="},
	{name: "a section that comes twice is one", conf: "[database]\nconnection = a\n[x]\ny = z\n[database]\nother = b", want: "a"},
	{name: "a section is read in any case", conf: "[DataBase]\nconnection = a", want: "a"},
	{name: "an option is not", conf: "[database]\nConnection = a"},
	{name: "the name of a section has its blanks", conf: "[ database ]\nconnection = a"},
	{name: "blanks after a section", conf: "[database] \t\nconnection = a", want: "a"},
	{name: "brackets in a section's name", conf: "[[x]]\ny = z\n[database]\nconnection = a", want: "a"},
	{name: "DEFAULT is no section's default", conf: "[DEFAULT]\nconnection = a\n[database]\nother = b"},

	{name: "a carriage return ends a line as well", conf: "[database]\r\nconnection = a\r\nother = b\r\n", want: "a"},
	{name: "a carriage return alone ends a line", conf: "[database]\rconnection = a\rother = b", want: "a"},
	{name: "a form feed ends none", conf: "[database]\nconnection = a\fb", want: "a\fb"},
	{name: "Unicode's blanks at the end go", conf: "[database]\nconnection = a\u2028b\u00a0\x1c\u3000", want: "a\u2028b"},
	{name: "a zero byte", conf: "[database]\nconnection = a\x00b", want: "a\x00b"},
	{name: "UTF-8", conf: "[database]\nconnection = \u00e9\u20ac", want: "\u00e9\u20ac"},
	{name: "what is not UTF-8", conf: "[database]\nconnection = a\n[x]\ny = \xff", refused: true},
	{name: "a byte order mark", conf: "\ufeff[database]\nconnection = a", refused: true},

	{name: "a reference to the same section", conf: "[database]\npw = s3\nconnection = u:$pw@h", want: "u:s3@h"},
	{name: "a reference to DEFAULT", conf: "[DEFAULT]\nmy_ip = 127.0.0.1\n[database]\nconnection = ${my_ip}:3306", want: "127.0.0.1:3306"},
	{name: "a reference to another section", conf: "[DEFAULT]\nx = 1\n[db]\nhost = h\n[database]\nconnection = $db.host", want: "h"},
	{name: "a reference in braces to another section", conf: "[db]\nhost = h\n[database]\nconnection = ${db.host}.example",
		want: "h.example"},
	{name: "a reference to a reference", conf: "[db]\nhost = $name\nname = h\n[database]\nname = wrong\nconnection = $db.host", want: "h"},
	{name: "a reference to what is empty", conf: "[DEFAULT]\nx = 1\n[database]\nx =\nconnection = a${x}b", want: "ab"},
	{name: "what a reference brings is not read again", conf: "[database]\nx = $$y\ny = z\nconnection = $x", want: "$y"},
	{name: "a reference to what has quotes", conf: "[database]\nx = 'y'\nconnection = $x", want: "y"},
	{name: "two dollars are one", conf: "[database]\nconnection = u:a$$b@h", want: "u:a$b@h"},
	{name: "an escaped dollar is one", conf: "[database]\nconnection = u:a\\$b@h", want: "u:a$b@h"},
	{name: "dollars and escapes", conf: "[DEFAULT]\nx = 1\n[database]\nconnection = $\\$x \\$$x $$x \\\\$x", want: "$1 $1 $x \\$x"},
	{name: "dollars that refer to nothing", conf: "[database]\nconnection = $1a ${} ${a b} $ $.", want: "$1a ${} ${a b} $ $."},
	{name: "a percent sign is no reference", conf: "[database]\nconnection = u:%40%(x)s@h", want: "u:%40%(x)s@h"},
	{name: "a reference to no option", conf: "[database]\nconnection = u:$nothing@h", refused: true},
	{name: "a reference to no section", conf: "[database]\nconnection = u:$nothing.at@h", refused: true},
	{name: "a reference to another section's option is not DEFAULT's",
		conf: "[DEFAULT]\nhost = h\n[db]\nx = y\n[database]\nconnection = $db.host", refused: true},
	{name: "a reference to an option without a name", conf: "[database]\nconnection = u:${database.}@h", refused: true},
	{name: "a reference in another case", conf: "[DEFAULT]\nX = 1\n[database]\nconnection = $x", refused: true},
	{name: "a reference to a section", conf: "[database]\nconnection = $database", refused: true},
	{name: "references in a circle", conf: "[database]\nx = $connection\nconnection = $x", refused: true},
	{name: "another option's reference to nothing", conf: "[database]\nother = $nothing\nconnection = a", want: "a"},

	{name: "a line that is no option", conf: "[database]\nconnection = a\nnonsense", refused: true},
	{name: "an option without a name", conf: "[database]\n = a\nconnection = b", refused: true},
	{name: "an option without a name at the line's start", conf: "[database]\n= a\nconnection = b", refused: true},
	{name: "an option outside of any section", conf: "x = y\n[database]\nconnection = b", refused: true},
	{name: "a section that is not closed", conf: "[database\nconnection = a", refused: true},
	{name: "a section with a comment", conf: "[database] # x\nconnection = a", refused: true},
	{name: "a section without a name", conf: "[]\nconnection = a", refused: true},

	{name: "conf.d comes after the file", conf: "[database]\nconnection = a",
		confD: map[string]string{"x.conf": "[database]\nconnection = b"}, want: "b"},
	{name: "conf.d is read in the order of its names",
		confD: map[string]string{"20.conf": "[database]\nconnection = b", "10.conf": "[DATABASE]\nconnection = a"}, want: "b"},
	{name: "the order is the bytes'",
		confD: map[string]string{"a.conf": "[database]\nconnection = b", "B.conf": "[database]\nconnection = a"}, want: "b"},
	{name: "what conf.d does not say stays", conf: "[database]\nconnection = a", confD: map[string]string{"x.conf": "[database]\nother = b"},
		want: "a"},
	{name: "conf.d is not read by other names",
		confD: map[string]string{"x.conf.bak": "[database]\nconnection = b", "conf": "[database]\nconnection = b"}},
	{name: "conf.d's hidden files are not read", confD: map[string]string{".x.conf": "[database]\nconnection = b"}},
	{name: "a reference to what conf.d says", conf: "[database]\nx = 1\nconnection = $x",
		confD: map[string]string{"x.conf": "[database]\nx = 2"}, want: "2"},
	{name: "a file of conf.d that cannot be read", conf: "[database]\nconnection = a", confD: map[string]string{"x.conf": "nonsense"},
		refused: true},
}

// writeReadings writes each reading's files into a folder, and returns the paths of its nova.conf.
func writeReadings(t *testing.T) []string {
	t.Helper()
	paths := make([]string, len(readings))
	for i, reading := range readings {
		paths[i] = filepath.Join(t.TempDir(), "nova.conf")
		files := map[string]string{paths[i]: reading.conf}
		for name, content := range reading.confD {
			files[filepath.Join(paths[i]+".d", name)] = content
		}
		for path := range maps.Keys(files) {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(files[path]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return paths
}

func TestAValueIsReadAsOsloConfigReadsIt(t *testing.T) {
	for i, path := range writeReadings(t) {
		test := readings[i]
		t.Run(test.name, func(t *testing.T) {
			got, err := read(path)
			if (err != nil) != test.refused || got != test.want {
				t.Errorf("got %q, %v, want %q, refused %t", got, err, test.want, test.refused)
			}
		})
	}
}

func read(path string) (string, error) {
	config, err := Load(path)
	if err != nil {
		return "", err
	}
	return config.Get("database", "connection")
}

func TestAnErrorNamesTheFileAndNotItsContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nova.conf")
	for content, wants := range map[string][]string{
		"[database\nconnection = s3cret":      {path, "line 1"},
		"\n[database]\ns3cret":                {path, "line 3"},
		"[database]\nconnection = pa$s3cret":  {"[database]connection", "$$"},
		"[database]\nconnection = \xffs3cret": {path, "UTF-8"},
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := read(path)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %v", content, err)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: got %v, which has no %q", content, err, want)
			}
		}
	}
	if _, err := Load(path + "x"); err == nil {
		t.Error("a missing file is no error")
	}
	if err := os.Mkdir(path+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/no/where", filepath.Join(path+".d", "x.conf")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil {
		t.Error("a file of conf.d that leads nowhere is no error")
	}
}
