// Placement_allocation is an Ansible module that shows, removes or sets what a
// consumer holds in Placement.
package main

import (
	"context"
	"os"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/placement"
	"nova-orphan/internal/step"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module())) }

const name = "placement_allocation"

func module() ansible.Module {
	return ansible.Module{
		Name: name,
		Each: "consumer",
		Options: append([]ansible.Option{
			{Name: "consumer", Aliases: []string{"consumers"}, Type: ansible.List, Elements: ansible.Str, Check: ansible.UUID},
			{Name: "instance_uuid", Type: ansible.Raw, Check: step.AllOrEach(ansible.UUID, instance)},
			{Name: "resource_provider", Type: ansible.Str},
			{Name: "state", Type: ansible.Str, Choices: []string{absent, present, saved}},
			{Name: "resources", Type: ansible.Dict, Check: checkResources},
			{Name: "project_id", Type: ansible.Str},
			{Name: "user_id", Type: ansible.Str},
			backup.FileOption,
			backup.ContentOption,
			{Name: "verify_consumer", Type: ansible.Bool, Default: true},
			step.MinAge,
			step.BackupDir,
			ansible.Timeout,
		}, openstack.AuthOptions()...),
		Rules: append(rules(), openstack.AuthRules()...),
		Run:   run,
	}
}

// Of the option state; without it, what is held is only shown.
const (
	absent  = "absent"
	present = "present"
	saved   = "saved"
)

type parameters struct {
	openstack.Auth
	Consumers      []string                `option:"consumer"`
	Instances      step.PerElement[string] `option:"instance_uuid"`
	Provider       string                  `option:"resource_provider"`
	State          string                  `option:"state"`
	Resources      placement.Resources     `option:"resources"`
	ProjectID      string                  `option:"project_id"`
	UserID         string                  `option:"user_id"`
	VerifyConsumer bool                    `option:"verify_consumer"`
	MinAge         int                     `option:"min_age"` // seconds
	Backup         backup.Source           `option:",squash"`
	BackupDir      string                  `option:"backup_dir"`
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	c := &cloud{call: call}
	if err := call.Decode(&c.parameters); err != nil {
		return nil, err
	}
	if c.Backup.Given() {
		if err := c.readBackups(); err != nil {
			return nil, err
		}
	}
	const kind = "consumers"
	reply := &answer{}
	do, err := c.prepare(ctx, reply)
	if err != nil {
		reply.Consumers, err = step.Stop[entry](&reply.Result, kind, c.Consumers, err)
		return reply, err
	}
	reply.Consumers, err = step.Each(ctx, &reply.Result, kind, c.Consumers, atOnce, do)
	return reply, err
}
