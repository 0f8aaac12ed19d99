// Command libvirt_undefine is the Ansible module that removes a domain that an
// instance has left behind on its hypervisor.
package main

import (
	"context"
	"os"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module)) }

var module = ansible.Module{
	Name: moduleName,
	Options: []ansible.Option{
		{Name: "uuid", Aliases: []string{"instance_uuid"}, Type: ansible.Str, Required: true, Check: ansible.UUID},
		{Name: "state", Type: ansible.Str, Default: absent, Choices: []string{absent, present, written}},
		backup.FileOption,
		backup.ContentOption,
		{Name: "name", Aliases: []string{"guest"}, Type: ansible.Str},
		{Name: "project_id", Type: ansible.Str},
		{Name: "allow_foreign", Type: ansible.Bool, Default: false},
		{Name: "destroy", Type: ansible.Bool, Default: false},
		{Name: "managed_save", Type: ansible.Str, Default: refuse, Choices: []string{refuse, remove}},
		{Name: "snapshots_metadata", Type: ansible.Str, Default: remove, Choices: []string{remove, refuse}},
		{Name: "checkpoints_metadata", Type: ansible.Str, Default: remove, Choices: []string{remove, refuse}},
		{Name: "nvram", Type: ansible.Str, Default: remove, Choices: []string{remove, keep, discard}},
		{Name: "tpm", Type: ansible.Str, Default: remove, Choices: []string{remove, keep, discard}},
		{Name: "uri", Type: ansible.Str, Default: systemURI},
		{Name: "backup_dir", Type: ansible.Path, Default: backup.DefaultDir, Check: ansible.Absolute},
		ansible.Timeout,
	},
	Rules: append(backup.SourceRules(present),
		// A domain without Nova's metadata is named twice, by uuid and by name.
		ansible.RequiredIf("allow_foreign", true, "name"),
	),
	Run: run,
}

const (
	moduleName = "libvirt_undefine"
	systemURI  = "qemu:///system"
)

// What is done with what belongs to a domain.
const (
	refuse  = "refuse"
	remove  = "remove"  // what is lost goes into the backup first
	keep    = "keep"    // the file stays where it is
	discard = "discard" // removed without a copy
)

type parameters struct {
	UUID                string        `option:"uuid"`
	State               string        `option:"state"`
	Backup              backup.Source `option:",squash"`
	Name                string        `option:"name"`
	ProjectID           string        `option:"project_id"`
	AllowForeign        bool          `option:"allow_foreign"`
	Destroy             bool          `option:"destroy"`
	ManagedSave         string        `option:"managed_save"`
	SnapshotsMetadata   string        `option:"snapshots_metadata"`
	CheckpointsMetadata string        `option:"checkpoints_metadata"`
	NVRAM               string        `option:"nvram"`
	TPM                 string        `option:"tpm"`
	URI                 string        `option:"uri"`
	BackupDir           string        `option:"backup_dir"`
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
	if err != nil {
		return failure("domain "+p.UUID+" could not be read", err)
	}
	defer connection.Close()
	return ensureState(ctx, call, connection, p)
}

// ensureState the domain into the state that is asked for.
func ensureState(ctx context.Context, call *ansible.Call, libvirt domains, p parameters) (ansible.Answer, error) {
	switch p.State {
	case present:
		return restore(ctx, call, libvirt, p)
	case written:
		return save(ctx, call, libvirt, p)
	default:
		return undefine(ctx, call, libvirt, p)
	}
}
