// Nova_orphan_info is an Ansible module that finds orphaned instances, and what is left of
// instances, in a whole cloud. It changes nothing.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module())) }

const name = "nova_orphan_info"

func module() ansible.Module {
	instances := step.Instances
	instances.Required = false
	timeout := ansible.Timeout
	timeout.Default = 600
	return ansible.Module{
		Name: name,
		Options: append([]ansible.Option{
			instances,
			{Name: "domains", Type: ansible.List, Elements: ansible.Dict, AllowEmpty: true, Check: isHypervisor,
				Element: func() any { return new(hypervisor) }},
			{Name: "host_gone", Type: ansible.List, Elements: ansible.Str, AllowEmpty: true},
			{Name: "compute_host", Type: ansible.Str, AllowEmpty: true},
			{Name: "host", Aliases: []string{"hosts"}, Type: ansible.List, Elements: ansible.Str},
			{Name: "project", Aliases: []string{"projects"}, Type: ansible.List, Elements: ansible.Str},
			{Name: "kind", Aliases: []string{"kinds"}, Type: ansible.List, Elements: ansible.Str, Check: isKind},
			step.MinAge,
			{Name: "max_findings_percent", Type: ansible.Int, Default: 10, Check: ansible.Between(0, 100)},
			{Name: "sightings", Type: ansible.Int, Default: 1, Check: ansible.Between(1, 1000)},
			{Name: "state_file", Type: ansible.Path, Default: "/var/lib/nova-orphan/sightings.json", Check: ansible.Absolute},
			{Name: "workers", Type: ansible.Int, Default: 8, Check: ansible.Between(1, 64)},
			{Name: "placement_database", Type: ansible.Str, NoLog: true},
			{Name: "placement_conf", Type: ansible.Path},
			{Name: "controller", Type: ansible.Str, Default: "CONTROLLER"},
			{Name: "inventory", Type: ansible.List, Elements: ansible.Str},
			{Name: "playbook", Type: ansible.Path, Default: "playbooks/purge_orphan.yml"},
			timeout,
		}, slices.Concat(step.ConsentOptions(), openstack.AuthOptions())...),
		Rules: append(openstack.AuthRules(), ansible.MutuallyExclusive("placement_database", "placement_conf")),
		Run:   run,
	}
}

type parameters struct {
	openstack.Auth
	step.Consents
	Instances          []string            `option:"instance_uuid"`
	Domains            []orphan.Hypervisor `option:"domains"`
	HostsGone          []string            `option:"host_gone"`
	ComputeHost        string              `option:"compute_host"`
	Hosts              []string            `option:"host"`
	Projects           []string            `option:"project"`
	Kinds              []string            `option:"kind"`
	MinAge             int                 `option:"min_age"`
	MaxFindingsPercent int                 `option:"max_findings_percent"`
	Sightings          int                 `option:"sightings"`
	StateFile          string              `option:"state_file"`
	Workers            int                 `option:"workers"`
	PlacementDatabase  string              `option:"placement_database"`
	PlacementConf      string              `option:"placement_conf"`
	Controller         string              `option:"controller"`
	Inventory          []string            `option:"inventory"`
	Playbook           string              `option:"playbook"`
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	debug.SetGCPercent(50) // the picture of a large cloud is for a moment, and the controller is others', too
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	if err := p.checkHosts(); err != nil {
		return nil, err
	}
	if p.Cloud == "" && p.Auth.Auth == nil && p.NovaConf == "" {
		p.NovaConf = nova.DefaultConf
	}
	audit, err := newAudit(p, call)
	if err != nil {
		return nil, err
	}
	defer audit.close()
	return audit.answer(ctx)
}
