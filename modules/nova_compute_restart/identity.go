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

// stays says why nova-compute would not start again: "" where it would. It refuses to where its file does not tell which compute node
// it is, or tells of one that Nova does not have on this host (nova/compute/manager.py _ensure_existing_node_identity,
// _check_for_host_rename), and then the host is out of service until somebody has written it anew.
func (p parameters) stays(conf []string) (why string, err error) {
	if len(p.ComputeIDs) == 0 {
		return "", nil
	}
	const ways = "write the right one (%s) there, or leave the restart out"
	files, seen, found := identityFiles(conf), false, false
	for _, file := range files {
		id, folder, err := readIdentity(file)
		switch {
		case err != nil:
			return "", err
		case id != "" && !slices.Contains(p.ComputeIDs, id):
			return fmt.Sprintf("nova-compute would not start again, since %s names %s, which is no compute node of this host: "+ways,
				file, id, strings.Join(p.ComputeIDs, " or ")), nil
		}
		seen, found = seen || folder, found || id != ""
	}
	if found || !seen { // not seen: as in a container with which libvirtd's shares nothing
		return "", nil
	}
	return fmt.Sprintf("nova-compute would not start again, since none of %s is there: "+ways,
		strings.Join(files, ", "), strings.Join(p.ComputeIDs, " or ")), nil
}

// identityFiles are where nova-compute looks (nova/virt/node.py read_local_node_uuid).
func identityFiles(conf []string) (files []string) {
	states, _ := readOption(conf, "state_path") // what was not read is told already
	if len(states) == 0 {
		states = []string{"/var/lib/nova"}
	}
	var folders []string
	for _, path := range conf {
		if filepath.Ext(path) == ".conf" {
			path = filepath.Dir(path)
		}
		folders = append(folders, path)
	}
	for _, folder := range append(folders, states...) {
		files = append(files, filepath.Join(folder, "compute_id"))
	}
	return files
}

// readIdentity looks on the host, and where libvirtd is, with which nova-compute shares its state if both are in containers.
func readIdentity(file string) (id string, folder bool, err error) {
	look := func() (id string, err error) {
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			_, err = os.Stat(filepath.Dir(file))
		}
		return strings.ToLower(strings.TrimSpace(string(content))), err
	}
	for _, where := range []func() (string, error){look, func() (string, error) {
		there := <-ansible.Go(look)
		return there.Value, there.Err
	}} {
		id, err := where()
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", false, fmt.Errorf("read which compute node nova-compute is: %w", err)
		case id != "":
			return id, true, nil
		default:
			folder = true
		}
	}
	return "", folder, nil
}
