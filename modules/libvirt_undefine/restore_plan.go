package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/step"
)

// restorePlan is what of a backup is not there: a restore that was cut off is
// finished by the next.
type restorePlan struct {
	Folders   []entry // of Files
	Files     []stateFile
	Warnings  []string
	FileParts []part
	Parts     []part
}

// part is something to put back; its name is that of an option where there is one.
type part struct {
	name, text string
	do         doing
}

// doing says whether it changed something, even if not all.
type doing func(context.Context, hypervisor.Libvirt) (changed bool, err error)

// judgeRestore decides what to put back, or returns every reason against it.
// Nothing that is there now is replaced.
func judgeRestore(found restoreEvidence, p parameters) (restorePlan, []string) {
	j := restoreJudgement{restoreEvidence: found, p: p}
	j.identity(found.Record.Domain, p)
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

func (j *restoreJudgement) add(name, text string, do doing) {
	j.plan.Parts = append(j.plan.Parts, part{name, text, do})
}

func (j *restoreJudgement) domain() {
	then, now := j.Record.Domain, hypervisor.Domain{}
	if j.Domain != nil {
		now = *j.Domain
	}
	switch {
	case j.Difference != "" && j.Defined: // another release of libvirt fills in other defaults
		j.warn("libvirt reads the definition back otherwise than it was: %s", j.Difference)
	case j.Difference != "":
		j.refuse("there is a domain of its uuid with another definition (%s, where the backup has %s): "+
			"undefine that one first, which backs it up", now.Name, j.Difference)
	}
	// One that runs without its definition, as after a race with undefine, gets it back.
	if !now.Persistent {
		j.add("domain", fmt.Sprintf("define domain %s (%s), without starting it", then.Name, then.UUID), j.define)
		if !then.Persistent {
			j.warn("it had no definition (it was transient): it gets one now")
		}
	}
	if then.Autostart && !now.Autostart {
		j.add("autostart", "let libvirt start it with the host, as before", func(ctx context.Context, libvirt hypervisor.Libvirt) (bool, error) {
			err := libvirt.SetAutostart(ctx, then.UUID)
			return err == nil, err
		})
	}
	j.records("snapshots", now.Snapshots, then.Snapshots, hypervisor.Libvirt.DefineSnapshot)
	j.records("checkpoints", now.Checkpoints, then.Checkpoints, hypervisor.Libvirt.DefineCheckpoint)
}

// define looks once more, since libvirt would replace a domain that is there.
func (j *restoreJudgement) define(ctx context.Context, libvirt hypervisor.Libvirt) (bool, error) {
	now, err := libvirt.Domain(ctx, j.Record.Domain.UUID)
	switch {
	case unlessNoDomain(err) != nil:
		return false, err
	case err == nil && (j.Domain == nil || now.XML != j.Domain.XML):
		return false, fmt.Errorf("%w, %s", hypervisor.ErrChanged, now.State)
	}
	err = libvirt.Define(ctx, j.Record.XML)
	return err == nil, err
}

// records adds those that are lacking, parents before their children.
func (j *restoreJudgement) records(kind string, now, then []hypervisor.Record,
	define func(hypervisor.Libvirt, context.Context, string, hypervisor.Record) error) {
	left := lacking(now, then)
	if len(left) == 0 {
		return
	}
	j.add(kind+"_metadata", fmt.Sprintf("define the records of its %s again: %s", kind, recordNames(left)),
		func(ctx context.Context, libvirt hypervisor.Libvirt) (changed bool, err error) {
			for _, record := range left {
				if err := define(libvirt, ctx, j.Record.Domain.UUID, record); err != nil {
					return changed, err
				}
				changed = true
			}
			return changed, nil
		})
}

func lacking(now, then []hypervisor.Record) []hypervisor.Record {
	return slices.DeleteFunc(slices.Clone(then), func(record hypervisor.Record) bool {
		return slices.ContainsFunc(now, func(r hypervisor.Record) bool { return r.Name == record.Name })
	})
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
	for _, folder := range j.Record.Folders {
		if !ofTPM(folder.Path) {
			j.refuse("the backup has a folder that is none of the domain's, %s: is it damaged, or of another uri?", folder.Path)
		}
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
		case file.Path == nvram:
			j.addFile("nvram", file.stateFile)
		default:
			j.addFile("tpm", file.stateFile)
		}
	}
}

func (j *restoreJudgement) addFile(name string, file stateFile) {
	var folders []entry
	if name == "tpm" && j.plan.Folders == nil {
		folders = j.Record.Folders
		j.plan.Folders = folders
	}
	j.plan.Files = append(j.plan.Files, file)
	j.plan.FileParts = append(j.plan.FileParts, part{name, "write " + file.Path + " from the backup",
		func(context.Context, hypervisor.Libvirt) (changed bool, err error) {
			for _, folder := range folders {
				made, err := makeFolder(folder)
				if changed = changed || made; err != nil {
					return changed, err
				}
			}
			err = addFile(file)
			return changed || err == nil, err
		}})
}

// restored names what comes back, in the words of the options.
func (p restorePlan) restored() (names []string) {
	for _, part := range slices.Concat(p.Parts, p.FileParts) {
		if !slices.Contains(names, part.name) {
			names = append(names, part.name)
		}
	}
	return names
}

// steps tells the plan, a step a line. Files come first: a domain that is defined is there with all it needs.
func (p restorePlan) steps(backupDir string) []string {
	steps := []string{"write a record of this restore under " + backupDir}
	for _, part := range slices.Concat(p.FileParts, p.Parts) {
		steps = append(steps, part.text)
	}
	return steps
}

func (r *restoration) actions(planned restorePlan) (actions []step.Action) {
	for _, part := range slices.Concat(planned.FileParts, planned.Parts) {
		actions = append(actions, step.Action{Key: part.text, Text: part.text, Do: func(ctx context.Context) (bool, error) {
			changed, err := part.do(ctx, r.libvirt)
			if err != nil {
				return changed, fmt.Errorf("restore %s from %s: %w; once that is dealt with, run this again: it goes on from here",
					r.title(), r.Backup, err)
			}
			r.defined = r.defined || part.name == "domain"
			return changed, nil
		}})
	}
	return actions
}
