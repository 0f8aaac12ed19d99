package main

import (
	"errors"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/orphan"
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

// Name implements step.Named.
func (e *entry) Name(instance string) { e.Instance = instance }

// holdings are what the instance has outside of Nova, also the form of the backup.
type holdings struct {
	Attachments []attachment      `json:"attachments"`
	Volumes     []volumeAnswer    `json:"volumes"`
	Snapshots   []cinder.Snapshot `json:"snapshots"`
	Images      []image           `json:"images"`
	Ports       []portAnswer      `json:"ports"`
}

type attachment struct {
	ID         string            `json:"attachment_id"`
	VolumeID   string            `json:"volume_id"`
	Status     string            `json:"status"`
	Mode       string            `json:"attach_mode"`
	Device     string            `json:"device"`
	Host       string            `json:"host_name"`
	AttachedAt string            `json:"attached_at"`
	Connection cinder.Connection `json:"connection_info"`
}

type volumeAnswer struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Status string `json:"status"` // empty: Cinder does not have it
	// Gone says that Cinder answered 404.
	Gone        bool   `json:"gone"`
	Size        int    `json:"size"`
	Multiattach bool   `json:"multiattach"`
	Bootable    bool   `json:"bootable"`
	ProjectID   string `json:"project_id"`
	// Mapped says that Nova gives it to the instance; Device, Root and
	// DeleteOnTermination are then Nova's.
	Mapped              bool     `json:"mapped"`
	Device              string   `json:"device"`
	Root                bool     `json:"root"`
	DeleteOnTermination bool     `json:"delete_on_termination"`
	OtherServers        []string `json:"other_servers"`
	// AttachedTo are all servers that have it, the instance among them.
	AttachedTo []string `json:"attached_to"`
	// Former says that the instance had given it back before.
	Former bool `json:"former"`
}

type portAnswer struct {
	neutron.Port
	// Gone says that Neutron answered 404.
	Gone bool `json:"gone"`
	// MadeByNova is null where Nova does not tell.
	MadeByNova *bool `json:"made_by_nova"`
}

// record is what a backup holds.
type record struct {
	Verdict orphan.Verdict `json:"verdict"`
	Reasons []string       `json:"reasons"`
	Plan    []string       `json:"plan"`
	// Mappings are Nova's.
	Mappings []mapping `json:"block_device_mappings"`
	holdings
}

func recordOf(e evidence, work plan) record {
	return record{e.judgement.Verdict, e.judgement.Reasons, work.lines(), append([]mapping{}, e.mappings...), holdingsOf(e)}
}

func holdingsOf(e evidence) holdings {
	h := holdings{
		Attachments: []attachment{}, Volumes: []volumeAnswer{}, Snapshots: append([]cinder.Snapshot{}, e.snapshots...),
		Images: append([]image{}, e.images...), Ports: []portAnswer{},
	}
	for _, a := range e.attachments {
		told := attachment{ID: a.ID, VolumeID: a.VolumeID, Status: a.Status, Mode: a.Mode, AttachedAt: a.AttachedAt, Connection: a.Connection}
		if v := e.volume(a.VolumeID); v.cinder != nil {
			for _, shown := range v.cinder.Attachments {
				if shown.ID == a.ID {
					told.Device, told.Host = shown.Device, shown.Host
				}
			}
		}
		h.Attachments = append(h.Attachments, told)
	}
	for _, v := range e.volumes {
		h.Volumes = append(h.Volumes, v.answer(e.instance))
	}
	for _, v := range e.former {
		told := v.answer(e.instance)
		told.Former = true
		h.Volumes = append(h.Volumes, told)
	}
	tell := func(port neutron.Port, gone bool) {
		told := portAnswer{Port: port, Gone: gone}
		if byNova, known := e.made[port.ID]; known {
			told.MadeByNova = &byNova
		}
		h.Ports = append(h.Ports, told)
	}
	for _, port := range slices.Concat(e.ports, e.formerPorts) {
		tell(port, false)
	}
	for _, id := range e.gonePorts {
		tell(neutron.Port{ID: id}, true)
	}
	return h
}

