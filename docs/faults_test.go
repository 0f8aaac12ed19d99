// Package docs_test holds the documentation to the code: what it says is tested
// must have its test.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = ".."

var (
	entry    = regexp.MustCompile(`(?m)^\| ([A-Z][0-9]+) \|.* \| ([^|]+) \|$`)
	shown    = regexp.MustCompile("^(?:real|fake|pure) `(?:molecule ([a-z_]+)|([^`]+\\.txtar)|([a-z_]+\\.[A-Za-z0-9]+)(?:/[^`]+)?)`$")
	function = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// functions are the project's tests, as PACKAGE.NAME.
func functions(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, folder := range []string{"internal", "modules"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			for _, name := range function.FindAllStringSubmatch(string(content), -1) {
				found[filepath.Base(filepath.Dir(path))+"."+name[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// missing says why what stands in the last column shows nothing; empty if it does.
func missing(tests map[string]bool, text string) string {
	name := shown.FindStringSubmatch(text)
	switch {
	case strings.HasPrefix(text, "out of scope: "):
		return ""
	case name == nil:
		return "names no test and is not out of scope"
	case name[3] != "":
		if !tests[name[3]] {
			return "there is no test " + name[3]
		}
		return ""
	}
	path := name[2]
	if name[1] != "" {
		path = filepath.Join("molecule", name[1], "molecule.yml")
	}
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		return err.Error()
	}
	return ""
}

func TestEachFaultAndEachTrapNamesATestThatIsThere(t *testing.T) {
	tests := functions(t)
	for _, document := range []string{"faults.md", "protocol.md"} {
		content, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		rows := entry.FindAllStringSubmatch(string(content), -1)
		for _, row := range rows {
			for text := range strings.SplitSeq(row[2], "<br>") {
				if problem := missing(tests, text); problem != "" {
					t.Errorf("%s: %s: %s: %s", document, row[1], text, problem)
				}
			}
		}
		t.Logf("rows of the %s: %d", strings.TrimSuffix(document, ".md"), len(rows))
	}
}

func TestWhatIsNotThereIsMissed(t *testing.T) {
	tests := functions(t)
	for text, want := range map[string]string{
		"pure `orphan.TestTheVerdict/P1 a cell is down`": "",
		"real `molecule causes`":                         "",
		"out of scope: it does not run":                  "",
		"pure `orphan.TestTheVerdikt`":                   "there is no test orphan.TestTheVerdikt",
		"pure `nova.TestTheVerdict`":                     "there is no test nova.TestTheVerdict",
		"pure `orphan.base`":                             "there is no test orphan.base",
		"real `molecule nothing`":                        "no such file",
		"pure `internal/ansible/testdata/nothing.txtar`": "no such file",
		"seen running":                                   "names no test",
	} {
		if got := missing(tests, text); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q", text, got)
		}
	}
}
