// Nova_volume_release is an Ansible module that shows what an instance holds in
// Cinder, Glance and Neutron, and lets go of its volumes and ports.
package main

import (
	"context"
	"os"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/step"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module())) }

const name = "nova_volume_release"

const (
	// Of the option state:
	released = "released"
	saved    = "saved"
	keep     = "keep" // of the option ports
	release  = "release"
)

func module() ansible.Module {
	return ansible.Module{
		Name: name,
		Each: step.Instances.Name,
		Options: append([]ansible.Option{
			step.Instances,
			{Name: "state", Type: ansible.Str, Choices: []string{released, saved}},
			{Name: "preserve_volumes", Type: ansible.Bool, Default: false},
			{Name: "delete_snapshots", Type: ansible.Bool, Default: false},
			{Name: "traces", Type: ansible.Dict, Check: tracesByInstance},
			{Name: "ports", Type: ansible.Str, Default: release, Choices: []string{keep, release}},
			step.BackupDir,
			ansible.Timeout,
		}, slices.Concat(step.PolicyOptions(), openstack.AuthOptions())...),
		Rules: append([]ansible.Rule{
			ansible.OnlyIf("preserve_volumes", "state", released),
			ansible.OnlyIf("delete_snapshots", "state", released),
			ansible.RequiredBy("traces", "nova_conf"),
		}, openstack.AuthRules()...),
		Run: run,
	}
}

type parameters struct {
	openstack.Auth
	step.Policy
	Instances       []string `option:"instance_uuid"`
	State           string   `option:"state"`
	PreserveVolumes bool     `option:"preserve_volumes"`
	DeleteSnapshots bool     `option:"delete_snapshots"`
	Ports           string   `option:"ports"`
	// Traces prove that instances were this cloud's, by their UUIDs.
	Traces    map[string][]string `option:"traces"`
	BackupDir string              `option:"backup_dir"`
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	c, err := connect(ctx, call, p)
	if err == nil && p.NovaConf != "" {
		var databases *nova.Databases
		if databases, err = open(call, p); err == nil {
			defer databases.Close()
			c.lookup = &fromDatabases{databases: databases, policy: p.Policy}
		}
	}
	if err != nil {
		reply := &answer{}
		reply.Instances, err = step.Stop[entry](&reply.Result, "instances", p.Instances, err)
		return reply, err
	}
	return c.all(ctx)
}

// open is for reading alone, so that the databases need not be able to do more.
func open(call *ansible.Call, p parameters) (*nova.Databases, error) {
	access, err := nova.FromConf(p.NovaConf, call.Secret)
	if err != nil {
		return nil, err
	}
	return nova.Open(access, true)
}
