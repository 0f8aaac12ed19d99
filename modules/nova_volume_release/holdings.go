package main

import (
	"slices"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/orphan"
)

// holdings are what the instance has outside of Nova: what is judged, answered, and backed up.
type holdings struct {
	Attachments []attachment      `json:"attachments"`
	Volumes     []volume          `json:"volumes"`
	Snapshots   []cinder.Snapshot `json:"snapshots"`
	Images      []image           `json:"images"`
	Ports       []port            `json:"ports"`
}

// nothing has no null, of which a play would have to take care.
func nothing() holdings {
	return holdings{[]attachment{}, []volume{}, []cinder.Snapshot{}, []image{}, []port{}}
}

// attachment gives the instance a volume.
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

// volume is a volume that either side gives to the instance, or did.
type volume struct {
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
	Mapped              bool   `json:"mapped"`
	Device              string `json:"device"`
	Root                bool   `json:"root"`
	DeleteOnTermination bool   `json:"delete_on_termination"`
	// AttachedTo are all servers, and hosts without a server, that have it, and OtherServers
	// those that are not the instance.
	OtherServers []string `json:"other_servers"`
	AttachedTo   []string `json:"attached_to"`
	// Former says that the instance had given it back before; only to be told.
	Former bool `json:"former"`
}

func (v volume) String() string {
	if v.Name != "" {
		return v.ID + " (" + v.Name + ")"
	}
	return v.ID
}

// port is one whose device is the instance, or was.
type port struct {
	neutron.Port
	// Gone says that Neutron answered 404.
	Gone bool `json:"gone"`
	// MadeByNova is null where Nova does not tell.
	MadeByNova *bool `json:"made_by_nova"`
}

// attached says that Cinder gives the volume to the instance.
func (h holdings) attached(volume string) bool {
	return slices.ContainsFunc(h.Attachments, func(a attachment) bool { return a.VolumeID == volume })
}

func (h holdings) volume(id string) volume {
	for _, v := range h.Volumes {
		if v.ID == id {
			return v
		}
	}
	return volume{ID: id}
}

func (h holdings) hasSnapshot(id string) bool {
	return slices.ContainsFunc(h.Snapshots, func(s cinder.Snapshot) bool { return s.ID == id })
}

// hasAny says that there is something that could be given back.
func (h holdings) hasAny() bool {
	return slices.ContainsFunc(h.Volumes, func(v volume) bool { return !v.Former }) ||
		slices.ContainsFunc(h.Ports, func(p port) bool { return !p.Gone })
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
	return record{e.judgement.Verdict, e.judgement.Reasons, work.lines(), append([]mapping{}, e.mappings...), e.holdings}
}
