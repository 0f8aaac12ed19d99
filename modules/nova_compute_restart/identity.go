package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
)

// stays says why nova-compute would not start again: "" where it would, or where that is not to be seen. It refuses to where its file does
// not tell which compute node it is, or tells of one that Nova does not have on this host (nova/compute/manager.py
// _ensure_existing_node_identity, _check_for_host_rename), and then the host is out of service until somebody has written it anew.
func (p parameters) stays(call *ansible.Call, conf []string) (why string, err error) {
	if len(p.ComputeIDs) == 0 {
		return "", nil
	}
	states, unread := readOption(conf, "state_path")
	switch {
	case len(states) == 0 && len(unread) > 0:
		return "", nil
	case len(states) == 0:
		states = []string{"/var/lib/nova"}
	}
	ways := fmt.Sprintf("write the right one (%s) there, or leave the restart out", strings.Join(p.ComputeIDs, " or "))
	var files []string
	var seen, found bool
	look := func(folder string, read func(file string) (id string, is bool, err error)) (is bool) {
		file := filepath.Join(folder, "compute_id")
		var id string
		id, is, failed := read(file)
		files, found, err = append(files, file), found || id != "", errors.Join(err, failed)
		if id != "" && !slices.ContainsFunc(p.ComputeIDs, func(known string) bool { return bare(known) == bare(id) }) {
			why = fmt.Sprintf("nova-compute would not start again, since %s names %s, which is no compute node of this host: %s", file, id, ways)
		}
		return is
	}
	// These are where it looks (nova/virt/node.py read_local_node_uuid).
	for _, path := range conf {
		if filepath.Ext(path) == ".conf" {
			path = filepath.Dir(path)
		}
		look(path, readIdentity)
	}
	for _, folder := range states {
		// Two containers share nova's state, where libvirtd has one, and the host has what was there before.
		seen = call.Entered() && look(folder, whereLibvirtIs) || look(folder, readIdentity) || seen
	}
	if why != "" || err != nil || found || !seen {
		return why, err
	}
	return fmt.Sprintf("nova-compute would not start again, since none of %s is there: %s", strings.Join(files, ", "), ways), nil
}

// bare is a UUID as Python's uuid.UUID reads it.
func bare(id string) string { return strings.ReplaceAll(strings.ToLower(id), "-", "") }

// readIdentity also tells whether there is such a folder, so that the file would be seen.
func readIdentity(file string) (id string, is bool, err error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = os.Stat(filepath.Dir(file)); errors.Is(err, fs.ErrNotExist) {
			return "", false, nil
		}
	}
	if err != nil {
		err = fmt.Errorf("read which compute node nova-compute is: %w", err)
	}
	return strings.TrimSpace(string(content)), true, err
}

// whereLibvirtIs leaves the thread that is on the host.
func whereLibvirtIs(file string) (id string, is bool, err error) {
	there := <-ansible.Go(func() (struct{}, error) {
		id, is, err = readIdentity(file)
		return struct{}{}, err
	})
	return id, is, there.Err
}
