// Nova_instance_delete is an Ansible module that deletes instances through Nova's
// API, and waits until they are gone.
package main

import (
	"cmp"
	"context"
	"os"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/step"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module())) }

const name, methodsOption = "nova_instance_delete", "methods"

func module() ansible.Module {
	return ansible.Module{
		Name: name,
		Each: step.Instances.Name, Turns: methodsOption,
		Options: append([]ansible.Option{
			step.Instances,
			{Name: "host", Type: ansible.Str},
			{Name: methodsOption, Type: ansible.List, Elements: ansible.Str, Choices: methods, Default: []any{byDelete}},
			{Name: "preserve_volumes", Type: ansible.Bool, Default: false},
			step.BackupDir,
			ansible.Timeout,
		}, slices.Concat(step.PolicyOptions(), openstack.AuthOptions())...),
		Rules: openstack.AuthRules(),
		Run:   run,
	}
}

type parameters struct {
	openstack.Auth
	step.Policy
	Instances       []string `option:"instance_uuid"`
	Host            string   `option:"host"`
	Methods         []string `option:"methods"`
	PreserveVolumes bool     `option:"preserve_volumes"`
	BackupDir       string   `option:"backup_dir"`
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	client, _, failure := compute.Connect(ctx, p.Auth, call.Secret)
	const kind = "instances"
	reply := &answer{}
	var err error
	if failure != nil {
		reply.Instances, err = step.Stop[entry](&reply.Result, kind, p.Instances, failure)
	} else {
		reply.Instances, err = step.Each(ctx, &reply.Result, kind, p.Instances, step.AtOnce,
			func(ctx context.Context, instance string, a *entry) error {
				t := &task{parameters: p, call: call, nova: client.Recording(), uuid: instance, reply: a}
				defer func() { a.Requests = t.nova.Sent() }()
				return t.do(ctx)
			})
	}
	for _, a := range reply.Instances {
		if a.Failed { // it may not even have been begun
			a.Outcome = cmp.Or(a.Outcome, outcomeOf(failure))
		}
		if a.Tries == nil {
			a.Tries = newLadder(p.Methods)
		}
		a.Tries.rest(a.Outcome, a.Msg)
	}
	return reply, err
}
