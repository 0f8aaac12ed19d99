// Nova_compute_service is an Ansible module that shows a compute service of
// Nova's, and forces it down, enables or disables it.
package main

import (
	"context"
	"errors"
	"os"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module())) }

const name = "nova_compute_service"

const (
	enabled  = "enabled"
	disabled = "disabled"
	up       = "up"
	down     = "down"
	// updatable is the one binary that Nova lets be changed.
	updatable = "nova-compute"
)

func module() ansible.Module {
	return ansible.Module{
		Name: name,
		Options: append([]ansible.Option{
			{Name: "host", Type: ansible.Str},
			{Name: "binary", Type: ansible.Str, Default: updatable},
			{Name: "forced_down", Type: ansible.Bool},
			{Name: "state", Type: ansible.Str, Choices: []string{disabled, enabled}},
			{Name: "disabled_reason", Type: ansible.Str},
			{Name: "wait_for", Type: ansible.Str, Choices: []string{down, up}},
			{Name: "orphans", Type: ansible.Dict, Check: judgedRows},
			{Name: "instance_uuid", Aliases: []string{"uuid", "server"}, Type: ansible.Str, Check: ansible.UUID},
			backup.FileOption,
			{Name: "backup_dir", Type: ansible.Path, Default: backup.DefaultDir, Check: ansible.Absolute},
			ansible.Timeout,
		}, openstack.AuthOptions()...),
		Rules: append([]ansible.Rule{
			hostUnlessListing,
			ansible.RequiredBy("orphans", "nova_conf"),
			ansible.OnlyIf("disabled_reason", "state", disabled),
			ansible.MutuallyExclusive("backup_file", "forced_down"),
			ansible.MutuallyExclusive("backup_file", "state"),
		}, openstack.AuthRules()...),
		Run: run,
	}
}

// hostUnlessListing lets the host be left out only by who wants to know what earlier
// runs for the instance have left, on whatever host.
func hostUnlessListing(values map[string]any) error {
	if _, given := values["host"]; given {
		return nil
	}
	_, listing := values["instance_uuid"]
	for _, other := range []string{"forced_down", "state", "wait_for", "orphans", backup.FileOption.Name} {
		_, given := values[other]
		listing = listing && !given
	}
	if !listing {
		return errors.New("missing required arguments: host")
	}
	return nil
}

type parameters struct {
	openstack.Auth
	Host           string `option:"host"`
	Binary         string `option:"binary"`
	ForcedDown     *bool  `option:"forced_down"`
	State          string `option:"state"`
	DisabledReason string `option:"disabled_reason"`
	WaitFor        string `option:"wait_for"`
	InstanceUUID   string `option:"instance_uuid"`
	BackupFile     string `option:"backup_file"`
	BackupDir      string `option:"backup_dir"`
	// Orphans are left out of what is in progress.
	Orphans map[string]judgedRow `option:"orphans"`
}

// changes says that something is asked for, or waited for, and not only shown.
func (p parameters) changes() bool {
	return p.ForcedDown != nil || p.State != "" || p.BackupFile != "" || p.WaitFor != ""
}

// services is the Nova that this module needs.
type services interface {
	Services(ctx context.Context, binary, host string) ([]compute.Service, error)
	CountServers(ctx context.Context, host string) (compute.Count, error)
	UpdateService(ctx context.Context, id string, change compute.Change) error
	Sent() []compute.Request
}

// task is one call of the module.
type task struct {
	parameters
	call  *ansible.Call
	nova  services
	reply *answer
	now   func() time.Time
	// folder is on whose behalf the backup to put back was written.
	folder string
	// told is what the backup would put back and this call does not.
	told string
}

type answer struct {
	ansible.Result
	// Service is what Nova has now, ServiceBefore what it had.
	Service       *compute.Service `json:"service"`
	ServiceBefore *compute.Service `json:"service_before"`
	// Exists is nil if Nova could not be asked.
	Exists *bool `json:"exists,omitempty"`
	// Servers are those on the host; nil if that was not asked.
	Servers *compute.Count `json:"servers,omitempty"`
	// InProgress is nil if that was not asked.
	InProgress []undertaking `json:"in_progress"`
	// LeftForcedDown is nil if that was not asked.
	LeftForcedDown *[]leftover       `json:"left_forced_down,omitempty"`
	Requests       []compute.Request `json:"requests"`
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	t := &task{call: call, reply: &answer{Requests: []compute.Request{}}, now: func() time.Time { return time.Now().UTC() }}
	if err := call.Decode(&t.parameters); err != nil {
		return nil, err
	}
	cloud, err := openstack.Connect(ctx, t.Auth, call.Secret)
	if err != nil {
		return nil, err
	}
	service, err := cloud.Compute()
	if err != nil {
		return nil, err
	}
	t.nova = compute.New(service)
	err = t.do(ctx, cloud)
	t.reply.Requests = append(t.reply.Requests, t.nova.Sent()...)
	return t.reply, err
}

// do changes the service, or shows all that there is to know.
func (t *task) do(ctx context.Context, cloud *openstack.Cloud) error {
	if t.InstanceUUID != "" && !t.changes() {
		if err := t.listLeft(ctx); err != nil || t.Host == "" {
			return err
		}
	}
	if err := t.change(ctx); err != nil {
		return err
	}
	if t.NovaConf == "" || t.changes() || t.Binary != updatable {
		return nil
	}
	return t.lookAround(ctx, cloud)
}
