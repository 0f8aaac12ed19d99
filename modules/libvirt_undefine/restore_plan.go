package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"nova-orphan/internal/hypervisor"
)

// restorePlan is what of a backup is not there: a restore that was cut off is
// finished by the next.
type restorePlan struct {
	Define      bool
	Folders     []entry
	Files       []stateFile
	NVRAM, TPM  bool // whose Files are
	Autostart   bool
	Snapshots   []hypervisor.Record // parents before their children
	Checkpoints []hypervisor.Record
	Warnings    []string
}

// judgeRestore decides what to put back, or returns every reason against it.
// Nothing that is there now is replaced.
func judgeRestore(found restoreEvidence, p parameters) (restorePlan, []string) {
	j := restoreJudgement{restoreEvidence: found, p: p, remarks: remarks{reasons: identity(found.Record.Domain, p)}}
	j.domain()
	j.files()
	if found.NameOwner != "" {
		j.refuse("domain %s has its name %s: undefine or rename that one first", found.NameOwner, found.Record.Domain.Name)
	}
	if len(found.Gone) > 0 {
		j.refuse("files that it cannot start without are gone since the backup: %s: put them back first", strings.Join(found.Gone, ", "))
	}
	if len(found.Record.Lost) > 0 {
		j.warn("what was not in the backup did not come back: %s", strings.Join(found.Record.Lost, "; "))
	}
	if len(j.reasons) > 0 {
		return restorePlan{}, j.reasons
	}
	j.plan.Warnings = j.warnings
	return j.plan, nil
}

type restoreJudgement struct {
	restoreEvidence
	remarks
	p    parameters
	plan restorePlan
}

func (j *restoreJudgement) domain() {
	then, now := j.Record.Domain, hypervisor.Domain{}
	if j.Domain != nil {
		now = *j.Domain
	}
	if j.Difference != "" {
		j.refuse("there is a domain of its uuid with another definition (%s, where the backup has %s): "+
			"undefine that one first, which backs it up", now.Name, j.Difference)
	}
	// One that runs without its definition, as after a race with undefine, gets it back.
	j.plan.Define = !now.Persistent
	if j.plan.Define && !then.Persistent {
		j.warn("it had no definition (it was transient): it gets one now")
	}
	j.plan.Autostart = then.Autostart && !now.Autostart
	j.plan.Snapshots = lacking(now.Snapshots, then.Snapshots)
	j.plan.Checkpoints = lacking(now.Checkpoints, then.Checkpoints)
}

func lacking(now, then []hypervisor.Record) (records []hypervisor.Record) {
	for _, record := range then {
		if !slices.ContainsFunc(now, func(r hypervisor.Record) bool { return r.Name == record.Name }) {
			records = append(records, record)
		}
	}
	return records
}

// variables are the ends of the names that libvirt gives to files of UEFI variables
// (qemu_domain.c qemuDomainNVRAMPathFormat): a backup that was tampered with must not
// have another file written by calling it so.
var variables = []string{".fd", ".qcow2"}

// files takes from the backup only the domain's own UEFI variables and TPM
// state, wherever else its paths may point.
func (j *restoreJudgement) files() {
	domain := j.Record.Domain
	nvram, tpm := nvramPath(domain, j.p.URI), filepath.Join(swtpmFolder, domain.UUID)
	ofTPM := func(path string) bool {
		return domain.TPM != nil && isSystem(j.p.URI) && filepath.Clean(path) == path && strings.HasPrefix(path+"/", tpm+"/")
	}
	for i, file := range j.Record.Files {
		now := j.Files[i]
		switch {
		case !ofTPM(file.Path) && (file.Path != nvram || !slices.Contains(variables, filepath.Ext(nvram))):
			j.refuse("the backup has a file that is none of the domain's, %s: is it damaged, or of another uri?", file.Path)
		case now.Problem != "":
			j.refuse("it cannot be told whether %s is there: %s", file.Path, now.Problem)
		case now.There && (now.Same || j.Domain != nil): // one that is defined may have run since
		case now.There:
			j.refuse("%s is there with another content: move it away first", file.Path)
		default:
			j.plan.Files = append(j.plan.Files, file.stateFile)
			j.plan.NVRAM = j.plan.NVRAM || file.Path == nvram
			j.plan.TPM = j.plan.TPM || file.Path != nvram
		}
	}
	for _, folder := range j.Record.Folders {
		if !ofTPM(folder.Path) {
			j.refuse("the backup has a folder that is none of the domain's, %s: is it damaged, or of another uri?", folder.Path)
		}
	}
	if j.plan.TPM {
		j.plan.Folders = j.Record.Folders
	}
}

func (p restorePlan) empty() bool { return len(p.restored()) == 0 }

// restored names what comes back, in the words of the options.
func (p restorePlan) restored() (names []string) {
	for _, part := range []struct {
		name string
		is   bool
	}{
		{"domain", p.Define}, {"autostart", p.Autostart}, {"snapshots_metadata", len(p.Snapshots) > 0},
		{"checkpoints_metadata", len(p.Checkpoints) > 0}, {"nvram", p.NVRAM}, {"tpm", p.TPM},
	} {
		if part.is {
			names = append(names, part.name)
		}
	}
	return names
}

// steps tells the plan, a step a line.
func (p restorePlan) steps(domain hypervisor.Domain, backupDir string) []string {
	steps := []string{"write a record of this restore under " + backupDir}
	for _, file := range p.Files {
		steps = append(steps, "write "+file.Path+" from the backup")
	}
	if p.Define {
		steps = append(steps, fmt.Sprintf("define domain %s (%s), without starting it", domain.Name, domain.UUID))
	}
	if p.Autostart {
		steps = append(steps, "let libvirt start it with the host, as before")
	}
	if names := recordNames(p.Snapshots); names != "" {
		steps = append(steps, "define the records of its snapshots again: "+names)
	}
	if names := recordNames(p.Checkpoints); names != "" {
		steps = append(steps, "define the records of its checkpoints again: "+names)
	}
	return steps
}
