package ansible_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// A panic can be caught by no other goroutine than its own, which ansible.Go does. No
// linter knows the statement.
func TestNothingButOurOwnGoStartsAGoroutine(t *testing.T) {
	files := 0
	var starts []string
	for _, folder := range []string{"../../internal", "../../modules"} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && (strings.HasSuffix(path, "test") || strings.HasSuffix(path, "lab")):
				return filepath.SkipDir // helpers of the tests
			case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			files++
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil {
				ast.Inspect(file, func(node ast.Node) bool {
					if startsGoroutine(node) {
						starts = append(starts, path)
					}
					return true
				})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 || len(starts) != 1 || starts[0] != "../../internal/ansible/panic.go" {
		t.Errorf("of %d files these start goroutines, without ansible.Go: %v", files, starts)
	}
}

// startsGoroutine knows the statement, and what starts one of sync, errgroup, time and context.
func startsGoroutine(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.GoStmt:
		return true
	case *ast.SelectorExpr:
		of, ok := n.X.(*ast.Ident)
		return n.Sel.Name == "AfterFunc" || n.Sel.Name == "Go" && (!ok || of.Name != "ansible")
	}
	return false
}
