// Nova_compute_service is an Ansible module that shows the compute services of
// hosts, and has them count as down.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/placement"
	"nova-orphan/internal/step"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module())) }

const (
	name          = "nova_compute_service"
	binary        = "nova-compute"
	backupFile    = "backup_file"
	putBack       = "put_back"
	waitForReport = "wait_for_report"
)

func module() ansible.Module {
	return ansible.Module{
		Name: name,
		Each: "host",
		Options: append([]ansible.Option{
			{Name: "host", Aliases: []string{"hosts"}, Type: ansible.List, Elements: ansible.Str, Check: named},
			{Name: "forced_down", Type: ansible.Bool},
			{Name: "orphans", Type: ansible.Dict, Check: judgedRows},
			{Name: "start_compute", Type: ansible.Bool, Default: false},
			{Name: "restart_while_busy", Type: ansible.Bool, Default: false},
			{Name: "instance_uuid", Aliases: []string{"uuid", "server"}, Type: ansible.Str, Check: ansible.UUID},
			{Name: backupFile, Type: ansible.Raw, Check: step.AllOrEach(named, backupPath)},
			{Name: putBack, Type: ansible.Bool, Default: false},
			{Name: waitForReport, Type: ansible.Bool, Default: false},
			step.BackupDir,
			ansible.Timeout,
		}, openstack.AuthOptions()...),
		Rules: append([]ansible.Rule{
			hostUnlessListing,
			ansible.RequiredBy("orphans", "nova_conf"),
			ansible.MutuallyExclusive(backupFile, "forced_down"),
			onlyShowing,
		}, openstack.AuthRules()...),
		Run: run,
	}
}

// named refuses the host "", for which Nova would answer with those of all hosts.
func named(host any) (any, error) {
	if host == "" {
		return nil, errors.New("takes names of hosts, got an empty one")
	}
	return host, nil
}

func backupPath(value any) (string, error) {
	path, err := ansible.Absolute(value)
	if err != nil {
		return "", fmt.Errorf("%w, or a dictionary of such by host", err)
	}
	return path.(string), nil
}

// hostUnlessListing lets the host be left out only by who wants to know what earlier runs have left, on whatever host. A backup is
// of one host.
func hostUnlessListing(values map[string]any) error {
	hosts, given := values["host"].([]any)
	_, sets := values["forced_down"]
	_, leavesOut := values["orphans"]
	restored, restores := values[backupFile].(step.PerElement[string])
	if !given && (sets || leavesOut || restores) {
		return errors.New("missing required arguments: host")
	}
	if restored.All != "" && len(hosts) > 1 {
		return fmt.Errorf("argument '%s' is of one host, and host lists %d: give a dictionary of the backups by host", backupFile, len(hosts))
	}
	for _, host := range hosts {
		if name, _ := host.(string); restored.Each != nil && restored.Each[name] == "" {
			return fmt.Errorf("argument '%s' has none of host %q", backupFile, name)
		}
	}
	return nil
}

// onlyShowing refuses beside a change what follows from a look.
func onlyShowing(values map[string]any) error {
	_, hosts := values["host"]
	_, forces := values["forced_down"]
	_, restores := values[backupFile]
	switch {
	case values[putBack] == true && (hosts || forces || restores):
		return errors.New("argument 'put_back' is for what runs have left, on whatever host: without host, forced_down and backup_file")
	case values[waitForReport] == true && (!hosts || forces || restores):
		return errors.New("argument 'wait_for_report' takes host, without forced_down and backup_file")
	}
	return nil
}

type parameters struct {
	openstack.Auth
	Hosts        []string `option:"host"`
	ForcedDown   *bool    `option:"forced_down"`
	InstanceUUID string   `option:"instance_uuid"`
	BackupDir    string   `option:"backup_dir"`
	// Backups are those to put back, by host.
	Backups step.PerElement[string] `option:"backup_file"`
	// Orphans are left out of what is in progress.
	Orphans map[string]judgedRow `option:"orphans"`
	// PutBack is for what runs have left and is certainly theirs.
	PutBack       bool `option:"put_back"`
	WaitForReport bool `option:"wait_for_report"`
	// What a restart may do.
	StartCompute     bool `option:"start_compute"`
	RestartWhileBusy bool `option:"restart_while_busy"`
}

