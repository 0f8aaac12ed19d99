package ansible

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzArguments: whatever Ansible hands over, each option has its declared type
// afterwards, or there is an error.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		`{"str": 5.0, "int": "5.0", "bool": "yes", "list": "a,b", "dict": "a=b, c=d", "path": "~/$HOME/x", "uuid": "6695EB01-f6a4-8304-79aa-97f2502e193f"}`,
		`{"int": 1e999999999, "dict": {"password": "x"}, "list": [1, null, {}], "_ansible_check_mode": true}`,
		`{"int": "9223372036854775808", "bool": 1, "list": "[1, 2]", "dict": "{\"a\": 1}", "text": "", "str": "a"}`,
		`{"password": ["x"], "auth": "password=secret", "unknown": 1, "path": ""}`, `[]`, `{"a":1}{"b":2}`,
	} {
		f.Add([]byte(seed))
	}
	module := Module{Name: "probe", Options: []Option{
		{Name: "str", Aliases: []string{"text"}, Type: Str, AllowEmpty: true}, {Name: "int", Type: Int, Check: Between(-3, 1000)},
		{Name: "bool", Type: Bool},
		{Name: "list", Type: List, Elements: Str, AllowEmpty: true}, {Name: "numbers", Type: List, Elements: Int}, {Name: "dict", Type: Dict},
		{Name: "path", Type: Path, Check: Absolute}, {Name: "uuid", Type: Str, Check: UUID},
		{Name: "choice", Type: Str, Choices: []string{"a", "b"}},
		{Name: "password", Type: Str, NoLog: true}, {Name: "auth", Type: Dict, NoLog: true}, Timeout,
	}, Rules: []Rule{MutuallyExclusive("str", "int"), RequiredIf("choice", "a", "path"), OnlyIf("uuid", "choice", "b"),
		RequiredBy("path", "bool")}}
	f.Fuzz(func(t *testing.T, data []byte) {
		arguments := map[string]any{}
		if decodeJSON(data, &arguments) != nil {
			return
		}
		call := &Call{secrets: &secrets{}, values: map[string]any{}}
		if module.fill(call, arguments) != nil {
			return
		}
		for _, option := range module.Options {
			value, given := call.values[option.Name]
			if given && !isOf(option.Type, value) {
				t.Errorf("%s: %s is %T", data, option.Name, value)
			}
		}
		var into struct {
			Str      string         `option:"str"`
			Int      int            `option:"int"`
			Bool     bool           `option:"bool"`
			List     []string       `option:"list"`
			Numbers  []int          `option:"numbers"`
			Dict     map[string]any `option:"dict"`
			Path     string         `option:"path"`
			UUID     string         `option:"uuid"`
			Choice   string         `option:"choice"`
			Password string         `option:"password"`
			Auth     map[string]any `option:"auth"`
		}
		if err := call.Decode(&into); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	})
}

func isOf(kind Type, value any) bool {
	ok := false
	switch kind {
	case Int:
		_, ok = value.(int)
	case Bool:
		_, ok = value.(bool)
	case List:
		_, ok = value.([]any)
	case Dict:
		_, ok = value.(map[string]any)
	default:
		_, ok = value.(string)
	}
	return ok
}

// judged is an answer as the modules have it.
type judged struct {
	Result
	Verdict string   `json:"verdict"`
	Reasons []string `json:"reasons"`
}

// FuzzAnswer: whatever a module says, it is one line of ASCII JSON that says the
// same, without the secret.
func FuzzAnswer(f *testing.F) {
	f.Add("caf\u00e9 \u2028\u0085\x7f \U0001F600", "s3cret-password")
	f.Add("with s3cret-password in it", "s3cret-password")
	f.Add("\xff\xfe", "\xff")
	f.Add("********", "*")
	f.Add("the instance is stuck in deleting", "stuck")
	f.Add("connect to mysql://nova:stuck@db/nova: password stuck, 'stuck'", "stuck")
	f.Add("nova answered: pwd=nova", "nova")
	ours := regexp.MustCompile(`^[a-z]+( [a-z]+)*$`)
	f.Fuzz(func(t *testing.T, message, secret string) {
		hidden := &secrets{}
		hidden.add(secret)
		out, err := encode(&judged{Result{Msg: message}, secret, []string{message}}, hidden)
		if err != nil {
			t.Fatal(err)
		}
		line, rest, found := strings.Cut(out, "\n")
		if !found || rest != "" || strings.ContainsFunc(line, func(r rune) bool { return r >= 0x7f }) {
			t.Errorf("%q is not one line of ASCII", out)
		}
		var got judged
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		plain := plainWord.MatchString(secret)
		// A shorter one is hidden only where it is a word of its own.
		if len(secret) >= 8 && !plain && utf8.ValidString(secret) && !strings.Contains(secret, "*") && strings.Contains(got.Msg, secret) {
			t.Errorf("%q has the secret %q in it", got.Msg, secret)
		}
		sentence := ours.MatchString(message) && !secretKey.MatchString(message)
		if plain && (got.Verdict != secret || sentence && got.Msg != message) {
			t.Errorf("%q and the verdict %q became %q and %q", message, secret, got.Msg, got.Verdict)
		}
		values := []string{":" + secret + "@", `"` + secret + `"`, "'" + secret + "'", "=" + secret + " ", "password " + secret + " "}
		for _, value := range values {
			if plain && strings.Contains(got.Msg, value) {
				t.Errorf("%q has the value %s in it", got.Msg, value)
			}
		}
		if secret == "" && utf8.ValidString(message) && got.Msg != printable(message) {
			t.Errorf("%q became %q", message, got.Msg)
		}
		if strings.ContainsFunc(got.Msg, moves) {
			t.Errorf("%q moves the cursor", got.Msg)
		}
	})
}
