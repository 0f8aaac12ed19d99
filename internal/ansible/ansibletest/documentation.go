// Package ansibletest holds what the modules' tests share: the comparison of a
// module's declared options with its documentation, and testscript commands
// that call a module the way Ansible does.
package ansibletest

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"nova-orphan/internal/ansible"
)

type sidecar struct {
	Documentation struct {
		Module           string                    `yaml:"module"`
		ShortDescription string                    `yaml:"short_description"`
		Description      []string                  `yaml:"description"`
		Author           []string                  `yaml:"author"`
		Options          map[string]documented     `yaml:"options"`
		Attributes       map[string]map[string]any `yaml:"attributes"`
	} `yaml:"DOCUMENTATION"`
	Examples string                    `yaml:"EXAMPLES"`
	Return   map[string]map[string]any `yaml:"RETURN"`
}

type documented struct {
	Description any      `yaml:"description"`
	Type        string   `yaml:"type"`
	Elements    string   `yaml:"elements"`
	Required    bool     `yaml:"required"`
	Default     any      `yaml:"default"`
	Choices     []string `yaml:"choices"`
	Aliases     []string `yaml:"aliases"`
}

// CheckDocumentation fails the test where the sidecar file at path and the
// module's declaration differ, or where an example would be refused or tells a secret.
func CheckDocumentation(t *testing.T, module ansible.Module, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc sidecar
	if err := yaml.Unmarshal(content, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Documentation.Module != module.Name {
		t.Errorf("module: got %q, want %q", doc.Documentation.Module, module.Name)
	}
	if doc.Documentation.ShortDescription == "" || len(doc.Documentation.Description) == 0 || len(doc.Documentation.Author) == 0 {
		t.Error("short_description, description and author must be there")
	}
	for _, attribute := range []string{"check_mode", "diff_mode", "idempotent", "platform"} {
		if doc.Documentation.Attributes[attribute]["support"] == nil {
			t.Errorf("attributes: %s must say its support", attribute)
		}
	}
	for name, value := range doc.Return {
		if value["returned"] == nil {
			t.Errorf("RETURN %s: returned must be there", name)
		}
		checkReturn(t, name, value)
	}
	// One that only reads, or is for a host as a whole, has nothing to say of an element.
	if module.Each != "" {
		checkEntries(t, doc.Return)
	}
	checkOptions(t, module, doc.Documentation.Options)
	checkExamples(t, module, doc.Examples)
}

// checkReturn wants of a value, and of those within it, what they are, and nothing that YAML made of a comma in a description.
func checkReturn(t *testing.T, name string, value map[string]any) {
	t.Helper()
	for key, part := range value {
		if part == nil {
			t.Errorf("RETURN %s: %q is no key of it: is the description quoted?", name, key)
		}
	}
	if value["description"] == nil || value["type"] == nil {
		t.Errorf("RETURN %s: description and type must be there", name)
	}
	contains, _ := value["contains"].(map[string]any)
	for key, part := range contains {
		within, _ := part.(map[string]any)
		checkReturn(t, name+"."+key, within)
	}
}

// checkEntries wants a list with an entry for each element, and in it what every module says of one (step.Answer).
func checkEntries(t *testing.T, answers map[string]map[string]any) {
	t.Helper()
	for kind, id := range kinds {
		entry, ok := answers[kind]["contains"].(map[string]any)
		if !ok {
			continue
		}
		for _, key := range []string{id, "verdict", "reasons", "plan", "changed", "failed", "msg", "backup_file"} {
			if entry[key] == nil {
				t.Errorf("RETURN %s: the entries do not say %s", kind, key)
			}
		}
		return
	}
	t.Errorf("RETURN: there is no list with an entry for each element: %v", kinds)
}

func checkOptions(t *testing.T, module ansible.Module, got map[string]documented) {
	t.Helper()
	want := map[string]documented{}
	for _, option := range module.Options {
		description := got[option.Name].Description
		if description == nil {
			t.Errorf("option %s has no description", option.Name)
		}
		if option.Type == ansible.Int {
			checkBounds(t, option, fmt.Sprint(description))
		}
		want[option.Name] = documented{
			Description: description, Type: string(option.Type), Elements: string(option.Elements), Required: option.Required,
			Default: option.Default, Choices: option.Choices, Aliases: option.Aliases,
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options, declared (-) and documented (+): %s", diff)
	}
}

// checkBounds wants every number to have an upper bound, told with the lower one in its description.
func checkBounds(t *testing.T, option ansible.Option, description string) {
	t.Helper()
	if option.Check == nil {
		t.Errorf("option %s takes any number", option.Name)
		return
	}
	_, err := option.Check(math.MaxInt)
	_, bounds, _ := strings.Cut(fmt.Sprint(err), "takes a whole number ")
	bounds, _, bounded := strings.Cut(bounds, ", got")
	if !bounded || !strings.Contains(description, bounds) {
		t.Errorf("option %s: the description does not say %q: %s", option.Name, bounds, description)
	}
}

func checkExamples(t *testing.T, module ansible.Module, examples string) {
	t.Helper()
	var tasks []map[string]any
	if err := yaml.Unmarshal([]byte(examples), &tasks); err != nil {
		t.Errorf("EXAMPLES: %v", err)
	}
	options := map[string]ansible.Option{}
	for _, option := range module.Options {
		for _, name := range append(option.Aliases, option.Name) {
			options[name] = option
		}
	}
	calls := 0
	for _, task := range tasks {
		if task["name"] == nil {
			t.Errorf("EXAMPLES: a task without a name: %v", task)
		}
		arguments, ok := task[module.Name].(map[string]any)
		if !ok {
			continue
		}
		calls++
		for name, value := range arguments {
			option, known := options[name]
			if !known {
				t.Errorf("EXAMPLES: %v: no option %s", task["name"], name)
			}
			if option.NoLog && tellsSecret(value) {
				t.Errorf("EXAMPLES: %v: %s has a secret in plain text, which Ansible would print", task["name"], name)
			}
		}
	}
	if calls == 0 {
		t.Errorf("EXAMPLES: no task calls %s", module.Name)
	}
}

var secret = regexp.MustCompile("password|secret|token")

// tellsSecret says whether a secret stands there itself, not a variable.
func tellsSecret(value any) bool {
	values, ok := value.(map[string]any)
	if !ok {
		values = map[string]any{"password": value}
	}
	for key, value := range values {
		if text, _ := value.(string); secret.MatchString(key) && text != "" && !strings.Contains(text, "{{") {
			return true
		}
	}
	return false
}
