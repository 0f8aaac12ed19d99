package main

import (
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/cinder"
	"nova-orphan/internal/step"
)

type answer struct {
	ansible.Result
	Instances []*entry `json:"instances"`
}

// entry is the answer for one instance.
type entry struct {
	Instance string `json:"instance_uuid"`
	step.Answer
	holdings
	// Remains is what is left, and why.
	Remains []string `json:"remains"`
}

// Name implements step.Entry.
func (r *entry) Name(instance string) {
	r.Instance, r.holdings, r.Remains = instance, nothing(), []string{}
}

// fill puts what was found into the answer.
func (r *entry) fill(e evidence) {
	r.Verdict, r.Reasons, r.holdings = e.judgement.Verdict, e.judgement.Reasons, e.holdings
}

// sideOf is a side of the diff: what the instance has of each kind, by id.
func sideOf(e evidence) map[string]any {
	attachments, volumes, snapshots, ports := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for _, a := range e.Attachments {
		attachments[a.ID] = "volume " + a.VolumeID + ", " + a.Status
	}
	for _, v := range e.Volumes {
		if !v.Gone && !v.Former {
			volumes[v.ID] = map[string]any{"status": v.Status, "delete_on_termination": v.DeleteOnTermination}
		}
	}
	for _, s := range e.Snapshots {
		snapshots[s.ID] = "of volume " + s.VolumeID
	}
	for _, p := range e.Ports {
		if e.owns(p) {
			ports[p.ID] = p.DeviceOwner + " on " + p.Host
		}
	}
	return map[string]any{"attachments": attachments, "volumes": volumes, "snapshots": snapshots, "ports": ports}
}

// predict is what the steps make of the evidence.
func predict(e evidence, work plan) evidence {
	done := func(id string, kinds ...kind) bool {
		return slices.ContainsFunc(work.steps, func(s action) bool { return s.id == id && slices.Contains(kinds, s.kind) })
	}
	after := e
	after.Attachments = slices.DeleteFunc(slices.Clone(e.Attachments), func(a attachment) bool { return done(a.ID, detach) })
	after.Snapshots = slices.DeleteFunc(slices.Clone(e.Snapshots), func(s cinder.Snapshot) bool { return done(s.ID, deleteSnapshot) })
	after.Ports = slices.DeleteFunc(slices.Clone(e.Ports), func(p port) bool { return done(p.ID, unbind, deletePort) })
	after.Volumes = slices.Clone(e.Volumes)
	for i := range after.Volumes {
		v := &after.Volumes[i]
		if e.attached(v.ID) && !after.attached(v.ID) {
			v.AttachedTo = v.OtherServers
			if len(v.OtherServers) == 0 {
				v.Status = "available"
			}
		}
		v.DeleteOnTermination = v.DeleteOnTermination && !done(v.ID, preserve)
	}
	return after
}
