// Nova_volume_release is an Ansible module that shows what an instance holds in
// Cinder, Glance and Neutron, and lets go of its volumes and ports.
package main

import (
	"context"
	"errors"
	"os"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
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
	onlyToRelease := func(options ...string) (rules []ansible.Rule) {
		for _, option := range options {
			rules = append(rules, onlyIfTrue(option, "state", released))
		}
		return rules
	}
	rules := append(onlyToRelease("preserve_volumes", "delete_root_volume", "delete_snapshots", "reset_volumes"), neitherKeptNorDeleted)
	return ansible.Module{
		Name: name,
		Options: append([]ansible.Option{
			{Name: "instance_uuid", Aliases: []string{"uuid", "server"}, Type: ansible.Str, Required: true, Check: ansible.UUID},
			{Name: "state", Type: ansible.Str, Choices: []string{released, saved}},
			{Name: "preserve_volumes", Type: ansible.Bool, Default: false},
			{Name: "delete_root_volume", Type: ansible.Bool, Default: false},
			{Name: "delete_snapshots", Type: ansible.Bool, Default: false},
			{Name: "reset_volumes", Type: ansible.Bool, Default: false},
			{Name: "ports", Type: ansible.Str, Default: release, Choices: []string{keep, release}},
			{Name: "backup_dir", Type: ansible.Path, Default: backup.DefaultDir, Check: ansible.Absolute},
			ansible.Timeout,
		}, slices.Concat(step.PolicyOptions(), openstack.AuthOptions())...),
		Rules: append(rules, openstack.AuthRules()...),
		Run:   run,
	}
}

// onlyIfTrue is ansible.OnlyIf for an option with the default false.
func onlyIfTrue(option, name string, value any) ansible.Rule {
	return func(values map[string]any) error {
		if values[option] != true {
			return nil
		}
		return ansible.OnlyIf(option, name, value)(values)
	}
}

func neitherKeptNorDeleted(values map[string]any) error {
	if values["preserve_volumes"] == true && values["delete_root_volume"] == true {
		return errors.New("parameters are mutually exclusive: preserve_volumes|delete_root_volume")
	}
	return nil
}

type parameters struct {
	openstack.Auth
	step.Policy
	Instance        string `option:"instance_uuid"`
	State           string `option:"state"`
	PreserveVolumes bool   `option:"preserve_volumes"`
	DeleteRoot      bool   `option:"delete_root_volume"`
	DeleteSnapshots bool   `option:"delete_snapshots"`
	ResetVolumes    bool   `option:"reset_volumes"`
	Ports           string `option:"ports"`
	BackupDir       string `option:"backup_dir"`
}

// task is one call of the module.
type task struct {
	parameters
	call   *ansible.Call
	lookup novaLookup
	nova   novaAPI
	// What is nil, the cloud does not have.
	volumes volumes
	ports   ports
	images  images
	// seen are the volumes and ports met, and doubted a write whose answer was lost.
	seen, seenPorts seen
	earlier         earlierBackups
	unknownWrite    *action
	saved           record // the last backup
	// seesAll says that Cinder shows all projects.
	seesAll bool
	// serviceToken asks for the token of a service; see openstack.ServiceToken.
	serviceToken func(context.Context) (string, error)
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	t, err := connect(ctx, call)
	if err != nil {
		reply := newAnswer()
		return reply, unreadable(reply, err, nil)
	}
	if t.NovaConf == "" {
		return t.do(ctx)
	}
	access, err := nova.FromConf(t.NovaConf, call.Secret)
	if err != nil {
		return nil, err
	}
	// The databases are only read here, so that they need not be able to do more.
	databases, err := nova.Open(access, true)
	if err != nil {
		return nil, err
	}
	defer databases.Close()
	t.lookup = fromDatabases{databases, t.Judging()}
	return t.do(ctx)
}

// connect finds the services; Nova is looked up by its API.
func connect(ctx context.Context, call *ansible.Call) (*task, error) {
	t := &task{call: call}
	if err := call.Decode(&t.parameters); err != nil {
		return nil, err
	}
	cloud, err := openstack.Connect(ctx, t.Auth, call.Secret)
	if err != nil {
		return nil, err
	}
	if err := t.find(ctx, cloud); err != nil {
		return nil, err
	}
	t.lookup = fromAPI{t.nova, t.Judging()}
	token := ""
	t.serviceToken = func(ctx context.Context) (_ string, err error) {
		if token == "" {
			token, err = openstack.ServiceToken(ctx, t.Auth, call.Secret)
		}
		return token, err
	}
	return t, nil
}
