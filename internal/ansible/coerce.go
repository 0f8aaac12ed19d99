package ansible

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var converters = map[Type]func(any) (any, error){Str: toStr, Int: toInt, Bool: toBool, List: toList, Dict: toDict, Path: toPath,
	Raw: toRaw}

// coerce converts an argument to the option's type as AnsibleModule does, and
// checks it. Numbers arrive as json.Number.
func (o Option) coerce(value any) (any, error) {
	if text, ok := value.(string); ok && o.Type == List && strings.HasPrefix(text, "[") {
		if elements, err := o.decodeElements(text); elements != nil || err != nil {
			return elements, err
		}
	}
	converted, err := converters[o.Type](value)
	if err != nil {
		return nil, fmt.Errorf("argument '%s' is of type %s and we were unable to convert to %s: %w", o.Name, pythonType(value), o.Type, err)
	}
	if text, ok := converted.(string); ok && text == "" && !o.AllowEmpty {
		return nil, fmt.Errorf("argument '%s' must not be empty: leave it out, or give it a value", o.Name)
	}
	if o.Type == List {
		return o.coerceElements(converted.([]any))
	}
	if len(o.Choices) > 0 && !slices.Contains(o.Choices, converted.(string)) {
		return nil, fmt.Errorf("value of %s must be one of: %s, got: %v", o.Name, strings.Join(o.Choices, ", "), converted)
	}
	return o.check(converted)
}

func (o Option) coerceElements(elements []any) (any, error) {
	if len(elements) == 0 && !o.AllowEmpty {
		return nil, o.emptyList()
	}
	for i, element := range elements {
		var err error
		if elements[i], err = o.coerceElement(element); err != nil {
			return nil, err
		}
	}
	return elements, nil
}

func (o Option) emptyList() error {
	values := "value"
	if len(o.Choices) > 0 {
		values = "of: " + strings.Join(o.Choices, ", ")
	}
	return fmt.Errorf("argument '%s' must not be empty: leave it out, or list at least one %s", o.Name, values)
}

func (o Option) coerceElement(element any) (any, error) {
	converted, err := converters[o.Elements](element)
	if err != nil {
		//nolint:staticcheck // AnsibleModule's own words
		return nil, fmt.Errorf("Elements value for option '%s' is of type %s and we were unable to convert to %s: %w",
			o.Name, pythonType(element), o.Elements, err)
	}
	if len(o.Choices) > 0 && !slices.Contains(o.Choices, converted.(string)) {
		return nil, fmt.Errorf("value of %s must be one or more of: %s. Got no match for: %v", o.Name, strings.Join(o.Choices, ", "), converted)
	}
	return o.check(converted)
}

// decodeElements takes a list as JSON text, as ansible-core up to 2.18 may hand over a templated one, and as a play
// does for a long one: one element after the other, since what an element is checked into is far smaller than what it was.
// Text that is no JSON list is none of its elements, and no error.
func (o Option) decodeElements(text string) ([]any, error) {
	decoder, elements := json.NewDecoder(strings.NewReader(text)), []any{}
	decoder.UseNumber()
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil, nil //nolint:nilerr // it is a list of words
	}
	for decoder.More() {
		element, err := o.decodeElement(decoder)
		if err != nil {
			return nil, err
		}
		if element == nil {
			return nil, nil
		}
		elements = append(elements, element)
	}
	if _, err := decoder.Token(); err != nil || decoder.More() {
		return nil, nil //nolint:nilerr // it is a list of words
	}
	if len(elements) == 0 && !o.AllowEmpty {
		return nil, o.emptyList()
	}
	return elements, nil
}

// decodeElement is nil where the text goes on as no JSON does.
func (o Option) decodeElement(decoder *json.Decoder) (any, error) {
	if o.Element == nil {
		var element any
		if decoder.Decode(&element) != nil {
			return nil, nil //nolint:nilerr // it is a list of words
		}
		return o.coerceElement(element)
	}
	element := o.Element()
	if err := decoder.Decode(element); err != nil {
		return nil, fmt.Errorf("argument '%s' takes a list as JSON text, of which an element cannot be read: %w", o.Name, err)
	}
	return o.check(element)
}

