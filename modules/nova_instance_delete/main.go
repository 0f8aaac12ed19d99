// Nova_instance_delete is an Ansible module that deletes an instance through
// Nova's API, and waits until it is gone.
package main

import (
	"context"
	"os"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module())) }

const name = "nova_instance_delete"

func module() ansible.Module {
	return ansible.Module{
		Name: name,
		Options: append([]ansible.Option{
			{Name: "instance_uuid", Aliases: []string{"uuid", "server"}, Type: ansible.Str, Required: true, Check: ansible.UUID},
			{Name: "host", Type: ansible.Str},
			{Name: "reset_state", Type: ansible.Bool, Default: false},
			{Name: "force", Type: ansible.Bool, Default: false},
			{Name: "preserve_volumes", Type: ansible.Bool, Default: false},
			{Name: "backup_dir", Type: ansible.Path, Default: backup.DefaultDir, Check: ansible.Absolute},
			ansible.Timeout,
		}, slices.Concat(step.PolicyOptions(), openstack.AuthOptions())...),
		Rules: openstack.AuthRules(),
		Run:   run,
	}
}

type parameters struct {
	openstack.Auth
	step.Policy
	InstanceUUID    string `option:"instance_uuid"`
	Host            string `option:"host"`
	ResetState      bool   `option:"reset_state"`
	Force           bool   `option:"force"`
	PreserveVolumes bool   `option:"preserve_volumes"`
	BackupDir       string `option:"backup_dir"`
}

// servers is the Nova that this module needs.
type servers interface {
	Server(ctx context.Context, uuid string) (*compute.Server, error)
	Find(ctx context.Context, uuid string) (server *compute.Server, unmapped bool, err error)
	LockedReason(ctx context.Context, uuid string) (string, error)
	Migrations(ctx context.Context, instance string) ([]compute.Migration, error)
	KeepVolume(ctx context.Context, uuid, volume string) error
	ResetState(ctx context.Context, uuid string) error
	Delete(ctx context.Context, uuid string) error
	ForceDelete(ctx context.Context, uuid string) error
	Sent() []compute.Request
}

// task is one call of the module.
type task struct {
	parameters
	call  *ansible.Call
	nova  servers
	reply *answer
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	t := &task{call: call, reply: &answer{Requests: []compute.Request{}}}
	if err := call.Decode(&t.parameters); err != nil {
		return nil, err
	}
	err := t.run(ctx)
	if err != nil && t.reply.Outcome == "" {
		t.reply.Outcome = outcomeOf(err)
	}
	if err != nil && t.reply.Verdict == "" { // Nova was not asked
		t.reply.Verdict = string(orphan.Unknown)
	}
	return t.reply, err
}

func (t *task) run(ctx context.Context) error {
	cloud, err := openstack.Connect(ctx, t.Auth, t.call.Secret)
	if err != nil {
		return err
	}
	service, err := cloud.Compute()
	if err != nil {
		return err
	}
	t.nova = compute.New(service)
	err = t.delete(ctx)
	t.reply.Requests = append(t.reply.Requests, t.nova.Sent()...)
	return err
}
