package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"nova-orphan/internal/hypervisor"
)

// folder is one that Nova made for an instance.
type folder struct {
	Path string `json:"path"`
	UUID string `json:"uuid"`
	Kind string `json:"kind"`
	// UsedBy are the domains of the host that use something in it.
	UsedBy []string `json:"used_by"`
}

// Kinds of folders, by what Nova appends to the uuid: a resize keeps the instance's old
// folder as UUID_resize until it is confirmed, and UUID_del is being removed
// (nova/virt/libvirt/driver.py migrate_disk_and_power_off, delete_instance_files). The
// folder itself is nova/virt/libvirt/utils.py get_instance_path's.
var kinds = map[string]string{"": "instance", "_resize": "resize", "_del": "deleted"}

var folderName = regexp.MustCompile(`^(` + uuidForm + `)(|_resize|_del)$`)

// readFolders lists the instances' folders. An error is that nothing can be said of them.
func (p parameters) readFolders() (found []folder, err error) {
	if hypervisor.IsRemote(p.URI) {
		return nil, fmt.Errorf("the instances' folders of the host at %s cannot be seen from here: run it on the hypervisor itself", p.URI)
	}
	entries, err := os.ReadDir(p.InstancesPath)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("list the instances' folders: %w: run it as root (become: true)", err)
	case err != nil:
		return nil, fmt.Errorf("list the instances' folders: %w: give the instances_path of this host's nova.conf", err)
	}
	for _, entry := range entries {
		// Who moves a large instance to another disk leaves a link.
		if entry.Type()&(fs.ModeDir|fs.ModeSymlink) != 0 {
			found = append(found, folderOf(filepath.Join(p.InstancesPath, entry.Name()))...)
		}
	}
	return found, nil
}

// folderOf is none where the name is not one that Nova gives an instance's folder.
func folderOf(path string) []folder {
	name := folderName.FindStringSubmatch(filepath.Base(path))
	if name == nil {
		return nil
	}
	return []folder{{Path: path, UUID: name[1], Kind: kinds[name[2]], UsedBy: []string{}}}
}

// withoutDomain are the folders of instances that have no domain in the view. One whose domain could not be read has one.
func withoutDomain(folders []folder, view hypervisor.Overview) []folder {
	here := map[string]bool{}
	for _, domain := range view.Domains {
		here[domain.UUID] = true
	}
	for _, domain := range view.Unread {
		here[domain.UUID] = true
	}
	return slices.DeleteFunc(folders, func(f folder) bool { return here[f.UUID] })
}

// stillThere follows the folder's path. One that has gone since it was listed went with its domain.
func (f folder) stillThere() (target string, ok bool) {
	_, err := os.Lstat(f.Path)
	target, _ = filepath.EvalSymlinks(f.Path) // a link that leads nowhere is there, too
	return target, !errors.Is(err, fs.ErrNotExist)
}
