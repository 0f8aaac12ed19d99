package main

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"nova-orphan/internal/osloconf"
)

// resumesGuests tells whether nova-compute, when it starts, starts the guests that are off and that Nova has as running
// (nova/compute/manager.py _resume_guests_state). Which of the files it reads only its command line tells, so that each counts.
func resumesGuests(paths []string) (on bool, unread []string) {
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
			var value string
			if err == nil {
				value, err = readOption(file)
			}
			if err != nil {
				unread = append(unread, err.Error())
			}
			// oslo_config/types.py Boolean
			on = on || slices.Contains([]string{"true", "1", "on", "yes"}, strings.ToLower(value))
			return nil
		})
	}
	return on, unread
}

func readOption(file string) (string, error) {
	config, err := osloconf.Load(file)
	if err != nil {
		return "", err
	}
	return config.Get("DEFAULT", "resume_guests_state_on_host_boot")
}
