package main

import (
	"cmp"
	"fmt"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/step"
)

// The outcomes of an instance. Only stillThere is a reason for a more forceful way: Nova took a
// request that did not help, or no request reaches the instance.
const (
	gone       = "gone"
	stillThere = "still_there"
	refused    = "refused" // somebody says no: Nova, its owner, or this module's judgement
	unknown    = "unknown" // it cannot be told
)

type answer struct {
	ansible.Result
	Instances []*entry `json:"instances"`
}

// entry is the answer for one instance.
type entry struct {
	Instance string `json:"instance_uuid"`
	step.Answer
	// Outcome is empty in check mode only, when nothing speaks against the delete.
	Outcome string `json:"outcome,omitempty"`
	Tries   ladder `json:"tries"`
	// Server is what Nova has now, ServerBefore what it had.
	Server       *server           `json:"server"`
	ServerBefore *server           `json:"server_before"`
	Requests     []compute.Request `json:"requests"`
}

// Name implements step.Entry.
func (e *entry) Name(instance string) { e.Instance, e.Requests = instance, []compute.Request{} }

// server is what an operator wants to know of it. Metadata and user data, which may
// hold secrets, are in the backup only.
type server struct {
	ID           string           `json:"id"`
	Name         string           `json:"name"`
	Status       string           `json:"status"`
	VMState      string           `json:"vm_state"`
	TaskState    *string          `json:"task_state"`
	PowerState   *int             `json:"power_state"`
	Host         string           `json:"host"`
	Hypervisor   string           `json:"hypervisor_hostname"`
	HostStatus   string           `json:"host_status"`
	InstanceName string           `json:"instance_name"`
	ProjectID    string           `json:"project_id"`
	UserID       string           `json:"user_id"`
	Flavor       string           `json:"flavor"`
	Volumes      []compute.Volume `json:"volumes"`
	Locked       bool             `json:"locked"`
	LockedReason string           `json:"locked_reason"`
	Created      string           `json:"created"`
	Updated      string           `json:"updated"`
	Fault        *compute.Fault   `json:"fault"`
}

func shown(s *compute.Server) *server {
	if s == nil {
		return nil
	}
	one := &server{
		ID: s.ID, Name: s.Name, Status: s.Status, VMState: s.VMState, PowerState: s.PowerState, Host: s.Host, Hypervisor: s.Hypervisor,
		HostStatus: s.HostStatus, InstanceName: s.InstanceName, ProjectID: s.ProjectID, UserID: s.UserID, Flavor: s.Flavor.Name,
		Volumes: append([]compute.Volume{}, s.Volumes...), Locked: s.Locked, LockedReason: s.LockedReason, Created: s.Created, Updated: s.Updated,
		Fault: s.Fault,
	}
	if s.TaskState != "" {
		one.TaskState = &s.TaskState
	}
	return one
}

// diff is from what there is to nothing.
func diff(s *compute.Server) *ansible.Diff {
	volumes := map[string]any{}
	for _, volume := range s.Volumes {
		volumes[volume.ID] = map[string]any{"delete_on_termination": volume.DeleteOnTermination}
	}
	return &ansible.Diff{After: map[string]any{}, Before: map[string]any{
		"status": s.Status, "vm_state": s.VMState, "task_state": s.TaskState, "host": s.Host, "volumes": volumes,
	}}
}

// described is where a server stands, in a few words.
func described(s *compute.Server) string {
	text := fmt.Sprintf("status %s, task state %s, on %s", s.Status, cmp.Or(s.TaskState, "none"), cmp.Or(s.Host, "no host"))
	if s.HostStatus != "" {
		text += ", which is " + s.HostStatus
	}
	if s.Fault != nil && s.VMState == "error" {
		text += fmt.Sprintf(", fault of %s: %s", s.Fault.Created, s.Fault.Message)
	}
	return text
}
