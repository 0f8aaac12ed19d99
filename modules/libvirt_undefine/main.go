// Command libvirt_undefine is the Ansible module that removes the domains that
// instances have left behind on their hypervisor.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/instancefiles"
	"nova-orphan/internal/step"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module)) }

var module = ansible.Module{
	Name: moduleName,
	Each: "uuid",
	Options: []ansible.Option{
		{Name: "uuid", Aliases: []string{"instance_uuid", "uuids", "instance_uuids"}, Type: ansible.List, Elements: ansible.Str,
			Required: true, Check: ansible.UUID},
		{Name: "state", Type: ansible.Str, Default: absent, Choices: []string{absent, present, written}},
		backup.FileOption,
		backup.ContentOption,
		{Name: "name", Aliases: []string{"guest"}, Type: ansible.Str},
		{Name: "project_id", Type: ansible.Raw, Check: step.AllOrEach(ansible.UUID, project)},
		{Name: "allow_foreign", Type: ansible.Bool, Default: false},
		{Name: "destroy", Type: ansible.Bool, Default: false},
		{Name: "managed_save", Type: ansible.Str, Default: refuse, Choices: []string{refuse, remove}},
		{Name: "snapshots_metadata", Type: ansible.Str, Default: remove, Choices: []string{remove, refuse}},
		{Name: "checkpoints_metadata", Type: ansible.Str, Default: remove, Choices: []string{remove, refuse}},
		{Name: "nvram", Type: ansible.Str, Default: remove, Choices: []string{remove, keep, discard}},
		{Name: "tpm", Type: ansible.Str, Default: remove, Choices: []string{remove, keep, discard}},
		{Name: "instance_files", Type: ansible.Str, Default: keep, Choices: []string{keep, remove}},
		instancefiles.PathOption,
		{Name: "min_age", Type: ansible.Int, Default: 3600, Check: ansible.Between(0, 366*24*60*60)},
		{Name: "rbd", Type: ansible.List, Elements: ansible.Str, AllowEmpty: true},
		{Name: "running_elsewhere", Type: ansible.List, Elements: ansible.Str, AllowEmpty: true, Check: ansible.UUID},
		{Name: "uri", Type: ansible.Str, Default: systemURI},
		step.BackupDir,
		ansible.Timeout,
	},
	Rules: append(backup.SourceRules(present, "uuid"),
		// A domain without Nova's metadata is named twice, by uuid and by name.
		ansible.RequiredIf("allow_foreign", true, "name"),
		ofOneDomain("name"), ofOneDomain(backup.FileOption.Name),
	),
	Inside: hypervisor.Inside,
	Run:    run,
}

const (
	moduleName = "libvirt_undefine"
	systemURI  = "qemu:///system"

	// Of the option state:
	absent  = "absent"
	present = "present"
	written = "saved"
)

// What is done with what belongs to a domain.
const (
	refuse  = "refuse"
	remove  = "remove"  // what is lost goes into the backup first
	keep    = "keep"    // the file stays where it is
	discard = "discard" // removed without a copy
)

func project(value any) (string, error) {
	text, _ := value.(string)
	if text == "" {
		return "", fmt.Errorf("takes a project's id, or a dictionary of such by UUID, got: %q", fmt.Sprint(value))
	}
	return text, nil
}

func ofOneDomain(option string) ansible.Rule {
	return func(values map[string]any) error {
		uuids, _ := values["uuid"].([]any)
		if _, given := values[option]; given && len(uuids) > 1 {
			return fmt.Errorf("parameter '%s' is of one domain, but %d are in uuid: call the module once for each", option, len(uuids))
		}
		return nil
	}
}

type parameters struct {
	UUIDs  []string      `option:"uuid"`
	State  string        `option:"state"`
	Backup backup.Source `option:",squash"`
	Name   string        `option:"name"`
	// Projects are those that the domains' metadata must name; empty of one that need not.
	Projects            step.PerElement[string] `option:"project_id"`
	AllowForeign        bool                    `option:"allow_foreign"`
	Destroy             bool                    `option:"destroy"`
	ManagedSave         string                  `option:"managed_save"`
	SnapshotsMetadata   string                  `option:"snapshots_metadata"`
	CheckpointsMetadata string                  `option:"checkpoints_metadata"`
	NVRAM               string                  `option:"nvram"`
	TPM                 string                  `option:"tpm"`
	InstanceFiles       string                  `option:"instance_files"`
	InstancesPath       string                  `option:"instances_path"`
	MinAge              int                     `option:"min_age"` // seconds
	RBD                 []string                `option:"rbd"`
	RunningElsewhere    []string                `option:"running_elsewhere"`
	URI                 string                  `option:"uri"`
	BackupDir           string                  `option:"backup_dir"`
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	// On a read-only connection libvirt itself sees to it that --check changes nothing.
	open := hypervisor.Open
	if call.Check {
		open = hypervisor.OpenReadOnly
	}
	connection, err := open(ctx, p.URI)
	if err == nil {
		connection.Call = call
		defer connection.Close()
	}
	return (&host{parameters: p, call: call, libvirt: connection, unreachable: err, now: time.Now}).all(ctx)
}
