package main

import (
	"fmt"
	"strings"

	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/instancefiles"
)

// plan is what is done to a domain, decided as a whole before anything is done:
// libvirt removes part of what the flags say before it may refuse the rest.
type plan struct {
	PowerOff   bool
	Undefine   bool // false for a transient domain, which is gone once it is off
	Flags      hypervisor.Flags
	Removed    []string // what goes, in the words of the options
	LeftBehind []string // disks and files that stay
	Lost       []string // what no restore brings back
	BackedUp   []stateFile
	Folders    []entry // of BackedUp
	Gone       []instancefiles.Content
	Warnings   []string
}

// judge decides what to do with a domain, or returns every reason against it.
// Each reason names the option that overrides it, where there is one.
func judge(found evidence, p parameters) (plan, []string) {
	j := newJudgement(found, p)
	j.plan.Undefine = found.Domain.Persistent
	j.plan.Removed = []string{"domain"}
	j.power()
	j.saved()
	j.nvram()
	j.tpm()
	j.reasons = append(append(j.reasons, found.Watched...), objections(found.Usage.users(found.Domain.UUID, p.BackupDir))...)
	j.folders()
	for _, disk := range found.Domain.Disks {
		if !within(j.plan.Gone, disk.Source) {
			j.plan.LeftBehind = append(j.plan.LeftBehind, disk.Source)
		}
	}
	return j.result()
}

// newJudgement begins with whose the domain is, and what no backup of it holds.
func newJudgement(found evidence, p parameters) *judgement {
	j := &judgement{evidence: found, p: p}
	j.identity(found.Domain, p)
	if found.Domain.SecretsDenied {
		j.addUnrecoverable("the passwords of its displays, if it has any, which libvirt denies to this user")
	}
	if found.Domain.Active {
		j.addUnrecoverable("the memory of the guest, which is %s", found.Domain.State)
	}
	return j
}

func (j *judgement) result() (plan, []string) {
	if len(j.reasons) > 0 {
		return plan{}, j.reasons
	}
	j.plan.Warnings = j.warnings
	return j.plan, nil
}

type judgement struct {
	evidence
	remarks
	p    parameters
	plan plan
}

// remarks are what speaks against a step, and what is to be told with it.
type remarks struct{ reasons, warnings []string }

func (r *remarks) refuse(format string, values ...any) {
	r.reasons = append(r.reasons, fmt.Sprintf(format, values...))
}

func (r *remarks) warn(format string, values ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, values...))
}

func (j *judgement) addUnrecoverable(format string, values ...any) {
	j.plan.Lost = append(j.plan.Lost, fmt.Sprintf(format, values...))
}

func (j *judgement) removes(flag hypervisor.Flags, what string) {
	j.plan.Removed = append(j.plan.Removed, what)
	if j.plan.Undefine {
		j.plan.Flags |= flag
	}
}

// identity lists what speaks against the domain's being the one that is meant, and Nova's.
func (r *remarks) identity(domain hypervisor.Domain, p parameters) {
	if p.Name != "" && p.Name != domain.Name {
		r.refuse("its name is %s, not %s: is it the domain you mean? Give its own as name, or leave name out", domain.Name, p.Name)
	}
	nova, project := domain.Nova, p.Projects.Of(domain.UUID)
	switch {
	case nova == nil && !p.AllowForeign:
		r.refuse("it has no Nova metadata, so it is not Nova's domain: allow_foreign: true together with its name overrides this")
	case nova == nil && project != "":
		r.refuse("it has no Nova metadata that could prove project_id %s: leave project_id out", project)
	case nova == nil || project == "":
	case nova.ProjectID == "":
		r.refuse("its Nova metadata names no project, so that it cannot be told whether it belongs to project_id %s: leave project_id out if "+
			"other evidence says so", project)
	case nova.ProjectID != project:
		r.refuse("it belongs to project %s, not to %s: give the right project_id", nova.ProjectID, project)
	}
}

// power never undefines a running domain: libvirt would do it, and leave behind
// a guest that no definition tells of.
func (j *judgement) power() {
	j.plan.PowerOff = j.Domain.Active
	if j.Domain.Active && !j.p.Destroy {
		j.refuse("it is active (%s): destroy: true powers it off first", j.Domain.State)
	}
}

func (j *judgement) saved() {
	isQEMU := j.Domain.Driver == "QEMU"
	switch {
	case j.Domain.ManagedSave && j.p.ManagedSave != remove:
		j.refuse("it has a managed save, the memory of a suspended guest, which is too large to back up: managed_save: remove deletes it")
	case j.Domain.ManagedSave:
		j.addUnrecoverable("the managed save, a suspended guest's memory")
		j.removes(hypervisor.ManagedSave, "managed_save")
	case isQEMU && j.p.ManagedSave == remove && j.plan.Undefine:
		// libvirtd remembers whether there is one, but undefine looks at the disk.
		j.plan.Flags |= hypervisor.ManagedSave
	}
	j.records("snapshots", j.Domain.Snapshots, j.p.SnapshotsMetadata, hypervisor.SnapshotsMetadata)
	j.records("checkpoints", j.Domain.Checkpoints, j.p.CheckpointsMetadata, hypervisor.CheckpointsMetadata)
}

