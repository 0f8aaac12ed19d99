// Nova_compute_restart is an Ansible module that restarts a host's nova-compute for what
// that is to reap or to take up again, and waits until the domains are gone.
package main

import (
	"context"
	"os"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module)) }

const day = 24 * 60 * 60

var module = ansible.Module{
	Name: "nova_compute_restart",
	Options: []ansible.Option{
		{Name: "reap", Type: ansible.List, Elements: ansible.Str, AllowEmpty: true, Check: ansible.UUID},
		{Name: "resume", Type: ansible.List, Elements: ansible.Str, AllowEmpty: true, Check: ansible.UUID},
		{Name: "state", Type: ansible.Str, Choices: []string{"restarted", "reaped"}, Default: "restarted"},
		{Name: "destroy", Type: ansible.Bool, Default: false},
		{Name: "start_compute", Type: ansible.Bool, Default: false},
		{Name: "compute_id", Type: ansible.List, Elements: ansible.Str, AllowEmpty: true, Check: ansible.UUID},
		{Name: "objections", Type: ansible.List, Elements: ansible.Str, AllowEmpty: true},
		{Name: "service", Type: ansible.Str, AllowEmpty: true},
		{Name: "log", Type: ansible.Str, AllowEmpty: true, Check: checkLog},
		{Name: "log_since", Type: ansible.Str, Check: checkPlace},
		{Name: "conf", Type: ansible.List, Elements: ansible.Path, AllowEmpty: true, Check: ansible.Absolute},
		{Name: "uri", Aliases: []string{"libvirt_uri"}, Type: ansible.Str, Default: "qemu:///system"},
		{Name: "pass_deadline", Type: ansible.Int, Default: 180, Check: ansible.Between(0, day)},
		{Name: "reap_deadline", Type: ansible.Int, Default: 30, Check: ansible.Between(0, day)},
		timeout,
	},
	Rules:  []ansible.Rule{ansible.RequiredIf("state", "reaped", "log_since"), leaveTimeToWait},
	Inside: hypervisor.Inside,
	Run:    run,
}

// timeout is longer than the 90 seconds that systemd gives a service to stop, and as many to start.
var timeout = ansible.Option{Name: ansible.Timeout.Name, Type: ansible.Int, Default: 240, Check: ansible.Timeout.Check}

// leaveTimeToWait adds what is waited to the time of the call.
func leaveTimeToWait(values map[string]any) error {
	if values["state"] == "reaped" {
		reap, _ := values["reap"].([]any)
		values[timeout.Name] = values[timeout.Name].(int) + values["pass_deadline"].(int) + reapTime(values["reap_deadline"].(int), len(reap))
	}
	return nil
}

type parameters struct {
	Reap    []string `option:"reap"`
	Resume  []string `option:"resume"`
	State   string   `option:"state"`
	Destroy bool     `option:"destroy"`
	// StartCompute says that a nova-compute that is off may be started.
	StartCompute bool `option:"start_compute"`
	// ComputeIDs are those that nova-compute may have for its own; empty where its release has none.
	ComputeIDs []string `option:"compute_id"`
	// Objections are what others know against a restart.
	Objections []string `option:"objections"`
	// What is not named is looked for where the deployments have it.
	Service  string   `option:"service"`
	Log      string   `option:"log"`
	LogSince string   `option:"log_since"`
	Conf     []string `option:"conf"`
	URI      string   `option:"uri"`
	// The deadlines are in seconds.
	PassDeadline int `option:"pass_deadline"`
	ReapDeadline int `option:"reap_deadline"`
}

// libvirt is what is asked of the hypervisor.
type libvirt interface {
	Domain(ctx context.Context, uuid string) (hypervisor.Domain, error)
	Overview(ctx context.Context) (hypervisor.Overview, error)
}

// host is the compute host, and how long to wait between two looks at it.
type host struct {
	libvirt
	command command
	poll    time.Duration
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	connection, err := hypervisor.OpenReadOnly(ctx, p.URI)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	// Where libvirtd is in a container, systemd, nova-compute's log and its configuration are not.
	return ansible.OnHost(call, func() (ansible.Answer, error) { return p.do(ctx, call, host{connection, execute, time.Second}) })
}

func (p parameters) do(ctx context.Context, call *ansible.Call, here host) (ansible.Answer, error) {
	if p.State == "reaped" {
		return p.await(ctx, here)
	}
	return p.restart(ctx, call, here)
}
