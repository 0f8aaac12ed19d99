package ansible

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
)

// Call is one call of a module: its options, decoded and checked, and what
// Ansible says about how to run.
type Call struct {
	Check bool // --check: judge and plan, but change nothing
	Diff  bool // --diff
	// Turn is the value of the option Timeout; see Module.Turns.
	Turn time.Duration

	arguments []byte
	values    map[string]any
	timeout   time.Duration
	facility  string
	noLog     bool
	secrets   *secrets
	module    string
	// host is the root of the host, where the module is in another mount namespace; else nil.
	host *int
}

// Decode puts the options into a struct whose fields carry `option:"name"`
// tags. An option that was not given and has no default leaves its field as it is.
func (c *Call) Decode(into any) error {
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:      into,
		TagName:     "option",
		ErrorUnused: true,
		Squash:      true,
		MatchName:   func(key, field string) bool { return key == field },
	})
	if err != nil {
		return fmt.Errorf("decode options: %w", err)
	}
	if err := decoder.Decode(c.values); err != nil {
		return fmt.Errorf("decode options: %w", err)
	}
	return nil
}

// Value is that of one option; nil where it was not given and has no default.
func (c *Call) Value(option string) any { return c.values[option] }

// Secret registers values (passwords, tokens) that must appear in no output.
func (c *Call) Secret(values ...string) { c.secrets.add(values...) }

// WithoutInterrupt is the context for writes: a lost controller (SIGHUP) or a Ctrl-C
// does not cut a step off in the middle, the deadline still does.
func (c *Call) WithoutInterrupt(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(c.timeout)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline)
}

// readCall reads and checks the arguments file that Ansible names in argv[1].
func (m Module) readCall(call *Call, argv []string) error {
	if len(argv) != 2 {
		return fmt.Errorf("usage: %s ARGUMENTS_FILE: this is an Ansible module, try: ansible HOST -m %s -a 'option=value'", m.Name, m.Name)
	}
	read := func() ([]byte, error) { return os.ReadFile(argv[1]) }
	if argv[1] == entered {
		read = call.arrive
	}
	data, err := read()
	if err != nil {
		return fmt.Errorf("read the arguments file: %w", err)
	}
	call.arguments = data
	arguments := map[string]any{}
	if err := decodeJSON(data, &arguments); err != nil {
		return errors.New("read the arguments file: it is not one JSON object")
	}
	return m.fill(call, arguments)
}

func (m Module) fill(call *Call, arguments map[string]any) error {
	call.Check, call.Diff = arguments["_ansible_check_mode"] == true, arguments["_ansible_diff"] == true
	call.noLog = arguments["_ansible_no_log"] == true
	call.facility, _ = arguments["_ansible_syslog_facility"].(string)
	given := maps.Clone(arguments)
	// Every release adds keys under this prefix; the ones not used here are nobody's mistake.
	maps.DeleteFunc(given, func(key string, _ any) bool { return strings.HasPrefix(key, "_ansible_") })
	m.collectSecrets(call, given)
	if unknown := m.unknown(given); len(unknown) > 0 && arguments["_ansible_ignore_unknown_opts"] != true {
		//nolint:staticcheck // AnsibleModule's own words
		return fmt.Errorf("Unsupported parameters for (%s) module: %s. Supported parameters include: %s.",
			m.Name, strings.Join(unknown, ", "), m.supported())
	}
	if err := m.coerce(call, given); err != nil {
		return err
	}
	for _, rule := range m.Rules {
		if err := rule(call.values); err != nil {
			return err
		}
	}
	if seconds, ok := call.values[Timeout.Name].(int); ok {
		elements, _ := call.values[m.Each].([]any)
		turns, _ := call.values[m.Turns].([]any)
		call.Turn = time.Duration(seconds) * time.Second
		call.timeout = call.Turn * time.Duration(max(1, (len(elements)+9)/10)*max(1, len(turns)))
		delete(call.values, Timeout.Name)
	}
	return nil
}

// unknown are the names that no option has.
func (m Module) unknown(given map[string]any) []string {
	left := maps.Clone(given)
	for _, option := range m.Options {
		for _, name := range option.names() {
			delete(left, name)
		}
	}
	return slices.Sorted(maps.Keys(left))
}

func (m Module) supported() string {
	var names []string
	for _, option := range m.Options {
		name := option.Name
		if len(option.Aliases) > 0 {
			name += " (" + strings.Join(option.Aliases, ", ") + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (m Module) coerce(call *Call, given map[string]any) error {
	var missing []string
	for _, option := range m.Options {
		value, err := option.pick(given)
		if err == nil && value != nil {
			value, err = option.coerce(value)
		}
		switch {
		case err != nil:
			return err
		case value != nil:
			call.values[option.Name] = value
		case option.Default != nil:
			call.values[option.Name] = option.Default
		case option.Required:
			missing = append(missing, option.Name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("missing required arguments: %s", strings.Join(missing, ", "))
	}
	return nil
}

// collectSecrets runs before anything is checked, so that no error text can
// carry a secret, not even one under a mistyped neighbour.
func (m Module) collectSecrets(call *Call, given map[string]any) {
	for _, option := range m.Options {
		for _, name := range option.names() {
			value, ok := given[name]
			if !ok || !option.NoLog {
				continue
			}
			if option.Type == Dict {
				dict, _ := toDict(value)
				call.secrets.addNamed(dict)
			} else if text, err := toStr(value); err == nil {
				call.secrets.add(text.(string))
			}
		}
	}
}
