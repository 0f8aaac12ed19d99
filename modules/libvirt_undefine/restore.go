package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

// restoration goes from a backup to a domain that is defined and off.
type restoration struct {
	*task
	record  record
	planned restorePlan
	// told says that the answer has the plan, defined that the domain was defined by now.
	told, defined bool
}

func (r *restoration) run(ctx context.Context) (err error) {
	if r.record, err = readRecord(r.call, r.Backup, r.UUID); err != nil {
		r.Verdict, r.reading = orphan.Unknown, r.Backup.String()
		return err
	}
	loop := step.Loop[restoreEvidence]{
		Call: r.call, Answer: &r.Answer, Subject: "domain " + r.UUID, Tries: attempts,
		Read: r.read, Plan: r.plan, Save: r.save, Pause: noPause,
		Uncertain: func(err error) bool { return errors.Is(err, hypervisor.ErrUnreachable) },
		Again:     func(error) bool { return false },
	}
	if err = loop.Run(ctx); err != nil {
		r.Diff, r.Restored = nil, nil
		return err
	}
	if r.BackupFile == "" {
		return nil
	}
	_, noted := ansible.OnHost(r.call, func() (struct{}, error) { return struct{}{}, backup.Restored(r.BackupFile) })
	if noted != nil {
		r.Warn("it was put back, and its record does not say so: " + noted.Error())
	}
	return nil
}

func (r *restoration) title() string {
	return fmt.Sprintf("domain %s (%s)", r.record.Domain.Name, r.UUID)
}

func (r *restoration) plan(found restoreEvidence) ([]step.Action, error) {
	planned, reasons := judgeRestore(found, r.parameters)
	r.planned = planned
	if !r.told {
		r.Found, r.Domain, r.Lost = found.Domain != nil, cmp.Or(found.Domain, &r.record.Domain), r.record.Lost
		r.Verdict = evidence{Domain: r.record.Domain}.verdict(r.parameters, nil)
	}
	if len(reasons) > 0 {
		return nil, r.refuse(fmt.Sprintf("restore %s from %s", r.title(), r.Backup), reasons)
	}
	for _, warning := range planned.Warnings {
		r.Warn(warning)
	}
	actions := r.actions(planned)
	if !r.told {
		r.tell(found, planned)
	}
	return actions, nil
}

func (r *restoration) tell(found restoreEvidence, planned restorePlan) {
	r.told, r.Restored = true, planned.restored()
	if len(r.Restored) == 0 {
		r.Msg = r.title() + " is there, with all that the backup holds"
		return
	}
	r.Msg = fmt.Sprintf("%s: %s %s", r.title(), r.done("restored", "restore"), strings.Join(r.Restored, ", "))
	r.Plan, r.Diff = planned.steps(r.BackupDir), found.diff(planned)
}

// save writes the restore's own record.
func (r *restoration) save(found restoreEvidence) error {
	own := record{Restored: r.Backup.String(), Plan: r.planned.steps(r.BackupDir)}
	if found.Domain != nil {
		own.Domain, own.XML = *found.Domain, found.Domain.XML
	}
	return r.writeBackup(backup.Restoring, own)
}

// restoreEvidence is all that the judgement of a restore rests on.
type restoreEvidence struct {
	Record record
	// Domain is the one with the backup's uuid that is there now; nil is none.
	Domain *hypervisor.Domain
	// Defined says that it was this restore that defined it.
	Defined bool
	// Difference is the first between its definition and the backup's.
	Difference string
	// NameOwner is the uuid of another domain that has the backup's name.
	NameOwner string
	Files     []fileNow // in the order of Record.Files
	// Gone are files that the domain cannot start without and that were there
	// when the backup was written.
	Gone []string
}

// fileNow compares a file of the backup with what is at its path.
type fileNow struct {
	There, Same bool
	Problem     string // why it cannot be told, if so
}

func (r *restoration) read(ctx context.Context) (restoreEvidence, error) {
	found := restoreEvidence{Record: r.record, Defined: r.defined}
	domain, err := r.libvirt.Domain(ctx, r.UUID)
	if err == nil {
		found.Domain = &domain
		found.Difference, err = hypervisor.Difference(domain.XML, r.record.XML)
	}
	if unlessNoDomain(err) != nil {
		return found, err
	}
	owner, err := r.libvirt.Named(ctx, r.record.Domain.Name)
	if unlessNoDomain(err) != nil {
		return found, fmt.Errorf("is the name of domain %s free? %w", r.UUID, err)
	}
	if owner != r.UUID {
		found.NameOwner = owner
	}
	for _, file := range r.record.Files {
		found.Files = append(found.Files, look(file.stateFile))
	}
	for _, path := range missingFiles(r.record.Domain.Definition, r.URI) {
		if !slices.Contains(r.record.Missing, path) {
			found.Gone = append(found.Gone, path)
		}
	}
	return found, nil
}

func look(file stateFile) fileNow {
	info, err := os.Lstat(file.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fileNow{}
	case err != nil:
		return fileNow{Problem: err.Error()}
	case info.Size() != int64(len(file.Content)):
		return fileNow{There: true}
	}
	content, err := os.ReadFile(file.Path)
	if err != nil {
		return fileNow{Problem: err.Error()}
	}
	return fileNow{There: true, Same: bytes.Equal(content, file.Content)}
}

func (e restoreEvidence) diff(planned restorePlan) *ansible.Diff {
	diff := &ansible.Diff{Before: map[string]any{}, After: map[string]any{}}
	after := e.Record.Domain
	after.ID, after.State, after.Active, after.ManagedSave = -1, "shutoff", false, false
	if e.Domain != nil {
		diff.Before["domain"] = *e.Domain
		after = *e.Domain
		after.Autostart = after.Autostart || e.Record.Domain.Autostart
		after.Snapshots = slices.Concat(after.Snapshots, lacking(after.Snapshots, e.Record.Domain.Snapshots))
		after.Checkpoints = slices.Concat(after.Checkpoints, lacking(after.Checkpoints, e.Record.Domain.Checkpoints))
	}
	after.Persistent = true
	diff.After["domain"] = after
	var paths []string
	for _, file := range planned.Files {
		paths = append(paths, file.Path)
	}
	if len(paths) > 0 {
		diff.After["files"] = paths
	}
	return diff
}
