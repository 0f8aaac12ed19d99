package ansible

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Result is what every module answers. A module embeds it in its own answer,
// whose fields stand beside these in the JSON object.
type Result struct {
	Changed bool `json:"changed"`
	// Failed is set by Main when the module returns an error.
	Failed    bool     `json:"failed,omitempty"`
	Msg       string   `json:"msg,omitempty"`
	Diff      *Diff    `json:"diff,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Exception string   `json:"exception,omitempty"`
}

func (r *Result) result() *Result { return r }

// fail makes the result one of failure if there is an error.
func (r *Result) fail(err error) {
	if err == nil {
		return
	}
	r.Failed, r.Msg = true, err.Error()
	var crash *panicError
	if errors.As(err, &crash) {
		r.Exception = crash.stack
	}
}

// Answer is a Result or a struct that embeds one, as a pointer.
type Answer interface{ result() *Result }

// Diff is the state before and after, shown with --diff. Both sides are
// mappings: Ansible's callback renders those sorted, and breaks on lists.
type Diff struct {
	Before map[string]any `json:"before"`
	After  map[string]any `json:"after"`
}

// encode makes the answer one line of ASCII JSON. Anything else breaks some
// release of Ansible: U+0085 cuts the line in all of them, bytes that are not
// UTF-8 fail the task from 2.19 on.
func encode(answer Answer, secrets *secrets) (string, error) {
	raw, err := json.Marshal(answer)
	var value any
	if err == nil {
		err = decodeJSON(raw, &value)
	}
	if err == nil {
		raw, err = json.Marshal(secrets.clean("", value))
	}
	if err != nil {
		return "", fmt.Errorf("encode the answer: %w", err)
	}
	return ascii(string(raw)) + "\n", nil
}

// clean masks and writes out every text of a decoded JSON value that stands under this key.
// The keys are not masked: they are ours, or ids.
func (s *secrets) clean(key string, value any) any {
	switch v := value.(type) {
	case string:
		return printable(s.mask(key, v))
	case []any:
		for i := range v {
			v[i] = s.clean(key, v[i])
		}
	case map[string]any:
		cleaned := make(map[string]any, len(v))
		for key := range v {
			cleaned[printable(key)] = s.clean(key, v[key])
		}
		return cleaned
	}
	return value
}

// printable writes out what would move the cursor, add a line, or turn the direction of
// writing: tenants choose the names that stand in reports and logs.
func printable(text string) string {
	var out strings.Builder
	for _, r := range text {
		if moves(r) {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// moves says whether a character is a control character (Cc), a format character such as
// those that turn the direction of writing (Cf), or a separator of lines (Zl, Zp).
func moves(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

func ascii(text string) string {
	var out strings.Builder
	for _, r := range text {
		if r < 0x7f {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.String()
}
