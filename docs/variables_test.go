package docs_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write variables.md anew")

// variable is one of a role's argument_specs.yml, and of a module an option.
type variable struct {
	Description any
	Type        string
	Choices     []string
	Default     any
	Required    bool
	Aliases     []string
}

func readYAML(t *testing.T, into any, path ...string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err = yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("read %s: %v", filepath.Join(path...), err)
	}
}

var playbooks = []struct{ role, playbook string }{
	{"purge_orphan", "purge_orphan.yml"}, {"audit_orphans", "audit_orphans.yml"}, {"restore_orphan", "restore_orphan.yml"},
}

func variablesOf(t *testing.T, role string) map[string]variable {
	t.Helper()
	var specs struct {
		Main struct {
			Options map[string]variable
		}
	}
	var file struct {
		Specs yaml.Node `yaml:"argument_specs"`
	}
	readYAML(t, &file, "playbooks", "roles", role, "meta", "argument_specs.yml")
	if err := file.Specs.Decode(&specs); err != nil {
		t.Fatal(err)
	}
	return specs.Main.Options
}

// markup is that of ansible-doc's descriptions.
var markup = regexp.MustCompile(`\b(?:RV|[CVOEMP])\(([^)]*)\)`)

func (v variable) text() string {
	lines, ok := v.Description.([]any)
	if !ok {
		lines = []any{v.Description}
	}
	var said []string
	for _, line := range lines {
		said = append(said, fmt.Sprint(line))
	}
	if len(v.Choices) > 0 {
		said = append(said, "One of "+strings.Join(v.Choices, ", ")+".")
	}
	return strings.ReplaceAll(markup.ReplaceAllString(strings.Join(said, " "), "`$1`"), "|", `\|`)
}

func (v variable) fallback() string {
	switch value := v.Default.(type) {
	case nil:
		if v.Required {
			return "required"
		}
		return ""
	case string:
		return fmt.Sprintf("`%s`", strings.ReplaceAll(fmt.Sprintf("%q", value), `\\`, `\`))
	default:
		text, _ := yaml.Marshal(value)
		return "`" + strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), ", ") + "`"
	}
}

func TestTheTableOfVariablesIsThatOfTheArgumentSpecifications(t *testing.T) {
	var table strings.Builder
	table.WriteString("# The variables\nOf each playbook, as its role's `meta/argument_specs.yml` has them: a test compares the two (`go test ./docs -update` writes this\n" +
		"file again). Those of a host belong into the inventory, consents to the command line.\n")
	for _, of := range playbooks {
		fmt.Fprintf(&table, "\n## %s\n| variable | what | type | default |\n|---|---|---|---|\n", of.playbook)
		options := variablesOf(t, of.role)
		for _, name := range slices.Sorted(maps.Keys(options)) {
			option := options[name]
			fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, option.text(), option.Type, option.fallback())
		}
	}
	if *update {
		if err := os.WriteFile("variables.md", []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile("variables.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != table.String() {
		t.Error("variables.md is not what the argument specifications say: go test ./docs -update")
	}
}
