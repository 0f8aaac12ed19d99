// Command libvirt_domain_info is the Ansible module that tells of a hypervisor's domains,
// of the files and images that they use, and of instances' folders that have no domain.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

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
		{Name: "connect_timeout", Type: ansible.Int, Default: 10, Check: ansible.Between(1, 24*60*60)},
		ansible.Timeout,
	},
	Inside: hypervisor.Inside,
	Run:    run,
}

type parameters struct {
	UUIDs         []string `option:"uuid"`
	URI           string   `option:"uri"`
	InstancesPath string   `option:"instances_path"`
	Brief         bool     `option:"brief"`
	// ConnectTimeout is in seconds.
	ConnectTimeout int `option:"connect_timeout"`
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	// libvirt itself sees to it that nothing is changed, also outside of check mode.
	connecting, cancel := p.connecting(ctx)
	defer cancel()
	connection, err := hypervisor.OpenReadOnly(connecting, p.URI)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return p.read(ctx, connection)
}

// connecting ends with connect_timeout: a libvirt that hangs is known long before a long list would be read.
func (p parameters) connecting(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := time.Duration(p.ConnectTimeout) * time.Second
	return context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("not connected within the connect_timeout of %s: %w", limit, context.DeadlineExceeded))
}
