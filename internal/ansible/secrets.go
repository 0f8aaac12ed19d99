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

var secretKey = regexp.MustCompile(`(?i)password|passcode|secret|token|private|client_key`)

func (s *secrets) addNamed(dict map[string]any) {
	for key, value := range dict {
		switch v := value.(type) {
		case map[string]any:
			s.addNamed(v)
		case string:
			if secretKey.MatchString(key) {
				s.add(v)
			}
		}
	}
}

// mask walks a decoded JSON value.
func (s *secrets) mask(value any) any {
	switch v := value.(type) {
	case string:
		return s.maskText(v)
	case []any:
		for i := range v {
			v[i] = s.mask(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = s.mask(v[key])
		}
	}
	return value
}

// maskText replaces the secrets that stand in text as words of their own. A
// weak password such as "nova" must not turn the path /var/lib/nova_cell into
// something that a playbook then acts on.
func (s *secrets) maskText(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.values {
		text = replaceWord(text, secret)
	}
	return text
}

func replaceWord(text, secret string) string {
	var out strings.Builder
	for {
		at := strings.Index(text, secret)
		if at < 0 {
			out.WriteString(text)
			return out.String()
		}
		end := at + len(secret)
		inWord := len(secret) < 8 && (at > 0 && isWord(text[at-1]) || end < len(text) && isWord(text[end]))
		if inWord {
			out.WriteString(text[:end])
		} else {
			out.WriteString(text[:at] + masked)
		}
		text = text[end:]
	}
}

func isWord(b byte) bool {
	return b == '_' || b == '-' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
