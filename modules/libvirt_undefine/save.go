package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
)

// save writes the backup that an undefine would, and does nothing else: for what
// nova-compute is about to remove, which makes none.
func save(ctx context.Context, call *ansible.Call, libvirt domains, p parameters) (ansible.Answer, error) {
	found, err := readDomain(ctx, libvirt, p)
	if errors.Is(err, hypervisor.ErrNoDomain) {
		return &answer{Result: ansible.Result{
			Verdict: absent,
			Msg:     fmt.Sprintf("no domain %s at %s, so that there is nothing to write down", p.UUID, p.URI),
		}}, nil
	}
	if err != nil {
		return failure("domain "+p.UUID+" could not be read", err)
	}
	result := &answer{Found: true, Domain: &found.Domain}
	planned, reasons := judgeSave(found, p)
	if len(reasons) > 0 {
		result.Verdict, result.Reasons = refused, reasons
		return result, fmt.Errorf("refused to write down domain %s (%s): %s", found.Domain.Name, p.UUID, strings.Join(reasons, "; "))
	}
	data, err := newRecord(found, planned)
	if err != nil {
		return failure("domain "+p.UUID+" could not be written down", err)
	}
	data.State = written
	result.Warnings, result.Lost = planned.Warnings, planned.Lost
	title := fmt.Sprintf("domain %s (%s)", found.Domain.Name, p.UUID)
	if result.BackupFile = sameBackup(p, *data); result.BackupFile != "" {
		result.Verdict, result.Msg = written, title+" is written down as it is in "+result.BackupFile
		return result, nil
	}
	result.Changed, result.Verdict, result.Plan = true, savable, planned.saving(p.BackupDir)
	if call.Check {
		result.Msg = title + ": would write it down"
		return result, nil
	}
	if result.BackupFile, err = writeRecord(p, data); err != nil {
		result.Changed = false
		return result, err
	}
	result.Msg = title + ": written down in " + result.BackupFile
	return result, nil
}

// judgeSave decides what the backup holds. What an undefine could keep goes into it,
// too, since nova-compute asks nobody; what is not copied is lost.
func judgeSave(found evidence, p parameters) (plan, []string) {
	j := judgement{evidence: found, p: p}
	j.reasons = identity(found.Domain, p)
	j.plan.Lost = []string{}
	if found.Domain.SecretsDenied {
		j.addUnrecoverable("the passwords of its displays, if it has any, which libvirt denies to this user")
	}
	if found.Domain.Active {
		j.addUnrecoverable("the memory of the guest, which is %s", found.Domain.State)
	}
	if found.Domain.ManagedSave {
		j.addUnrecoverable("the managed save, a suspended guest's memory")
	}
	if uefi := found.Domain.UEFI; uefi != nil && found.Domain.Driver == "QEMU" {
		j.copies(found.NVRAM, p.NVRAM, "UEFI variables", "nvram")
		if found.Domain.Active && len(found.NVRAM.Files) > 0 {
			j.warn("its UEFI variables were copied while it is on: the guest may change them yet")
		}
	}
	if found.Domain.TPM != nil {
		j.copies(found.TPM, p.TPM, "state of its TPM", "tpm")
	}
	if len(j.reasons) > 0 {
		return plan{}, j.reasons
	}
	j.plan.Warnings = j.warnings
	return j.plan, nil
}

func (j *judgement) copies(state state, choice, what, option string) {
	switch {
	case choice == discard:
		j.addUnrecoverable("the %s, which was not copied (%s: discard)", what, option)
	case state.Problem != "":
		j.refuse("its %s cannot be backed up: %s: %s: discard leaves it out", what, state.Problem, option)
	case state.missing():
		j.warn("of its %s nothing is to be seen from here: if there is any, it is not in the backup", what)
	default:
		j.plan.BackedUp = append(j.plan.BackedUp, state.Files...)
		j.plan.Folders = append(j.plan.Folders, state.Folders...)
	}
}

// saving tells the plan, a step a line.
func (p plan) saving(backupDir string) []string {
	steps := []string{fmt.Sprintf("write the definition and what goes with it into a backup under %s", backupDir)}
	for _, file := range p.BackedUp {
		steps = append(steps, "copy "+file.Path+" into the backup")
	}
	return steps
}

// sameBackup returns the last backup if it is one of this kind that says the same. One
// that cannot be read is not, and stays beside the new one.
func sameBackup(p parameters, data record) string {
	files, err := backup.Earlier(p.BackupDir, p.UUID, moduleName)
	if err != nil || len(files) == 0 {
		return ""
	}
	last := files[len(files)-1]
	earlier, err := readRecord(backup.Source{File: last}, p.UUID)
	if err != nil || !earlier.sameAs(data) || !slices.Equal(earlier.Lost, data.Lost) || earlier.Domain.Active != data.Domain.Active {
		return ""
	}
	return last
}
