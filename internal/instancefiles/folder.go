// Package instancefiles has the folders that Nova makes for instances below instances_path on a compute host: which
// there are, what is in them, and how they are removed. It follows no symbolic link, and touches nothing outside of that folder.
package instancefiles

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"nova-orphan/internal/ansible"
)

// PathOption is the folder of the instances' folders.
var PathOption = ansible.Option{Name: "instances_path", Type: ansible.Path, Default: "/var/lib/nova/instances", Check: ansible.Absolute}

// Folder is one that Nova made for an instance.
type Folder struct {
	Path string `json:"path"`
	UUID string `json:"uuid"`
	Kind string `json:"kind"`
}

// Deleted is the kind of a folder that is being removed, in which nobody makes anything any more.
const Deleted = "deleted"

// kinds of folders, by what Nova appends to the uuid: a resize keeps the instance's old
// folder as UUID_resize until it is confirmed, and UUID_del is being removed
// (nova/virt/libvirt/driver.py migrate_disk_and_power_off, delete_instance_files). The
// folder itself is nova/virt/libvirt/utils.py get_instance_path's. What is being removed comes first.
var kinds = []struct{ suffix, kind string }{{"_del", Deleted}, {"", "instance"}, {"_resize", "resize"}}

var folderName = regexp.MustCompile(`^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(|_resize|_del)$`)

// List lists the instances' folders, links to such, too: who moves a large instance to another disk leaves one. An
// error is that nothing can be said of them.
func List(path string) (found []Folder, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, unlisted(err)
	}
	for _, entry := range entries {
		if name := folderName.FindStringSubmatch(entry.Name()); name != nil && isFolder(entry.Type()) {
			for _, k := range kinds {
				if k.suffix == name[2] {
					found = append(found, Folder{Path: filepath.Join(path, entry.Name()), UUID: name[1], Kind: k.kind})
				}
			}
		}
	}
	return found, nil
}

func isFolder(mode fs.FileMode) bool { return mode&(fs.ModeDir|fs.ModeSymlink) != 0 }

func unlisted(err error) error {
	advice := "give the instances_path of this host's nova.conf"
	if errors.Is(err, fs.ErrPermission) {
		advice = "run it as root (become: true)"
	}
	return fmt.Errorf("list the instances' folders: %w: %s", err, advice)
}

// Host are the instances' folders of this host, held open, so that a path within leads nowhere else.
type Host struct {
	path string
	root *os.Root
	call *ansible.Call
}

// Open opens instances_path, for the call of a module that may be elsewhere than on the host.
func Open(call *ansible.Call, path string) (*Host, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, unlisted(err)
	}
	return &Host{path, root, call}, nil
}

// Close closes it.
func (h *Host) Close() error { return h.root.Close() }

// Of are the folders of an instance, as List has them.
func (h *Host) Of(uuid string) (found []Folder, err error) {
	for _, k := range kinds {
		info, lstatErr := h.root.Lstat(uuid + k.suffix)
		switch {
		case lstatErr == nil && isFolder(info.Mode()):
			found = append(found, Folder{Path: filepath.Join(h.path, uuid+k.suffix), UUID: uuid, Kind: k.kind})
		case lstatErr != nil && !errors.Is(lstatErr, fs.ErrNotExist):
			err = cmp.Or(err, fmt.Errorf("look for the folders of %s: %w", uuid, lstatErr))
		}
	}
	return found, err
}
