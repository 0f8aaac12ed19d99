package ansible

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// Type is an option's type, by the name that Ansible's documentation gives it.
type Type string

// The option types. A value that comes as text (k=v, or an ad-hoc call) is
// converted as AnsibleModule does (module_utils/common/validation.py).
const (
	Str  Type = "str"
	Int  Type = "int"
	Bool Type = "bool"
	List Type = "list"
	Dict Type = "dict"
	Path Type = "path"
	// Raw is a value of whatever type, which Check takes or refuses.
	Raw Type = "raw"
)

// Option declares one option of a module. Its documentation in the module's
// sidecar file is tested against this declaration (package ansibletest).
type Option struct {
	Name     string
	Aliases  []string
	Type     Type
	Elements Type // of a List
	Required bool
	Default  any      // of the option's type; nil is "unset"
	Choices  []string // of a List, for each of its elements
	// NoLog marks a value that must appear in no output. In a Dict it is the
	// values of the keys that name a secret (password, token, ...).
	NoLog bool
	// AllowEmpty accepts "". Elsewhere an empty text is refused rather than taken
	// for "unset": a template that renders to nothing must not widen a deletion.
	AllowEmpty bool
	// Element, of a List that may be long, makes what an element is decoded into where the list is JSON text: Check then
	// gets that, rather than any value that JSON knows.
	Element func() any
	// Check validates a value of the option's type (a list's elements one by one)
	// and returns it in its final form. Its error completes the sentence
	// "argument 'NAME' ...".
	Check func(value any) (any, error)
}

// names are all by which it can be given, its own first.
func (o Option) names() []string { return append([]string{o.Name}, o.Aliases...) }

// pick is the value that was given by one of the names; nil if there is none.
func (o Option) pick(given map[string]any) (value any, err error) {
	for _, name := range o.names() {
		switch {
		case given[name] == nil:
		case value != nil:
			return nil, fmt.Errorf("argument '%s' and its alias '%s' are both set: give one of them", o.Name, name)
		default:
			value = given[name]
		}
	}
	return value, nil
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// UUID is a Check for a UUID in its usual form. It returns it in lower case, as
// Nova, Placement and libvirt write it.
func UUID(value any) (any, error) {
	text, _ := value.(string)
	if !uuidForm.MatchString(text) {
		return nil, fmt.Errorf("takes a UUID like 6695eb01-f6a4-8304-79aa-97f2502e193f, got: %q", text)
	}
	return strings.ToLower(text), nil
}

// Between is a Check for a whole number from minimum to maximum. Every number has an upper
// bound: one that is taken times a second must not overflow into a negative time.
func Between(minimum, maximum int) func(any) (any, error) {
	return func(value any) (any, error) {
		if number, _ := value.(int); number < minimum || number > maximum {
			return nil, fmt.Errorf("takes a whole number from %d to %d, got: %d", minimum, maximum, value)
		}
		return value, nil
	}
}

// Absolute is a Check for a path that means the same from any folder: Ansible
// starts a module in the playbook's folder or in the user's home, as it connects.
func Absolute(value any) (any, error) {
	path, _ := value.(string)
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("takes an absolute path, got: %q", path)
	}
	return path, nil
}

// Timeout is the option that bounds a whole module call, in seconds, at most a day.
// Main gives the module's context that deadline, as Each and Turns of the module have it grow.
var Timeout = Option{Name: "timeout", Type: Int, Default: 60, Check: Between(1, 24*60*60)}

// A Rule relates options to each other; it returns an error in AnsibleModule's
// words. What has a default counts as given.
type Rule func(values map[string]any) error

// MutuallyExclusive allows at most one of the options.
func MutuallyExclusive(names ...string) Rule {
	return func(values map[string]any) error {
		if given, _ := split(values, names); len(given) > 1 {
			return fmt.Errorf("parameters are mutually exclusive: %s", strings.Join(names, "|"))
		}
		return nil
	}
}

// RequiredTogether wants all of the options or none.
func RequiredTogether(names ...string) Rule {
	return func(values map[string]any) error {
		if given, missing := split(values, names); len(given) > 0 && len(missing) > 0 {
			return fmt.Errorf("parameters are required together: %s", strings.Join(names, ", "))
		}
		return nil
	}
}

// RequiredOneOf wants at least one of the options.
func RequiredOneOf(names ...string) Rule {
	return func(values map[string]any) error {
		if given, _ := split(values, names); len(given) == 0 {
			return fmt.Errorf("one of the following is required: %s", strings.Join(names, ", "))
		}
		return nil
	}
}

// RequiredIf wants all of names when the option name has this value.
func RequiredIf(name string, value any, names ...string) Rule {
	return func(values map[string]any) error {
		if values[name] != value {
			return nil
		}
		if _, missing := split(values, names); len(missing) > 0 {
			return fmt.Errorf("%s is %v but all of the following are missing: %s", name, value, strings.Join(missing, ", "))
		}
		return nil
	}
}

// RequiredBy wants all of names when the option name is given.
func RequiredBy(name string, names ...string) Rule {
	return func(values map[string]any) error {
		if _, given := values[name]; !given {
			return nil
		}
		if _, missing := split(values, names); len(missing) > 0 {
			return fmt.Errorf("missing parameter(s) required by '%s': %s", name, strings.Join(missing, ", "))
		}
		return nil
	}
}

// OnlyIf refuses the option unless the option name has this value. A false asks for nothing.
func OnlyIf(option, name string, value any) Rule {
	return func(values map[string]any) error {
		wanted, given := values[option]
		current, known := values[name]
		switch {
		case !given || wanted == false || current == value:
			return nil
		case !known:
			return fmt.Errorf("parameter '%s' is only taken if %s is %v", option, name, value)
		}
		return fmt.Errorf("parameter '%s' is only taken if %s is %v, but it is %v", option, name, value, current)
	}
}

func split(values map[string]any, names []string) (given, missing []string) {
	for _, name := range names {
		if _, ok := values[name]; ok {
			given = append(given, name)
		} else {
			missing = append(missing, name)
		}
	}
	return given, missing
}
