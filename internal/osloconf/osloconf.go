// Package osloconf reads configuration files as oslo.config does: a file, then
// the *.conf files of its conf.d folder, later values over earlier ones, with
// $references resolved.
package osloconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Config is what the files say. Its zero value is an empty configuration.
type Config struct {
	path string
	// sections have their options as they are written, but for references.
	sections map[string]map[string]string
}

// Load reads path and PATH.d/*.conf beside it (/etc/nova/nova.conf.d), in the
// order of their names, as oslo.config's default --config-dir does
// (oslo_config/cfg.py find_config_dirs, ConfigOpts._parse_config_files).
func Load(path string) (Config, error) {
	paths := []string{path}
	entries, err := os.ReadDir(path + ".d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	for _, entry := range entries {
		// Python's glob does not find hidden files.
		if name := entry.Name(); strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".") {
			paths = append(paths, filepath.Join(path+".d", name))
		}
	}
	config := Config{path: path, sections: map[string]map[string]string{}}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
		if err := config.parse(string(content)); err != nil {
			return Config{}, fmt.Errorf("read configuration %s: %w", path, err)
		}
	}
	return config, nil
}

// parse adds what a file says (oslo_config/iniparser.py BaseParser.parse, cfg.py
// ConfigParser). Its errors do not quote the line, which may hold a password.
func (c Config) parse(content string) error {
	if !utf8.ValidString(content) {
		return errors.New("it is not UTF-8, as which oslo.config reads it")
	}
	var section map[string]string
	option := "" // of the line before, if this one can continue it
	for i, line := range strings.Split(newlines.Replace(content), "\n") {
		line = strings.TrimRightFunc(line, isSpace)
		name, value, isOption := cutOption(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
			option = ""
		case (line[0] == ' ' || line[0] == '\t') && option != "":
			section[option] += "\n" + strings.TrimLeftFunc(line, isSpace)
		case line[0] == '[' && line[len(line)-1] == ']' && len(line) > 2:
			option = ""
			group := groupName(line[1 : len(line)-1])
			if section = c.sections[group]; section == nil {
				section = map[string]string{}
				c.sections[group] = section
			}
		case strings.ContainsRune(" \t[", rune(line[0])) || !isOption || name == "" || section == nil:
			return fmt.Errorf("line %d is not in the INI form of oslo.config", i+1)
		default:
			section[name], option = value, name
		}
	}
	return nil
}

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// cutOption takes one pair of quotes off a value; comments it knows only as whole
// lines (oslo_config/iniparser.py _split_key_value).
func cutOption(line string) (name, value string, ok bool) {
	at := strings.IndexAny(line, ":=")
	if at < 0 {
		return "", "", false
	}
	value = strings.TrimFunc(line[at+1:], isSpace)
	if value != "" && (value[0] == '"' || value[0] == '\'') && value[0] == value[len(value)-1] {
		value = value[1:max(1, len(value)-1)]
	}
	return strings.TrimFunc(line[:at], isSpace), value, true
}

// isSpace is Python's str.isspace.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// groupName is the name by which a section is found (oslo_config/cfg.py _normalize_group_name).
func groupName(section string) string {
	if section == "DEFAULT" {
		return section
	}
	return strings.ToLower(section)
}

// Get returns the option's value with references resolved, and "" if it is not
// set. A reference to what no file sets is an error: where it is an option of
// Nova's, its default is not known here, and else oslo.config refuses it as well.
func (c Config) Get(section, option string) (string, error) {
	left := maxReferences
	value, err := c.resolve(c.sections[groupName(section)][option], section, &left)
	if err != nil {
		return "", fmt.Errorf("read [%s]%s of %s: %w (a dollar sign is written $$)", section, option, c.path, err)
	}
	return value, nil
}

// maxReferences bounds references that go in a circle, and those that multiply on the way.
const maxReferences = 1000

// resolve is ConfigOpts._substitute of oslo_config/cfg.py; left counts the references that are still followed.
func (c Config) resolve(value, section string, left *int) (string, error) {
	var failure error
	resolved := reference.ReplaceAllStringFunc(strings.ReplaceAll(value, `\$`, "$$"), func(match string) string {
		if match == "$$" || failure != nil {
			return "$"
		}
		if *left--; *left < 0 {
			failure = errors.New("its references come to no end")
			return ""
		}
		name := strings.Trim(match, "${}")
		groups := []string{section, "DEFAULT"}
		if group, option, found := strings.Cut(name, "."); found {
			groups, name = []string{group}, option
		}
		for _, group := range groups {
			if raw, found := c.sections[groupName(group)][name]; found {
				var text string
				text, failure = c.resolve(raw, group, left)
				return text
			}
		}
		failure = errors.New("it refers to an option that no file sets")
		return ""
	})
	return resolved, failure
}

// reference is the pattern of ConfigOpts.Template in oslo_config/cfg.py.
var reference = regexp.MustCompile(`(?i)\$\$|\$[_a-z][._a-z0-9]*|\$\{[_a-z][._a-z0-9]*\}`)
