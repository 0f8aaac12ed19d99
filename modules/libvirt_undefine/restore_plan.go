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
	do         func(context.Context, hypervisor.Libvirt) error
}

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

func (j *restoreJudgement) add(name, text string, do func(context.Context, hypervisor.Libvirt) error) {
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
		j.add("autostart", "let libvirt start it with the host, as before", func(ctx context.Context, libvirt hypervisor.Libvirt) error {
			return libvirt.SetAutostart(ctx, then.UUID)
		})
	}
	j.records("snapshot", now.Snapshots, then.Snapshots, hypervisor.Libvirt.DefineSnapshot)
	j.records("checkpoint", now.Checkpoints, then.Checkpoints, hypervisor.Libvirt.DefineCheckpoint)
}

// define looks once more, since libvirt would replace a domain that is there.
func (j *restoreJudgement) define(ctx context.Context, libvirt hypervisor.Libvirt) error {
	now, err := libvirt.Domain(ctx, j.Record.Domain.UUID)
	switch {
	case unlessNoDomain(err) != nil:
		return err
	case err == nil && (j.Domain == nil || now.XML != j.Domain.XML):
		return fmt.Errorf("%w, %s", hypervisor.ErrChanged, now.State)
	}
	return libvirt.Define(ctx, j.Record.XML)
}

// records adds those that are lacking, parents before their children.
func (j *restoreJudgement) records(kind string, now, then []hypervisor.Record,
	define func(hypervisor.Libvirt, context.Context, string, hypervisor.Record) error) {
	for _, record := range lacking(now, then) {
		j.add(kind+"s_metadata", fmt.Sprintf("define the record of its %s %s again", kind, record.Name),
			func(ctx context.Context, libvirt hypervisor.Libvirt) error {
				return define(libvirt, ctx, j.Record.Domain.UUID, record)
			})
	}
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
	add := func(text string, write func() error) {
		j.plan.FileParts = append(j.plan.FileParts, part{name, text, func(context.Context, hypervisor.Libvirt) error { return write() }})
	}
	if name == "tpm" && j.plan.Folders == nil {
		j.plan.Folders = j.Record.Folders
		for _, folder := range j.Record.Folders {
			add("make the folder "+folder.Path, func() error { return makeFolder(folder) })
		}
	}
	j.plan.Files = append(j.plan.Files, file)
	add("write "+file.Path+" from the backup", func() error { return addFile(file) })
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
			if err := part.do(ctx, r.libvirt); err != nil {
				return false, fmt.Errorf("restore %s from %s: %w; once that is dealt with, run this again: it goes on from here",
					r.title(), r.Backup, err)
			}
			r.defined = r.defined || part.name == "domain"
			return true, nil
		}})
	}
	return actions
}
