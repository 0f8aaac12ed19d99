package docs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nova-orphan/internal/orphan"
)

type schema struct {
	Defs map[string]struct {
		Enum       []string
		Properties map[string]struct{ Enum []string }
	} `json:"$defs"`
}

func readSchema(t *testing.T) (read schema) {
	t.Helper()
	content, err := os.ReadFile("orphans.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err = json.Unmarshal(content, &read); err != nil {
		t.Fatalf("read the schema: %v", err)
	}
	return read
}

// keys are a struct's, as it is written in JSON.
func keys(of any) (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeOf(of)) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// constants are the texts of internal/orphan's constants of a type, or, without one, of a prefix.
func constants(t *testing.T, file, typeName, prefix string) (texts []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "../internal/orphan/"+file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		named, _ := spec.Type.(*ast.Ident)
		literal, isText := spec.Values[0].(*ast.BasicLit)
		if !isText || (typeName != "") != (named != nil && named.Name == typeName) {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
		return true
	})
	slices.Sort(texts)
	return texts
}

func TestTheSchemaHasTheKindsVerdictsRemainsAndKeysOfAFinding(t *testing.T) {
	read := readSchema(t)
	properties := func(name string) (names []string) {
		for property := range read.Defs[name].Properties {
			names = append(names, property)
		}
		return names
	}
	for what, each := range map[string]struct{ documented, declared []string }{
		"kinds":             {read.Defs["kind"].Enum, constants(t, "finding.go", "Kind", "Kind")},
		"verdicts":          {read.Defs["verdict"].Enum, constants(t, "orphan.go", "Verdict", "")},
		"remains":           {read.Defs["remnant"].Properties["what"].Enum, constants(t, "finding.go", "", "Remains")},
		"keys of a finding": {properties("finding"), keys(orphan.Finding{})},
		"keys of a remnant": {properties("remnant"), keys(orphan.Remnant{})},
	} {
		slices.Sort(each.documented)
		if !slices.Equal(each.documented, each.declared) {
			t.Errorf("%s: the schema has\n%q\ninternal/orphan has\n%q", what, each.documented, each.declared)
		}
		t.Logf("%s in the schema: %d", what, len(each.documented))
	}
}
