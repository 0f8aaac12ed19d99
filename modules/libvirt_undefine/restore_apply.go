package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"nova-orphan/internal/hypervisor"
)

// restoration carries a restorePlan out.
type restoration struct {
	libvirt domains
	p       parameters
	audit   func(format string, values ...any)

	changed    bool
	recordFile string
	warnings   []string
}

// apply writes files first: a domain that is defined is there with all it needs.
func (r *restoration) apply(ctx context.Context, found restoreEvidence, planned restorePlan) (err error) {
	domain := found.Record.Domain
	own := record{Restored: r.p.Backup.String(), Plan: planned.steps(domain, r.p.BackupDir)}
	if found.Domain != nil {
		own.Domain, own.XML = *found.Domain, found.Domain.XML
	}
	if r.recordFile, err = writeRecord(r.p, own); err != nil {
		return err
	}
	if err := r.carryOut(ctx, found, planned); err != nil {
		return fmt.Errorf("%w; once that is dealt with, run this again: it goes on from here", err)
	}
	r.audit("restored %s of domain %s (%s) from %s", strings.Join(planned.restored(), ", "), domain.Name, r.p.UUID, r.p.Backup)
	return r.verify(ctx, found, planned)
}

func (r *restoration) carryOut(ctx context.Context, found restoreEvidence, planned restorePlan) error {
	if err := r.writeFiles(planned); err != nil {
		return err
	}
	if planned.Define {
		if err := r.define(ctx, found); err != nil {
			return err
		}
	}
	return r.addRecords(ctx, planned)
}

func (r *restoration) writeFiles(planned restorePlan) error {
	for _, folder := range planned.Folders {
		made, err := makeFolder(folder)
		r.changed = r.changed || made
		if err != nil {
			return err
		}
	}
	for _, file := range planned.Files {
		if err := addFile(file); err != nil {
			return err
		}
		r.changed = true
	}
	return nil
}

// define looks once more, since libvirt would replace a domain that is there.
func (r *restoration) define(ctx context.Context, found restoreEvidence) error {
	now, err := r.libvirt.Domain(ctx, r.p.UUID)
	switch {
	case err != nil && !errors.Is(err, hypervisor.ErrNoDomain):
		return err
	case err == nil && (found.Domain == nil || now.XML != found.Domain.XML):
		return fmt.Errorf("%w, %s", hypervisor.ErrChanged, now.State)
	}
	if err := r.libvirt.Define(ctx, found.Record.XML); err != nil {
		return err
	}
	r.changed = true
	return nil
}

func (r *restoration) addRecords(ctx context.Context, planned restorePlan) error {
	if planned.Autostart {
		if err := r.libvirt.SetAutostart(ctx, r.p.UUID); err != nil {
			return err
		}
		r.changed = true
	}
	for _, snapshot := range planned.Snapshots {
		if err := r.libvirt.DefineSnapshot(ctx, r.p.UUID, snapshot); err != nil {
			return err
		}
		r.changed = true
	}
	for _, checkpoint := range planned.Checkpoints {
		if err := r.libvirt.DefineCheckpoint(ctx, r.p.UUID, checkpoint); err != nil {
			return err
		}
		r.changed = true
	}
	return nil
}

// verify reads back what was restored.
func (r *restoration) verify(ctx context.Context, found restoreEvidence, planned restorePlan) error {
	now, err := r.libvirt.Domain(ctx, r.p.UUID)
	if err != nil {
		return fmt.Errorf("looking at it afterwards failed: %w", err)
	}
	left := restorePlan{
		Define: !now.Persistent, Autostart: planned.Autostart && !now.Autostart,
		Snapshots: lacking(now.Snapshots, planned.Snapshots), Checkpoints: lacking(now.Checkpoints, planned.Checkpoints),
	}
	if !left.empty() {
		return fmt.Errorf("read back, it lacks %s: something else changes it at the same time", strings.Join(left.restored(), ", "))
	}
	difference, err := hypervisor.Difference(now.XML, found.Record.XML)
	if err != nil {
		return err
	}
	// Another release of libvirt fills in other defaults.
	if difference != "" {
		r.warnings = append(r.warnings, "libvirt reads the definition back otherwise than it was: "+difference)
	}
	return nil
}

// makeFolder makes the folder, or finishes making it.
func makeFolder(folder entry) (made bool, err error) {
	err = os.Mkdir(folder.Path, 0o700)
	if made = err == nil; !made && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	handle, err := os.OpenFile(folder.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if err != nil {
		return made, err
	}
	defer handle.Close()
	return made, errors.Join(handle.Chown(folder.UID, folder.GID), handle.Chmod(folder.Mode))
}

// addFile never replaces a file, and one that is there is complete. The folder
// may belong to QEMU's user, so that nothing is done by name to what may be a
// link of that user's making.
func addFile(file stateFile) (err error) {
	folder, prefix := filepath.Dir(file.Path), "."+filepath.Base(file.Path)+".restore-"
	if err = removePartial(folder, prefix); err != nil {
		return err
	}
	partial, err := os.CreateTemp(folder, prefix+"*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(partial.Name()) }()
	defer partial.Close()
	if _, err = partial.Write(file.Content); err != nil {
		return err
	}
	if err = errors.Join(partial.Chown(file.UID, file.GID), partial.Chmod(file.Mode), partial.Sync()); err != nil {
		return err
	}
	return os.Link(partial.Name(), file.Path)
}

// removePartial removes what a run that was killed has left.
func removePartial(folder, prefix string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
