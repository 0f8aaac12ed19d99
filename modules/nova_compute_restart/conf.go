package main

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"nova-orphan/internal/osloconf"
)

// readOption reads what the files say of an option of [DEFAULT]. Which of them nova-compute reads only its command line tells, so that
// each counts.
func readOption(paths []string, option string) (values, unread []string) {
	for _, path := range paths {
		// A folder may be named by a link, which WalkDir does not follow.
		root, err := filepath.EvalSymlinks(path)
		if err != nil {
			unread = append(unread, err.Error())
			continue
		}
		_ = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			if err == nil && (entry.IsDir() || file != root && filepath.Ext(file) != ".conf") {
				return nil
			}
			var config osloconf.Config
			if err == nil {
				config, err = osloconf.Load(file)
			}
			var value string
			if err == nil {
				value, err = config.Get("DEFAULT", option)
			}
			if err != nil {
				unread = append(unread, err.Error())
			} else if value != "" {
				values = append(values, value)
			}
			return nil
		})
	}
	return values, unread
}

// resumesGuests tells whether nova-compute, when it starts, starts the guests that are off and that Nova has as running
// (nova/compute/manager.py _resume_guests_state).
func resumesGuests(paths []string) (on bool, unread []string) {
	values, unread := readOption(paths, "resume_guests_state_on_host_boot")
	return slices.ContainsFunc(values, func(value string) bool {
		// oslo_config/types.py Boolean
		return slices.Contains([]string{"true", "1", "on", "yes"}, strings.ToLower(value))
	}), unread
}
