// Package docs_test holds the documentation to the code: what it says is tested
// must have its test.
package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = ".."

// entry is a row of a table: an id, what it is about, what is done, and by what it is shown.
type entry struct {
	id, shown string
}

var row = regexp.MustCompile(`(?m)^\| ([A-Z][0-9]+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$`)

func read(t *testing.T, path string) (entries []entry) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range row.FindAllStringSubmatch(string(content), -1) {
		entries = append(entries, entry{found[1], found[2]})
	}
	return entries
}

// numbered are the ids from 1 on: numbered("P", 2) is P1 and P2.
func numbered(letter string, last int) (ids []string) {
	for i := range last {
		ids = append(ids, letter+strconv.Itoa(i+1))
	}
	return ids
}

// reference is what stands in the last column for one test.
var reference = regexp.MustCompile("^(real|fake|pure) `([^`]+)`$")

// check wants each entry to be there in its order, and each test that one names, and counts those with one.
func check(t *testing.T, entries []entry, want []string) (tested, onReal int) {
	t.Helper()
	tests := collect(t)
	var got []string
	for _, e := range entries {
		got = append(got, e.id)
		if strings.HasPrefix(e.shown, "out of scope: ") {
			continue
		}
		tested++
		shownOnReal := false
		for _, text := range strings.Split(e.shown, "<br>") {
			found := reference.FindStringSubmatch(text)
			if found == nil {
				t.Errorf("%s: %q names no test and is not out of scope", e.id, text)
				continue
			}
			isReal, err := tests.find(found[2])
			switch {
			case err != nil:
				t.Errorf("%s: %v", e.id, err)
			case isReal != (found[1] == "real"):
				t.Errorf("%s: %s is not %s", e.id, found[2], found[1])
			}
			shownOnReal = shownOnReal || isReal
		}
		if shownOnReal {
			onReal++
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the entries are %v, want %v", got, want)
	}
	return tested, onReal
}

// suite is every test of the project.
type suite struct {
	// functions are whether they need the lab, by package and name.
	functions map[string]bool
	// texts are the string literals of a package and those below it, among them the names of subtests.
	texts map[string]map[string]bool
}

func collect(t *testing.T) suite {
	t.Helper()
	s := suite{functions: map[string]bool{}, texts: map[string]map[string]bool{}}
	for _, folder := range []string{"internal", "modules"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			parts := strings.Split(filepath.ToSlash(filepath.Dir(path)), "/")[2:]
			s.add(file, parts, strings.HasSuffix(path, "_test.go"))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// add has the folders from the package's outermost to its own.
func (s suite) add(file *ast.File, folders []string, isTest bool) {
	own := folders[len(folders)-1]
	for _, declaration := range file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && isTest && function.Recv == nil {
			s.functions[own+"."+function.Name.Name] = needsLab(file)
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				for _, folder := range folders {
					if s.texts[folder] == nil {
						s.texts[folder] = map[string]bool{}
					}
					s.texts[folder][text] = true
				}
			}
		}
		return true
	})
}

func needsLab(file *ast.File) bool {
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if comment.Text == "//go:build lab" {
				return true
			}
		}
	}
	return false
}

// find says whether a test runs against real services.
func (s suite) find(name string) (isReal bool, err error) {
	if scenario, ok := strings.CutPrefix(name, "molecule "); ok {
		_, err := os.Stat(filepath.Join(root, "molecule", scenario, "molecule.yml"))
		return true, err
	}
	if strings.HasSuffix(name, ".txtar") {
		_, err := os.Stat(filepath.Join(root, name))
		return strings.Contains(name, "/testdata/lab"), err
	}
	function, subtest, hasSubtest := strings.Cut(name, "/")
	isReal, ok := s.functions[function]
	local, called, _ := strings.Cut(function, ".")
	switch {
	case !ok || !strings.HasPrefix(called, "Test") && !strings.HasPrefix(called, "Fuzz"):
		return false, fmt.Errorf("there is no test %s", function)
	case hasSubtest && !s.texts[local][subtest]:
		return false, fmt.Errorf("%s has no row %q", function, subtest)
	}
	return isReal, nil
}

func TestEveryFaultIsListedWithTheTestThatShowsIt(t *testing.T) {
	want := slices.Concat(numbered("P", 12), numbered("D", 11), numbered("H", 18), numbered("V", 5), numbered("N", 1),
		numbered("X", 15), []string{"F1", "F2", "F5", "F6"}, []string{"K3", "K5", "K6", "K7", "K8", "K9", "K10"}, numbered("T", 8))
	tested, onReal := check(t, read(t, "faults.md"), want)
	if tested < 45 || onReal < 30 {
		t.Errorf("only %d have a test, %d of them on real services", tested, onReal)
	}
	t.Logf("faults of the catalogue: %d, with a test: %d, of these on real services: %d", len(want), tested, onReal)
}

func TestEveryTrapOfTheProtocolIsListedWithTheTestThatHoldsUsToIt(t *testing.T) {
	want := numbered("T", 22)
	tested, onReal := check(t, read(t, "protocol.md"), want)
	if tested < 20 {
		t.Errorf("only %d have a test", tested)
	}
	t.Logf("traps of the protocol: %d, with a test: %d, of these with a real Ansible or service: %d", len(want), tested, onReal)
}

// The checks themselves: what is not there must not be found.
func TestWhatIsNotThereIsMissed(t *testing.T) {
	tests := collect(t)
	for name, want := range map[string]string{
		"orphan.TestTheVerdict/P1 a cell is down":     "",
		"orphan.TestTheVerdikt":                       "there is no test orphan.TestTheVerdikt",
		"nova.TestTheVerdict":                         "there is no test nova.TestTheVerdict",
		"orphan.base":                                 "there is no test orphan.base",
		"orphan.TestTheVerdict/P99 a cell is on fire": "has no row",
		"molecule nothing":                            "no such file",
		"internal/ansible/testdata/nothing.txtar":     "no such file",
	} {
		_, err := tests.find(name)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