func (o Option) check(value any) (any, error) {
	if o.Check == nil {
		return value, nil
	}
	checked, err := o.Check(value)
	if err != nil {
		return nil, fmt.Errorf("argument '%s' %w", o.Name, err)
	}
	return checked, nil
}

func toStr(value any) (any, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		// As Python's str() writes it, since that is what a Python module would see.
		if v {
			return "True", nil
		}
		return "False", nil
	default:
		return nil, errors.New("it takes a text")
	}
}

func toInt(value any) (any, error) {
	var text string
	switch v := value.(type) {
	case string:
		text = strings.TrimSpace(v)
	case json.Number:
		text = v.String()
	default:
		return nil, errors.New("it takes a whole number")
	}
	// A float without a fraction ("5.0") is what a template makes of some sums. What else
	// check_type_int of ansible/module_utils/common/validation.py takes in some release,
	// nobody writes on purpose: 1_000 (all), 1e3 (2.19).
	if form := wholeNumber.FindStringSubmatch(text); form != nil {
		if number, err := strconv.Atoi(form[1]); err == nil {
			return number, nil
		}
	}
	return nil, fmt.Errorf("it takes a whole number, got: %q", text)
}

var wholeNumber = regexp.MustCompile(`^([+-]?[0-9]+)(\.0*)?$`)

func toBool(value any) (any, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case json.Number:
		return toBool(strings.TrimSuffix(v.String(), ".0"))
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "y", "yes", "on", "1", "true", "t":
			return true, nil
		case "n", "no", "off", "0", "false", "f":
			return false, nil
		}
		return nil, fmt.Errorf("it takes yes or no (true or false, on or off, 1 or 0), got: %q", v)
	default:
		return nil, errors.New("it takes yes or no")
	}
}

func toList(value any) (any, error) {
	switch v := value.(type) {
	case []any:
		return v, nil
	case string:
		if v == "" {
			return []any{}, nil
		}
		list := []any{}
		for _, part := range strings.Split(v, ",") {
			list = append(list, part)
		}
		return list, nil
	case json.Number, bool:
		return []any{v}, nil
	default:
		return nil, errors.New("it takes a list")
	}
}

func toDict(value any) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		return v, nil
	case string:
		if strings.HasPrefix(strings.TrimSpace(v), "{") {
			dict := map[string]any{}
			if err := decodeJSON([]byte(v), &dict); err != nil {
				return nil, errors.New("it takes a JSON object or key=value pairs")
			}
			return dict, nil
		}
		return pairs(v)
	default:
		return nil, errors.New("it takes a dictionary")
	}
}

// toRaw takes a dictionary as JSON text, too, which is how k=v has it.
func toRaw(value any) (any, error) {
	if text, ok := value.(string); ok && strings.HasPrefix(strings.TrimSpace(text), "{") {
		return toDict(text)
	}
	return value, nil
}

var pairSeparator = regexp.MustCompile(`[,\s]+`)

func pairs(text string) (any, error) {
	dict := map[string]any{}
	for _, pair := range pairSeparator.Split(strings.TrimSpace(text), -1) {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, errors.New("it takes a JSON object or key=value pairs")
		}
		dict[key] = value
	}
	return dict, nil
}

func toPath(value any) (any, error) {
	text, err := toStr(value)
	if err != nil {
		return nil, err
	}
	path := os.ExpandEnv(text.(string))
	if rest, found := strings.CutPrefix(path, "~/"); found {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("expand ~: %w", err)
		}
		path = filepath.Join(home, rest)
	}
	return path, nil
}

// pythonType names a value's type as Python does, for AnsibleModule's texts.
func pythonType(value any) string {
	name := "str"
	switch value.(type) {
	case bool:
		name = "bool"
	case json.Number:
		name = "int"
	case []any:
		name = "list"
	case map[string]any:
		name = "dict"
	}
	return "<class '" + name + "'>"
}

// decodeJSON keeps numbers as they were written, and wants nothing after the value.
func decodeJSON(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}