// changes says that something is asked for, and not only shown.
func (p parameters) changes() bool {
	return p.ForcedDown != nil || p.Backups.All != "" || p.Backups.Each != nil
}

// lists says that it is asked what runs have left.
func (p parameters) lists() bool { return !p.changes() && (p.InstanceUUID != "" || len(p.Hosts) == 0) }

type answer struct {
	ansible.Result
	Services []*entry `json:"services"`
	// LeftForcedDown is nil if that was not asked.
	LeftForcedDown *[]leftover `json:"left_forced_down,omitempty"`
}

// entry is the answer for one host.
type entry struct {
	Host string `json:"host"`
	step.Answer
	// Service is what Nova has now, ServiceBefore what it had.
	Service       *compute.Service `json:"service"`
	ServiceBefore *compute.Service `json:"service_before"`
	// Exists is nil if Nova could not be asked.
	Exists *bool `json:"exists,omitempty"`
	// Servers are those on the host; nil if that was not asked.
	Servers *compute.Count `json:"servers,omitempty"`
	// InProgress is nil if that was not asked.
	InProgress []undertaking `json:"in_progress"`
	// Restart is there where InProgress is.
	Restart  *refusals         `json:"restart,omitempty"`
	Requests []compute.Request `json:"requests"`
}

// Name implements step.Entry.
func (e *entry) Name(host string) { e.Host, e.Requests = host, []compute.Request{} }

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	reply := &answer{Services: []*entry{}}
	client, around, failure := connect(ctx, call, p)
	if around != nil {
		defer func() { _ = around.close() }()
	}
	ledgerOf := func(nova services, host string, warn func(string)) ledger {
		return ledger{parameters: p, nova: nova, backup: p.Backups.Of(host), warn: warn, now: func() time.Time { return time.Now().UTC() }}
	}
	if failure == nil && p.lists() {
		var mu sync.Mutex
		warn := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(reply.Warnings, text) {
				reply.Warnings = append(reply.Warnings, text)
			}
		}
		if reply.LeftForcedDown, failure = ledgerOf(client, "", warn).left(ctx); failure == nil && p.PutBack {
			// Those of other runs have folders of their own.
			p.InstanceUUID = ""
			p.Hosts, p.Backups.Each = runsOwn(*reply.LeftForcedDown)
		}
	}
	if len(p.Hosts) == 0 {
		return reply, failure
	}
	if failure != nil {
		reply.Services, failure = step.Stop[entry](&reply.Result, "hosts", p.Hosts, failure)
		return reply, failure
	}
	var err error
	reply.Services, err = step.Each(ctx, &reply.Result, "hosts", p.Hosts, step.AtOnce, func(ctx context.Context, host string, a *entry) error {
		own := client.Recording()
		defer func() { a.Requests = own.Sent() }()
		t := &task{ledger: ledgerOf(own, host, a.Warn), call: call, host: host, reply: a}
		if failed := t.do(ctx); failed != nil {
			return failed
		}
		if p.WaitForReport {
			return t.awaitReport(ctx)
		}
		if around == nil {
			return nil
		}
		return t.lookAround(ctx, around)
	})
	return reply, err
}

// connect finds what is to be asked: the databases and Placement only for who shows by nova_conf.
func connect(ctx context.Context, call *ansible.Call, p parameters) (*compute.Client, *surroundings, error) {
	client, cloud, err := compute.Connect(ctx, p.Auth, call.Secret)
	if err != nil || p.NovaConf == "" || p.changes() || p.WaitForReport || len(p.Hosts) == 0 {
		return client, nil, err
	}
	placed, err := cloud.Placement()
	if err != nil {
		return client, nil, err
	}
	access, err := nova.FromConf(p.NovaConf, call.Secret)
	if err != nil {
		return client, nil, err
	}
	databases, err := nova.Open(access, true)
	if err != nil {
		return client, nil, err
	}
	return client, &surroundings{cells: databases, allocations: placement.New(placed), close: databases.Close}, nil
}
