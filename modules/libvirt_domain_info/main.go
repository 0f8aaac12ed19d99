// Command libvirt_domain_info is the Ansible module that tells of a hypervisor's domains,
// of the files and images that they use, and of instances' folders that have no domain.
package main

import (
	"context"
	"os"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/instancefiles"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module)) }

var module = ansible.Module{
	Name: "libvirt_domain_info",
	Options: []ansible.Option{
		{Name: "uuid", Aliases: []string{"instance_uuid", "uuids", "instance_uuids"}, Type: ansible.List, Elements: ansible.Str,
			Check: ansible.UUID},
		{Name: "uri", Aliases: []string{"libvirt_uri"}, Type: ansible.Str, Default: "qemu:///system"},
		instancefiles.PathOption,
		{Name: "brief", Type: ansible.Bool, Default: false},
		ansible.Timeout,
	},
	Run: run,
}

type parameters struct {
	UUIDs         []string `option:"uuid"`
	URI           string   `option:"uri"`
	InstancesPath string   `option:"instances_path"`
	Brief         bool     `option:"brief"`
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	// libvirt itself sees to it that nothing is changed, also outside of check mode.
	connection, err := hypervisor.OpenReadOnly(ctx, p.URI)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return p.read(ctx, connection)
}