func (v volume) answer(instance string) volumeAnswer {
	told := volumeAnswer{ID: v.id, Gone: v.cinder == nil, OtherServers: []string{}, AttachedTo: []string{}}
	if c := v.cinder; c != nil {
		told.Name, told.Status, told.Size, told.Multiattach, told.Bootable, told.ProjectID = c.Name, c.Status, c.Size, c.Multiattach,
			c.Bootable == "true", c.ProjectID
	}
	if m := v.mapping; m != nil {
		told.Mapped, told.Device, told.Root, told.DeleteOnTermination = true, m.Device, m.Root, m.DeleteOnTermination
	}
	for _, other := range v.others(instance) {
		if !slices.Contains(told.OtherServers, other.Instance) {
			told.OtherServers = append(told.OtherServers, other.Instance)
		}
	}
	for _, a := range v.all {
		if name := attachedTo(a); !slices.Contains(told.AttachedTo, name) {
			told.AttachedTo = append(told.AttachedTo, name)
		}
	}
	return told
}

// fill puts what was found into the answer.
func (r *entry) fill(e evidence) {
	r.Verdict, r.Reasons = e.judgement.Verdict, e.judgement.Reasons
	r.holdings = holdingsOf(e)
}

// addReasons adds to the reasons what else speaks against it.
func (r *entry) addReasons(e evidence, err error) {
	var against orphan.Refusal
	if !errors.As(err, &against) {
		return
	}
	if e.judgement.Refuses() {
		r.Reasons = against[1:] // the first names the verdict, and the next are its reasons
		return
	}
	r.Reasons = append(slices.Clone(e.judgement.Reasons), against...)
}

// plan puts the plan and the diff into the answer. What a later look finds to do is
// added to what was found first.
func (r *entry) plan(e evidence, work plan) {
	first := r.Diff == nil
	for _, line := range work.lines() {
		if !slices.Contains(r.Plan, line) {
			r.Plan = append(r.Plan, line)
		}
	}
	r.Remains = append([]string{}, work.remains...)
	if first {
		r.Diff = &ansible.Diff{Before: sideOf(e), After: sideOf(predict(e, work))}
	}
	r.Msg = strings.Join(r.Plan, "; ")
}

func (p plan) lines() []string {
	if len(p.steps) == 0 {
		return nil
	}
	var lines []string
	for _, s := range p.steps {
		lines = append(lines, s.text)
	}
	return append(lines, p.foreseen...)
}

// sideOf is a side of the diff: what the instance has of each kind, by id.
func sideOf(e evidence) map[string]any {
	attachments, volumes, snapshots, ports := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for _, a := range e.attachments {
		attachments[a.ID] = "volume " + a.VolumeID + ", " + a.Status
	}
	for _, v := range e.volumes {
		if v.cinder == nil {
			continue
		}
		volumes[v.id] = map[string]any{"status": v.cinder.Status, "delete_on_termination": v.mapping != nil && v.mapping.DeleteOnTermination}
	}
	for _, s := range e.snapshots {
		snapshots[s.ID] = "of volume " + s.VolumeID
	}
	for _, port := range e.ports {
		ports[port.ID] = port.DeviceOwner + " on " + port.Host
	}
	return map[string]any{"attachments": attachments, "volumes": volumes, "snapshots": snapshots, "ports": ports}
}

// predict is what the steps make of the evidence.
func predict(e evidence, work plan) evidence {
	after := e
	gone := func(kind kind, id string) bool {
		return slices.ContainsFunc(work.steps, func(s action) bool { return s.kind == kind && s.id == id })
	}
	after.attachments = slices.DeleteFunc(slices.Clone(e.attachments), func(a cinder.Attachment) bool { return gone(detach, a.ID) })
	after.snapshots = slices.DeleteFunc(slices.Clone(e.snapshots), func(s cinder.Snapshot) bool { return gone(deleteSnapshot, s.ID) })
	after.volumes = nil
	for _, v := range e.volumes {
		if v.cinder == nil || gone(deleteVolume, v.id) {
			continue
		}
		kept := *v.cinder
		if left := slices.DeleteFunc(slices.Clone(v.all), func(a cinder.Attachment) bool { return gone(detach, a.ID) }); gone(reset, v.id) ||
			len(left) == 0 && len(v.all) > 0 {
			kept.Status = "available"
		}
		v.cinder = &kept
		if v.mapping != nil && gone(preserve, v.id) {
			mapped := *v.mapping
			mapped.DeleteOnTermination = false
			v.mapping = &mapped
		}
		after.volumes = append(after.volumes, v)
	}
	after.ports = slices.DeleteFunc(slices.Clone(e.ports), func(p neutron.Port) bool { return gone(unbind, p.ID) || gone(deletePort, p.ID) })
	return after
}
