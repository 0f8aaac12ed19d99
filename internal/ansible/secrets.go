package ansible

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const masked = "********"

// secrets replaces registered values in everything that is printed, since
// Ansible masks nothing in what a binary module says.
type secrets struct {
	mu     sync.Mutex
	values []string
}

func (s *secrets) add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range values {
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
			if form != "" && !slices.Contains(s.values, form) {
				s.values = append(s.values, form)
			}
		}
	}
	// Longest first: one secret may be the beginning of another.
	slices.SortFunc(s.values, func(a, b string) int { return len(b) - len(a) })
}

var secretKey = regexp.MustCompile(`(?i)passw|passcode|passphrase|_pass$|^pass$|pwd|secret|token|private|client_key`)

// addNamed adds the values of the keys that name a secret.
func (s *secrets) addNamed(value any) {
	dict, _ := value.(map[string]any)
	for key := range dict {
		if text, ok := dict[key].(string); ok && secretKey.MatchString(key) {
			s.add(text)
		}
		s.addNamed(dict[key])
	}
}

// plainWord is a password that may as well be a word of ours: nova, stuck, password.
var plainWord = regexp.MustCompile(`^[A-Za-z][a-z_-]{0,10}$`)

// sentences are the keys of a Result under which there is prose of ours.
var sentences = []string{"msg", "reasons", "plan", "warnings", "exception"}

// mask replaces the secrets that stand in the text under this key; a short one only
// where it is a word of its own: "nova" must not turn the path /var/lib/nova_cell into
// something that a playbook then acts on.
//
// A secret that is a plain word does not hide the same word where it is ours: we would
// have said it whatever the password is, so that to leave it out would tell the password,
// and take the verdict from a playbook. It is ours as a whole value, whose key says what
// it is, and in a sentence, but where a value stands: quoted, after a name of secrets,
// an = or a colon, before an @, as libraries and services quote what they were given.
func (s *secrets) mask(key, text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if uuidForm.MatchString(text) && !slices.Contains(s.values, text) {
		return text
	}
	for _, secret := range s.values {
		plain, hides := plainWord.MatchString(secret), standsAlone
		switch {
		case plain && text == secret && !secretKey.MatchString(key):
			continue
		case plain && slices.Contains(sentences, key):
			hides = standsAsValue
		case !plain && len(secret) >= 8:
			hides = func(string, int, int) bool { return true }
		}
		text = replace(text, secret, hides)
	}
	return text
}

// replace masks a secret where hides says so of its begin and end in the text.
func replace(text, secret string, hides func(text string, at, end int) bool) string {
	var out strings.Builder
	done := 0
	for {
		at := strings.Index(text[done:], secret)
		if at < 0 {
			return out.String() + text[done:]
		}
		at += done
		out.WriteString(text[done:at])
		done = at + len(secret)
		if hides(text, at, done) {
			out.WriteString(masked)
		} else {
			out.WriteString(secret)
		}
	}
}

func standsAlone(text string, at, end int) bool {
	return (at == 0 || !isWord(text[at-1])) && (end == len(text) || !isWord(text[end]))
}

var secretNamed = regexp.MustCompile("(?:" + secretKey.String() + ")[a-z]*(?: is| was)?\\W{0,3}$")

func standsAsValue(text string, at, end int) bool {
	const near = 40
	before, after := text[max(0, at-near):at], text[end:min(end+1, len(text))]
	return standsAlone(text, at, end) && (before != "" && strings.ContainsAny(before[len(before)-1:], "\"'`=:") ||
		strings.ContainsAny(after, "\"'`@") || secretNamed.MatchString(before))
}

func isWord(b byte) bool {
	return b == '_' || b == '-' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
