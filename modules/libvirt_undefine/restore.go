package main

import (
	"context"
	"fmt"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
)

// restore reads, judges and, but in check mode, applies, as undefine does, but
// the other way: from a backup to a domain that is defined and off.
func restore(ctx context.Context, call *ansible.Call, libvirt domains, p parameters) (ansible.Answer, error) {
	backedUp, err := readRecord(p.Backup, p.UUID)
	if err != nil {
		return failure(p.Backup.String()+" could not be read", err)
	}
	found, err := readRestoreEvidence(ctx, libvirt, backedUp, p)
	if err != nil {
		return failure("domain "+p.UUID+" could not be read", err)
	}
	result := &answer{Found: found.Domain != nil, Domain: found.before(), Lost: found.Record.Lost}
	planned, reasons := judgeRestore(found, p)
	if len(reasons) > 0 {
		result.Verdict, result.Reasons = refused, reasons
		return result, fmt.Errorf("refused to restore domain %s (%s) from %s: %s", found.Record.Domain.Name, p.UUID, p.Backup,
			strings.Join(reasons, "; "))
	}
	result.Warnings = planned.Warnings
	title := fmt.Sprintf("domain %s (%s)", found.Record.Domain.Name, p.UUID)
	if planned.empty() {
		result.Verdict, result.Msg = present, title+" is there, with all that the backup holds"
		return result, nil
	}
	result.Changed, result.Verdict, result.Restored = true, restorable, planned.restored()
	result.Plan = planned.steps(found.Record.Domain, p.BackupDir)
	result.Msg = fmt.Sprintf("%s: restored %s", title, strings.Join(result.Restored, ", "))
	result.Diff = found.diff(planned)
	if call.Check {
		result.Msg = strings.Replace(result.Msg, ": restored", ": would restore", 1)
		return result, nil
	}
	writes, cancel := call.WithoutInterrupt(ctx)
	defer cancel()
	r := restoration{libvirt: libvirt, p: p, audit: call.Audit}
	err = r.apply(writes, found, planned)
	result.Changed, result.BackupFile = r.changed, r.recordFile
	result.Warnings = append(result.Warnings, r.warnings...)
	if err != nil {
		result.Diff, result.Restored, result.LibvirtCode = nil, nil, libvirtCode(err)
		return result, fmt.Errorf("restore %s from %s: %w", title, p.Backup, err)
	}
	return result, nil
}

// before is the domain as it is, or else as the backup has it.
func (e restoreEvidence) before() *hypervisor.Domain {
	if e.Domain != nil {
		return e.Domain
	}
	return &e.Record.Domain
}

func (e restoreEvidence) diff(planned restorePlan) *ansible.Diff {
	header := "domain " + e.Record.Domain.UUID
	diff := &ansible.Diff{BeforeHeader: header, AfterHeader: header, Before: map[string]any{}, After: map[string]any{}}
	after := e.Record.Domain
	after.ID, after.State, after.Active, after.ManagedSave = -1, "shutoff", false, false
	if e.Domain != nil {
		diff.Before["domain"] = *e.Domain
		after = *e.Domain
		after.Autostart = after.Autostart || planned.Autostart
		after.Snapshots = append(append([]hypervisor.Record{}, after.Snapshots...), planned.Snapshots...)
		after.Checkpoints = append(append([]hypervisor.Record{}, after.Checkpoints...), planned.Checkpoints...)
	}
	after.Persistent = true
	diff.After["domain"] = after
	if len(planned.Files) > 0 {
		var paths []string
		for _, file := range planned.Files {
			paths = append(paths, file.Path)
		}
		diff.After["files"] = paths
	}
	return diff
}
