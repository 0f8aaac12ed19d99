package ansible_test

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// run calls the probe with these standard streams.
func run(t *testing.T, stdin, stdout *os.File) *exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "arguments.json")
	if err := os.WriteFile(file, []byte(`{"do": "echo"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, "probe", file)
	command.Stdin, command.Stdout = stdin, stdout
	return command
}

func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close(); writer.Close() })
	return reader, writer
}

func TestAStandardInputThatSaysNothingIsNotWaitedFor(t *testing.T) {
	silent, _ := pipe(t)
	if err := run(t, silent, nil).Run(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAReaderThatGoesAwayKillsNoModule(t *testing.T) {
	gone, stdout := pipe(t)
	gone.Close()
	var exit *exec.ExitError
	if err := run(t, nil, stdout).Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
}

// sources are the Go files that end up in the modules, by their paths from the project's root.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	const root = "../.."
	files := map[string]*ast.File{}
	for _, folder := range []string{"internal", "modules"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && (strings.HasSuffix(path, "test") || strings.HasSuffix(path, "lab")):
				return filepath.SkipDir // helpers of the tests
			case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			files[strings.TrimPrefix(filepath.ToSlash(path), root+"/")] = file
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files["internal/ansible/main.go"] == nil || len(files) < 50 {
		t.Fatalf("only %d files were found", len(files))
	}
	return files
}

func TestNoModuleReadsStandardInputOrStartsAProgramOrLogs(t *testing.T) {
	forbidden := map[string][]string{
		"os":  {"Stdin", "Stderr", "StartProcess"},
		"log": {"Print", "Printf", "Println", "Fatal", "Fatalf", "Panic", "Panicf"},
		"fmt": {"Print", "Printf", "Println", "Scan", "Scanln"},
	}
	for path, file := range sources(t) {
		for _, imported := range file.Imports {
			if imported.Path.Value == `"os/exec"` || imported.Path.Value == `"log/slog"` {
				t.Errorf("%s imports %s", path, imported.Path.Value)
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, ok := selector.X.(*ast.Ident); ok && slices.Contains(forbidden[of.Name], selector.Sel.Name) {
				t.Errorf("%s uses %s.%s", path, of.Name, selector.Sel.Name)
			}
			return true
		})
	}
}

// The words that something that reads a module's output would take for its own:
// molecule looks for changed=N anywhere, ansible-core up to 2.21 prints what 2.22
// takes for a list of secrets, and an rc other than 0 is a failure to it.
func TestNoModuleSaysWhatAnsibleOrMoleculeTakesForItsOwn(t *testing.T) {
	for path, file := range sources(t) {
		ast.Inspect(file, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if strings.Contains(text, "changed=") || strings.Contains(text, `json:"rc`) || strings.Contains(text, "_ansible_new") || strings.Contains(text, `json:"_ansible`) {
				t.Errorf("%s says %q", path, text)
			}
			return true
		})
	}
	templates, err := filepath.Glob("../../playbooks/roles/*/templates/*")
	if err != nil || len(templates) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	for _, path := range templates {
		content, err := os.ReadFile(path)
		if err != nil || bytes.Contains(content, []byte("changed=")) {
			t.Errorf("%s says changed=, or cannot be read: %v", path, err)
		}
	}
}

func TestNothingButTheModuleHasItsName(t *testing.T) {
	modules, err := filepath.Glob("../../modules/*")
	if err != nil || len(modules) < 3 {
		t.Fatalf("%v, %v", modules, err)
	}
	for _, module := range modules {
		name := filepath.Base(module)
		found, err := filepath.Glob(filepath.Join(module, name+"*"))
		if err != nil || !slices.Equal(found, []string{filepath.Join(module, name+".yml")}) {
			t.Errorf("Ansible may take one of these for the module: %v, %v", found, err)
		}
	}
}
