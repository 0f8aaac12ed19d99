package docs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the playbooks take beside their roles' variables.
var unprefixed = map[string][]string{
	"purge_orphan.yml": {
		"instance_uuid", "instance_uuids", "findings", "allow_sql", "allow_forced_down", "preserve_volumes", "max_instances", "on_refusal",
	},
	"audit_orphans.yml":  {},
	"restore_orphan.yml": {"max_instances"},
}

var (
	command   = regexp.MustCompile("(?m)^    (ansible(?:-playbook)? .*)$|`(-e [^`]*)`")
	extra     = regexp.MustCompile(`-e (?:([a-z_]+)=|'(\{[^']*\})')`)
	adHoc     = regexp.MustCompile(`-m ([a-z_.]+)(?: -a '([^']*)')?`)
	playbook  = regexp.MustCompile(`playbooks/([a-z_]+[.]yml)`)
	moduleArg = regexp.MustCompile(`([a-z_]+)=`)
)

// given are the names of the variables that a command sets.
func given(t *testing.T, command string) (names []string) {
	t.Helper()
	for _, found := range extra.FindAllStringSubmatch(command, -1) {
		if found[1] != "" {
			names = append(names, found[1])
			continue
		}
		values := map[string]any{}
		if err := json.Unmarshal([]byte(found[2]), &values); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		for name := range values {
			names = append(names, name)
		}
	}
	return names
}

func TestEachCommandOfTheDocumentationNamesWhatThereIs(t *testing.T) {
	known := map[string][]string{}
	var all []string
	for _, of := range playbooks {
		known[of.playbook] = slices.Clone(unprefixed[of.playbook])
		for name := range variablesOf(t, of.role) {
			known[of.playbook] = append(known[of.playbook], name)
		}
		all = append(all, known[of.playbook]...)
	}
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range append(files, "../README.md") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range command.FindAllStringSubmatch(string(content), -1) {
			takes := all
			text := found[1] + found[2]
			if run := playbook.FindStringSubmatch(text); run != nil {
				takes = known[run[1]]
				if takes == nil {
					t.Errorf("%s: there is no %s: %s", file, run[1], text)
				}
			}
			for _, name := range given(t, text) {
				if !slices.Contains(takes, name) {
					t.Errorf("%s: there is no variable %s: %s", file, name, text)
				}
			}
			if call := adHoc.FindStringSubmatch(text); call != nil && !strings.Contains(call[1], ".") {
				for _, option := range moduleArg.FindAllStringSubmatch(call[2], -1) {
					if !slices.Contains(optionsOf(t, call[1]), option[1]) {
						t.Errorf("%s: %s has no option %s: %s", file, call[1], option[1], text)
					}
				}
			}
			seen++
		}
	}
	if seen < 50 {
		t.Errorf("only %d commands were found", seen)
	}
}

// optionsOf are a module's, with their aliases.
func optionsOf(t *testing.T, module string) (names []string) {
	t.Helper()
	var documentation struct {
		Documentation struct{ Options map[string]variable } `yaml:"DOCUMENTATION"`
	}
	readYAML(t, &documentation, "modules", module, module+".yml")
	for name, option := range documentation.Documentation.Options {
		names = append(append(names, name), option.Aliases...)
	}
	return names
}

func TestEachKindOfFindingIsExplained(t *testing.T) {
	content, err := os.ReadFile("findings.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(content), -1) {
		explained = append(explained, row[1])
	}
	kinds := constants(t, "finding.go", "Kind", "")
	slices.Sort(kinds)
	slices.Sort(explained)
	if !slices.Equal(kinds, explained) {
		t.Errorf("there are %q, explained are %q", kinds, explained)
	}
}
