package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/instancefiles"
)

// folder is one that Nova made for an instance.
type folder struct {
	instancefiles.Folder
	// UsedBy are the domains of the host that use something in it.
	UsedBy []string `json:"used_by"`
}

// readFolders lists the instances' folders. An error is that nothing can be said of them.
func (p parameters) readFolders() (found []folder, err error) {
	if hypervisor.IsRemote(p.URI) {
		return nil, fmt.Errorf("the instances' folders of the host at %s cannot be seen from here: run it on the hypervisor itself", p.URI)
	}
	listed, err := instancefiles.List(p.InstancesPath)
	for _, one := range listed {
		found = append(found, folder{one, []string{}})
	}
	return found, err
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
