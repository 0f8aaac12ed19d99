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
	"slices"
	"strings"

	"gopkg.in/ini.v1"
)

// Config is what the files say. Its zero value is an empty configuration.
type Config struct {
	file *ini.File
}

// Load reads path and PATH.d/*.conf beside it (/etc/nova/nova.conf.d), in the
// order of their names, as oslo.config's default --config-dir does
// (oslo_config/cfg.py find_config_dirs, _ConfigDirOpt).
func Load(path string) (Config, error) {
	paths := []string{path}
	entries, err := os.ReadDir(path + ".d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".conf") {
			paths = append(paths, filepath.Join(path+".d", entry.Name()))
		}
	}
	slices.Sort(paths[1:])
	file := ini.Empty(ini.LoadOptions{
		AllowPythonMultilineValues: true,
		// oslo.config knows comments only as whole lines: a '#' or ';' in a password is part of it.
		IgnoreInlineComment:       true,
		PreserveSurroundedQuote:   true,
		IgnoreContinuation:        true,
		UnparseableSections:       nil,
		SkipUnrecognizableLines:   false,
		KeyValueDelimiters:        "=:",
		UnescapeValueDoubleQuotes: false,
	})
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
		if err := file.Append(content); err != nil {
			// The library's error quotes the line, which may hold a password.
			return Config{}, fmt.Errorf("read configuration %s: it is not in the INI form of oslo.config", path)
		}
	}
	return Config{file: file}, nil
}

// Get returns the option's value with references resolved, and "" if it is not set.
func (c Config) Get(section, option string) string {
	budget := maxReferences
	return c.get(section, option, 0, &budget)
}

// maxDepth bounds references that go in a circle, and maxReferences those that
// multiply on the way.
const (
	maxDepth      = 8
	maxReferences = 1000
)

func (c Config) get(section, option string, depth int, budget *int) string {
	if c.file == nil || !c.file.HasSection(section) {
		return ""
	}
	// Value, not String: the library would expand Python's %(name)s, which oslo.config does not.
	raw := c.file.Section(section).Key(option).Value()
	if depth == maxDepth {
		return raw
	}
	return reference.ReplaceAllStringFunc(raw, func(match string) string {
		if *budget--; *budget < 0 {
			return match
		}
		if match == "$$" || match == `\$` {
			return "$"
		}
		group, name := section, strings.Trim(match, "${}")
		if before, after, found := strings.Cut(name, "."); found {
			group, name = before, after
		}
		for _, group := range []string{group, "DEFAULT"} {
			if value := c.get(group, name, depth+1, budget); value != "" {
				return value
			}
		}
		// An unknown name stays as it was written, as oslo.config's safe_substitute leaves it.
		return match
	})
}

var reference = regexp.MustCompile(`\$\$|\\\$|\$\{[A-Za-z_]\w*(\.\w+)?\}|\$[A-Za-z_]\w*(\.[A-Za-z_]\w*)?`)