func (j *judgement) records(kind string, records []hypervisor.Record, choice string, flag hypervisor.Flags) {
	if len(records) == 0 {
		return
	}
	if choice != remove {
		j.refuse("libvirt knows %s of it (%s): %[1]s_metadata: remove deletes the records, which go into the backup", kind, recordNames(records))
	}
	j.removes(flag, kind+"_metadata")
}

// nvram: only qemu domains have it, and libvirt wants to be told of each what
// becomes of it. A file that cannot be seen from here is kept rather than lost.
func (j *judgement) nvram() {
	if j.Domain.UEFI == nil || j.Domain.Driver != "QEMU" {
		return
	}
	unseen := j.p.NVRAM == remove && j.NVRAM.missing()
	switch {
	case !j.plan.Undefine: // powering off a transient domain leaves it
		j.addRemaining(j.NVRAM)
	case unseen || j.p.NVRAM == keep:
		j.plan.Flags |= hypervisor.KeepNVRAM
		j.addRemaining(j.NVRAM)
		if path := j.Domain.UEFI.Path; unseen && path != "" {
			j.warn("its UEFI variables %s are not to be seen from here: if they exist, they stay", path)
		}
	default:
		j.copies(j.NVRAM, j.p.NVRAM, "nvram", "UEFI variables", "nvram: keep leaves the file, nvram: discard removes it without a copy")
		j.removes(hypervisor.NVRAM, "nvram")
	}
}

// tpm follows qemu_tpm.c qemuTPMEmulatorCleanupHost: without flags the state goes
// with the domain unless it is persistent; the flags exist since libvirt 8.9.0.
func (j *judgement) tpm() {
	tpm := j.Domain.TPM
	if tpm == nil {
		return
	}
	flags := j.Domain.LibvirtVersion >= hypervisor.WithTPMFlags && j.plan.Undefine
	unseen := j.p.TPM == remove && j.TPM.missing()
	switch {
	case flags && (unseen || j.p.TPM == keep):
		j.plan.Flags |= hypervisor.KeepTPM
		j.addRemaining(j.TPM)
		if unseen {
			j.warn("the state of its TPM is not to be seen in %s: if there is any elsewhere, it stays", swtpmFolder)
		}
	case !flags && tpm.PersistentState:
		if j.p.TPM != keep {
			j.warn("the persistent state of its TPM stays: only an undefine by libvirt 8.9.0 or newer removes it")
		}
		j.addRemaining(j.TPM)
	case j.p.TPM == keep && !j.plan.Undefine:
		j.refuse("it is transient, so that its TPM state goes when it is powered off: tpm: remove backs it up first")
	case j.p.TPM == keep:
		j.refuse("libvirt %s cannot keep the TPM state (8.9.0 can): tpm: remove backs it up first", j.Domain.LibvirtVersion)
	case unseen:
		j.refuse("the state of its TPM is not to be seen in %s, and libvirt would remove it: tpm: discard overrides this", swtpmFolder)
	default:
		j.copies(j.TPM, j.p.TPM, "tpm", "TPM's state", "tpm: discard removes it without a copy")
		j.plan.Removed = append(j.plan.Removed, "tpm")
		if flags {
			j.plan.Flags |= hypervisor.TPM
		}
	}
}

// copies puts into the backup what goes, unless it is to be discarded.
func (j *judgement) copies(state state, choice, option, what, advice string) {
	switch {
	case choice == discard:
		j.addUnrecoverable("the %s, not copied (%s: discard)", what, option)
	case state.Problem != "":
		j.refuse("its %s cannot be backed up: %s: %s", what, state.Problem, advice)
	default:
		j.plan.BackedUp = append(j.plan.BackedUp, state.Files...)
		j.plan.Folders = append(j.plan.Folders, state.Folders...)
	}
}

func (j *judgement) addRemaining(kept state) {
	for _, file := range kept.Files {
		j.plan.LeftBehind = append(j.plan.LeftBehind, file.Path)
	}
}

func recordNames(records []hypervisor.Record) string {
	var names []string
	for _, record := range records {
		names = append(names, record.Name)
	}
	return strings.Join(names, ", ")
}

// steps tells the plan, a step a line.
func (p plan) steps(domain hypervisor.Domain, backupDir string) []string {
	steps := p.saving(backupDir)
	if p.PowerOff {
		steps = append(steps, p.powerOff(domain))
	}
	if p.Undefine {
		steps = append(steps, p.undefine(domain))
	}
	for _, folder := range p.Gone {
		steps = append(steps, removing(folder))
	}
	if len(p.Lost) > 0 {
		steps = append(steps, "what no restore brings back: "+strings.Join(p.Lost, "; "))
	}
	return steps
}

// saving tells what the backup has.
func (p plan) saving(backupDir string) []string {
	steps := []string{fmt.Sprintf("write the definition and what goes with it into a backup under %s", backupDir)}
	for _, file := range p.BackedUp {
		steps = append(steps, "copy "+file.Path+" into the backup")
	}
	return steps
}

func (p plan) powerOff(domain hypervisor.Domain) string {
	return fmt.Sprintf("power off domain %s (%s), which is %s with id %d", domain.Name, domain.UUID, domain.State, domain.ID)
}

func (p plan) undefine(domain hypervisor.Domain) string {
	step := fmt.Sprintf("undefine domain %s (%s)", domain.Name, domain.UUID)
	if names := p.Flags.Names(); len(names) > 0 {
		step += " with " + strings.Join(names, ", ")
	}
	return step
}
