package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// checkHosts refuses what would be ignored.
func (p parameters) checkHosts() error {
	if len(p.Instances) == 0 && (len(p.HostsGone) > 0 || p.ComputeHost != "") {
		return errors.New("host_gone and compute_host are for instances that are named: give instance_uuid, too")
	}
	var known []string
	for _, hypervisor := range p.Domains {
		known = append(known, hypervisor.Host)
	}
	if p.ComputeHost != "" && !slices.Contains(known, p.ComputeHost) {
		return fmt.Errorf("argument 'compute_host' takes the name of a hypervisor in the inventory, as an entry of domains has it in host: %q is "+
			"none of: %s", p.ComputeHost, strings.Join(known, ", "))
	}
	return nil
}

// record is a row in the judge's terms.
func record(instance *nova.Instance) *orphan.Record {
	if instance == nil {
		return nil
	}
	return &orphan.Record{
		Judged: orphan.Judged{UpdatedAt: instance.UpdatedAt, VMState: instance.VMState, TaskState: instance.TaskState, Host: instance.Host},
		Node:   instance.Node, Launched: instance.LaunchedAt != "", Cell: orphan.CellName(instance.Cell),
	}
}
