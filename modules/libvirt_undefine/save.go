package main

import (
	"context"
	"fmt"
	"slices"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/orphan"
)

// save writes the backup that an undefine would, and does nothing else: for what
// nova-compute is about to remove, which makes none.
func (t *task) save(ctx context.Context) error {
	found, err := t.readDomain(ctx)
	if err != nil {
		t.Verdict = orphan.Unknown
		return err
	}
	if t.Verdict = found.verdict(t.parameters, nil); !found.found() {
		t.Msg = fmt.Sprintf("no domain %s at %s, so that there is nothing to write down", t.UUID, t.URI)
		return nil
	}
	t.Found, t.Domain = true, &found.Domain
	title := fmt.Sprintf("domain %s (%s)", found.Domain.Name, t.UUID)
	planned, reasons := judgeSave(found, t.parameters)
	if len(reasons) > 0 {
		return t.refuse("write down "+title, reasons)
	}
	data, err := newRecord(found, planned)
	if err != nil {
		return err
	}
	data.State = written
	t.Warnings, t.Lost = planned.Warnings, planned.Lost
	if t.BackupFile = t.sameBackup(*data); t.BackupFile != "" {
		t.Msg = title + " is written down as it is in " + t.BackupFile
		return nil
	}
	t.Plan = planned.saving(t.BackupDir)
	if t.call.Check {
		t.Changed, t.Msg = true, title+": would write it down"
		return nil
	}
	if err := t.writeBackup(backup.Definition, data); err != nil {
		return err
	}
	t.Changed, t.Msg = true, title+": written down in "+t.BackupFile
	return nil
}

// judgeSave decides what the backup holds. What an undefine could keep goes into it,
// too, since nova-compute asks nobody; what is not copied is lost.
func judgeSave(found evidence, p parameters) (plan, []string) {
	j := newJudgement(found, p)
	if found.Domain.ManagedSave {
		j.addUnrecoverable("the managed save, a suspended guest's memory")
	}
	if found.Domain.UEFI != nil && found.Domain.Driver == "QEMU" {
		j.saves(found.NVRAM, p.NVRAM, "nvram", "UEFI variables")
		if found.Domain.Active && len(found.NVRAM.Files) > 0 {
			j.warn("its UEFI variables were copied while it is on: the guest may change them yet")
		}
	}
	if found.Domain.TPM != nil {
		j.saves(found.TPM, p.TPM, "tpm", "TPM's state")
	}
	return j.result()
}

func (j *judgement) saves(state state, choice, option, what string) {
	if choice != discard && state.missing() {
		j.warn("of its %s nothing is to be seen from here: if there is any, it is not in the backup", what)
		return
	}
	j.copies(state, choice, option, what, option+": discard leaves it out")
}

// sameBackup returns the last backup if it is one of this kind that says the same. One
// that cannot be read is not, and stays beside the new one.
func (t *task) sameBackup(data record) string {
	last, earlier, err := t.lastRecord()
	if err != nil || !earlier.sameAs(data) || !slices.Equal(earlier.Lost, data.Lost) || earlier.Domain.Active != data.Domain.Active {
		return ""
	}
	return last
}
