package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/instancefiles"
	"nova-orphan/internal/step"
)

// openInstances looks for the instances' folders, and returns what closes them.
func (h *host) openInstances() (done func()) {
	done = func() {}
	if hypervisor.IsRemote(h.URI) {
		h.unseen = fmt.Errorf("the instances' folders of the host at %s cannot be seen from here: run it on the hypervisor itself", h.URI)
		return done
	}
	if h.instances, h.unseen = instancefiles.Open(h.call, h.InstancesPath); h.unseen != nil {
		return done
	}
	if h.InstanceFiles == remove {
		h.shared, h.unseen = h.instances.Shared()
	}
	return func() { _ = h.instances.Close() }
}

// readFolders are the instance's; none that is only to be kept is looked into, and that it cannot be seen is told, and no failure.
func (t *task) readFolders() (folders []instancefiles.Content, err error) {
	if t.InstanceFiles == remove {
		if t.unseen != nil {
			return nil, t.unseen
		}
		return t.instances.Contents(t.UUID)
	}
	for _, folder := range t.foldersLeft() {
		folders = append(folders, instancefiles.Content{Folder: folder})
	}
	return folders, nil
}

// foldersLeft are those that are there now.
func (t *task) foldersLeft() []instancefiles.Folder {
	if t.instances == nil {
		return nil // which is told of the call
	}
	found, err := t.instances.Of(t.UUID)
	if err != nil {
		t.Warn("whether folders of the instance stay is not known: " + err.Error())
	}
	return found
}

// undefinedLately says that an earlier run was about to undefine the domain within min_age, by its backup: it was killed, and what
// is fresh in the folders is the guest's.
func (t *task) undefinedLately() bool {
	path, data, err := t.lastRecord()
	if err != nil || path == "" || data.State != "" {
		return false
	}
	info, err := ansible.OnHost(t.call, func() (fs.FileInfo, error) { return os.Stat(path) })
	return err == nil && t.now().Sub(info.ModTime()) < t.minAge()
}

func (p parameters) minAge() time.Duration { return time.Duration(p.MinAge) * time.Second }

// folderObjections are why the folders are not removed. Without a domain, one that is fresh may be that of a build or a migration,
// which makes it before it defines one (nova/virt/libvirt/driver.py _create_image, pre_live_migration).
func (e evidence) folderObjections(p parameters) (reasons []string) {
	if len(e.Folders) > 0 && e.Shared != "" {
		reasons = append(reasons, e.Shared+" (instance_files: keep leaves it)")
	}
	for _, folder := range e.Folders {
		age := e.Now.Sub(folder.Changed)
		switch {
		case folder.Obstacle != "":
			reasons = append(reasons, folder.Obstacle+" (instance_files: keep leaves it)")
		case e.found(), e.Explained, folder.Kind == instancefiles.Deleted, age >= p.minAge():
		default:
			reasons = append(reasons, fmt.Sprintf("%s was written %s ago, as by a build or a migration that has yet to define its domain: it is "+
				"left alone for min_age (%s)", folder.Path, age.Round(time.Second), p.minAge()))
		}
	}
	return reasons
}

// folders says of the domain's plan what goes after it.
func (j *judgement) folders() {
	if j.p.InstanceFiles != remove {
		return
	}
	j.reasons = append(j.reasons, j.folderObjections(j.p)...)
	if j.plan.Gone = j.Folders; len(j.Folders) > 0 {
		j.plan.Removed = append(j.plan.Removed, "instance_files")
		j.plan.Lost = append(j.plan.Lost, lostWith(j.Folders))
	}
}

func lostWith(folders []instancefiles.Content) string {
	return "what is in " + strings.Join(pathsOf(folders), ", ")
}

func removing(folder instancefiles.Content) string { return "remove " + folder.String() }

func pathsOf(folders []instancefiles.Content) (paths []string) {
	for _, folder := range folders {
		paths = append(paths, folder.Path)
	}
	return paths
}

// within says whether a disk is in one of the folders, however the daemon calls the folder that they are in.
func within(folders []instancefiles.Content, disk string) bool {
	return filepath.IsAbs(disk) && slices.ContainsFunc(folders, func(f instancefiles.Content) bool {
		return slices.Contains(components(disk), filepath.Base(f.Path))
	})
}

// over says that there is nothing left to look after.
func (r *removal) over(found evidence) bool {
	return r.acted && !found.found() && (r.InstanceFiles != remove || len(found.Folders) == 0)
}

// planFolders is for where there is no domain, or none any more. nova-compute removes the folders even so.
func (r *removal) planFolders(found evidence) ([]step.Action, error) {
	title, reasons := fmt.Sprintf("there is no domain %s at %s, but its files are in use", r.UUID, r.URI), objections(r.Users)
	reasons = append(reasons, found.Watched...)
	if r.InstanceFiles == remove && len(found.Folders) > 0 {
		title, reasons = "remove the folders of instance "+r.UUID, append(reasons, found.folderObjections(r.parameters)...)
	}
	if !r.Changed {
		r.Msg = fmt.Sprintf("no domain %s at %s", r.UUID, r.URI)
	}
	if len(reasons) > 0 || r.InstanceFiles != remove || len(found.Folders) == 0 {
		return nil, r.refuse(title, reasons)
	}
	if r.gone = found.Folders; !r.Changed { // else they were told with the domain
		r.Plan, r.Removed, r.Lost = nil, []string{"instance_files"}, []string{lostWith(found.Folders)}
		for _, folder := range found.Folders {
			r.Plan = append(r.Plan, removing(folder))
		}
		r.Plan = append(r.Plan, "what no restore brings back: "+r.Lost[0])
		r.Msg = fmt.Sprintf("%s: %s %s", r.Msg, r.done("removed", "remove"), strings.Join(pathsOf(found.Folders), ", "))
		r.Diff = &ansible.Diff{Before: map[string]any{"instance_files": found.Folders}, After: map[string]any{}}
	}
	var actions []step.Action
	for _, folder := range found.Folders {
		actions = append(actions, step.Action{Key: folder.Path, Text: removing(folder), Do: func(context.Context) (bool, error) {
			r.acted = true
			removed, err := r.instances.Remove(folder.Folder)
			if removed {
				r.RemovedFiles = append(r.RemovedFiles, folder)
			}
			return removed, err
		}})
	}
	return actions, nil
}

// tellFolders says at the end which folders are gone, or would be, and which stay.
func (r *removal) tellFolders(failure error) {
	if r.call.Check && failure == nil && len(r.gone) > 0 {
		r.RemovedFiles = r.gone
		return
	}
	for _, folder := range r.foldersLeft() {
		r.LeftBehind = append(r.LeftBehind, folder.Path)
	}
}
