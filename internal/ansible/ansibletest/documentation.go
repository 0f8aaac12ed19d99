// Package ansibletest holds what the modules' tests share: the comparison of a
// module's declared options with its documentation, and testscript commands
// that call a module the way Ansible does.
package ansibletest

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

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
		if value["description"] == nil || value["returned"] == nil || value["type"] == nil {
			t.Errorf("RETURN %s: description, returned and type must be there", name)
		}
	}
	checkOptions(t, module, doc.Documentation.Options)
	checkExamples(t, module, doc.Examples)
}

func checkOptions(t *testing.T, module ansible.Module, options map[string]documented) {
	t.Helper()
	for _, option := range module.Options {
		got, ok := options[option.Name]
		delete(options, option.Name)
		if !ok {
			t.Errorf("option %s is not documented", option.Name)
			continue
		}
		if got.Description == nil {
			t.Errorf("option %s has no description", option.Name)
		}
		if option.Type == ansible.Int {
			checkBounds(t, option, fmt.Sprint(got.Description))
		}
		got.Description = nil
		want := documented{
			Type: string(option.Type), Elements: string(option.Elements), Required: option.Required,
			Default: option.Default, Choices: option.Choices, Aliases: option.Aliases,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("option %s: documented %+v, declared %+v", option.Name, got, want)
		}
	}
	for name := range options {
		t.Errorf("option %s is documented, but not declared", name)
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
	names := optionNames(module)
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
		for name := range arguments {
			if !slices.Contains(names, name) {
				t.Errorf("EXAMPLES: %v: no option %s", task["name"], name)
			}
		}
		for _, name := range toldSecrets(module, arguments) {
			t.Errorf("EXAMPLES: %v: %s has a secret in plain text, which Ansible would print", task["name"], name)
		}
	}
	if calls == 0 {
		t.Error(fmt.Errorf("EXAMPLES: no task calls %s", module.Name))
	}
}

// toldSecrets are the options of an example in which a secret stands itself, not a variable.
func toldSecrets(module ansible.Module, arguments map[string]any) (names []string) {
	for _, option := range module.Options {
		if !option.NoLog {
			continue
		}
		values := map[string]any{"password": arguments[option.Name]}
		if dict, ok := arguments[option.Name].(map[string]any); ok {
			values = dict
		}
		for key, value := range values {
			text, _ := value.(string)
			if (strings.Contains(key, "password") || strings.Contains(key, "secret") || strings.Contains(key, "token")) && text != "" &&
				!strings.Contains(text, "{{") {
				names = append(names, option.Name)
			}
		}
	}
	return names
}

func optionNames(module ansible.Module) (names []string) {
	for _, option := range module.Options {
		names = append(append(names, option.Name), option.Aliases...)
	}
	return names
}
