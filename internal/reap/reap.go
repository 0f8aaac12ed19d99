// Package reap foresees what nova-compute does to volumes and ports when it reaps a deleted
// instance's domain (nova/compute/manager.py _cleanup_running_deleted_instances), and says
// what of it is to be prevented.
package reap

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/nova"
)

// holdings is what Cinder and Neutron say now of the volumes and ports that Nova's rows
// name. What is not there, or is of a service that the cloud does not have, is nil.
type holdings struct {
	volumes map[string]*heldVolume
	ports   map[string]*neutron.Port
	// attached are the attachments of instances, by Cinder, and own the ports whose device they are, by Neutron.
	attached map[string][]cinder.Attachment
	own      map[string][]neutron.Port
}

// heldVolume is a volume with its attachments, whoever has it.
type heldVolume struct {
	cinder.Volume
	all []cinder.Attachment
}

// The fates of a volume or a port when nova-compute reaps the domain.
const (
	fateDetached = "detached"
	fateUnbound  = "unbound"
	fateDeleted  = "deleted"
	fateLeft     = "left" // nova-compute does nothing with it
	fateGone     = "gone" // there is no such volume or port any more
)

// Reap is what nova-compute does with volumes and ports when it reaps the domain, once
// the rows are disarmed.
type Reap struct {
	Volumes []volumeFate `json:"volumes"`
	Ports   []portFate   `json:"ports"`
	// Others are the volumes and ports that the API's own delete would act on all the same, since it goes by the living rows, and that
	// are the instance's no more.
	Others []string `json:"others"`
	// Disarm is what is to be written before.
	Disarm nova.Disarm `json:"-"`

	instance string
}

// volumeFate is of one row of block_device_mapping.
type volumeFate struct {
	MappingID int64 `json:"mapping_id"`
	// MappingDeleted says that the row is deleted, so that only the reap reads it.
	MappingDeleted bool     `json:"mapping_deleted"`
	VolumeID       string   `json:"volume_id"`
	Name           string   `json:"name"`
	Status         string   `json:"status"`
	AttachmentID   string   `json:"attachment_id"`
	AttachedTo     []string `json:"attached_to"`
	Fate           string   `json:"fate"`
	Disarmed       bool     `json:"disarmed"`
	Why            string   `json:"why"`
}

// portFate is of a port of the info cache, or of one that Neutron gives to the instance.
type portFate struct {
	ID       string `json:"id"`
	DeviceID string `json:"device_id"`
	Fate     string `json:"fate"`
	Disarmed bool   `json:"disarmed"`
}

// acts says whether the reaper does anything to a volume because of the row
// (nova/compute/manager.py _shutdown_instance, _cleanup_volumes).
func acts(m nova.Mapping) bool { return m.Detaches || m.DeleteOnTermination }

// foresee decides what is disarmed, and says what is left for nova-compute to do.
// With preserve, no volume is deleted.
func foresee(instance string, mappings []nova.Mapping, cached []nova.Port, held holdings, preserve bool) *Reap {
	r := &Reap{Volumes: []volumeFate{}, Ports: []portFate{}, Others: []string{}, instance: instance}
	for _, m := range mappings {
		if acts(m) {
			r.volume(m, held.volumes[m.VolumeID], preserve)
		}
	}
	for _, port := range cached {
		r.port(port, held.ports[port.ID])
	}
	for _, port := range held.own[instance] {
		// Whatever Neutron gives to the instance and the cache does not have, Nova deletes.
		if !slices.ContainsFunc(cached, func(known nova.Port) bool { return known.ID == port.ID }) {
			r.Ports = append(r.Ports, portFate{ID: port.ID, DeviceID: port.DeviceID, Fate: fateDeleted})
		}
	}
	return r
}

func (r *Reap) volume(m nova.Mapping, volume *heldVolume, preserve bool) {
	told := volumeFate{MappingID: m.ID, MappingDeleted: m.Deleted, VolumeID: m.VolumeID, AttachmentID: m.AttachmentID, AttachedTo: []string{},
		Fate: fateGone}
	if volume == nil {
		r.Volumes = append(r.Volumes, told)
		return
	}
	told.Name, told.Status = volume.Name, volume.Status
	var ours, others []string // the attachments' ids
	for _, a := range volume.all {
		if told.AttachedTo = append(told.AttachedTo, a.Instance); a.Instance == r.instance {
			ours = append(ours, a.ID)
		} else {
			others = append(others, a.ID)
		}
	}
	detach, destroy := m.Detaches, m.DeleteOnTermination
	switch {
	case len(ours) == 0:
		told.Why = "Cinder has no attachment of the instance for it"
		// A row that was alive with the instance lets the host disconnect what the guest had;
		// nova-compute then finds its attachment gone, and takes no other.
		detach = detach && m.AttachmentID != "" && !m.GivenBack && len(others) == 0
		destroy = false
	case slices.Contains(others, m.AttachmentID):
		told.Why, detach, destroy = "the row's attachment is another server's", false, false
	case m.GivenBack && !slices.Contains(ours, m.AttachmentID):
		told.Why, detach, destroy = "the instance gave it back by this row, and got it again by another", false, false
	case m.AttachmentID == "" && len(others) > 0:
		// terminate_connection is of the host, on which others of them may be.
		told.Why, detach, destroy = "others have it as well, and the row does not say by which attachment the instance has it", false, false
	case m.GivenBack && destroy:
		told.Why, destroy = "the instance gave it back", false
	case len(others) > 0 && destroy:
		told.Why, destroy = "others have it as well", false
	}
	if !m.Deleted && (m.Detaches != detach || m.DeleteOnTermination != destroy) {
		r.Others = append(r.Others, "volume "+m.VolumeID)
	}
	if preserve && destroy {
		told.Why, destroy = "preserve_volumes", false
	}
	switch {
	case destroy:
		told.Fate = fateDeleted
	case detach && len(ours) > 0:
		told.Fate = fateDetached
	default:
		told.Fate = fateLeft
	}
	if m.Detaches && !detach {
		r.Disarm.Detached = append(r.Disarm.Detached, m.ID)
	}
	if m.DeleteOnTermination && !destroy {
		r.Disarm.Preserved = append(r.Disarm.Preserved, m.ID)
	}
	told.Disarmed = m.Detaches != detach || m.DeleteOnTermination != destroy
	r.Volumes = append(r.Volumes, told)
}

func (r *Reap) port(cached nova.Port, port *neutron.Port) {
	told := portFate{ID: cached.ID, Fate: fateGone}
	users := cached.PreserveOnDelete != nil && *cached.PreserveOnDelete
	switch {
	case port == nil:
	case port.DeviceID != "" && port.DeviceID != r.instance:
		told.Fate, told.Disarmed = fateLeft, true
		r.Disarm.Ports = append(r.Disarm.Ports, cached.ID)
		r.Others = append(r.Others, "port "+cached.ID)
	case users:
		told.Fate = fateUnbound
	case port.DeviceID == r.instance:
		told.Fate = fateDeleted
	default:
		told.Fate = fateLeft
	}
	if port != nil {
		told.DeviceID = port.DeviceID
	}
	r.Ports = append(r.Ports, told)
}

// Disarming says what is disarmed, a step a line, each with why.
func (r *Reap) Disarming(cell string) (steps []string) {
	for _, v := range r.Volumes {
		if !v.Disarmed {
			continue
		}
		var what []string
		if slices.Contains(r.Disarm.Detached, v.MappingID) {
			what = append(what, "destination_type = NULL")
		}
		if slices.Contains(r.Disarm.Preserved, v.MappingID) {
			what = append(what, "delete_on_termination = 0")
		}
		steps = append(steps, fmt.Sprintf("%s: block_device_mapping: disarm row %d of volume %s (set %s): %s",
			cell, v.MappingID, v.VolumeID, strings.Join(what, ", "), v.Why))
	}
	for _, p := range r.Ports {
		if p.Disarmed {
			steps = append(steps, fmt.Sprintf("%s: instance_info_caches: disarm port %s (take it out of network_info): %s has it",
				cell, p.ID, p.DeviceID))
		}
	}
	return steps
}

// SideEffects says what nova-compute then does with each, and what it leaves.
func (r *Reap) SideEffects() (steps []string) {
	for _, v := range r.Volumes {
		if step := "afterwards " + v.effect(); !slices.Contains(steps, step) {
			steps = append(steps, step)
		}
	}
	for _, p := range r.Ports {
		steps = append(steps, "afterwards "+p.effect())
	}
	return steps
}

func (v volumeFate) effect() string {
	return map[string]string{
		fateDeleted:  "nova-compute DELETES volume " + v.VolumeID + ": its delete_on_termination is set",
		fateDetached: "nova-compute detaches volume " + v.VolumeID + ", by " + attachment(v.AttachmentID),
		fateLeft:     "volume " + v.VolumeID + " stays as it is: " + whoHas(v),
		fateGone:     "nothing happens to volume " + v.VolumeID + ": Cinder no longer has it",
	}[v.Fate]
}

func (p portFate) effect() string {
	return map[string]string{
		fateDeleted: "nova-compute DELETES port " + p.ID,
		fateUnbound: "nova-compute unbinds port " + p.ID + ", which it did not make",
		fateLeft:    "port " + p.ID + " stays as it is: " + orNobody(p.DeviceID) + " has it",
		fateGone:    "nothing happens to port " + p.ID + ": Neutron no longer has it",
	}[p.Fate]
}

func attachment(id string) string {
	if id == "" {
		return "volume and host, since its row is older than attachments"
	}
	return "attachment " + id
}

func whoHas(v volumeFate) string {
	if len(v.AttachedTo) == 0 {
		return "it is " + v.Status + ", and attached to nothing"
	}
	return "it is attached to " + strings.Join(named(v.AttachedTo), ", ")
}

// named are the servers, and a host where a volume is attached to none.
func named(servers []string) []string {
	unique := map[string]bool{}
	for _, server := range servers {
		if server == "" {
			server = "a host"
		}
		unique[server] = true
	}
	return slices.Sorted(maps.Keys(unique))
}

func orNobody(device string) string {
	if device == "" {
		return "nobody"
	}
	return device
}

// elsewhere are those of the volumes and ports that somebody else has by now, so that a
// restore must not give them to the instance a second time.
func elsewhere(instance string, held holdings) nova.Elsewhere {
	found := nova.Elsewhere{Volumes: map[string]string{}, Ports: map[string]string{}}
	for id, volume := range held.volumes {
		if volume == nil || volume.Multiattach {
			continue
		}
		var others []string
		for _, a := range volume.all {
			if a.Instance != instance {
				others = append(others, a.Instance)
			}
		}
		if len(others) > 0 {
			found.Volumes[id] = strings.Join(named(others), ", ") + " has it by now"
		}
	}
	for id, port := range held.ports {
		if port != nil && port.DeviceID != "" && port.DeviceID != instance {
			found.Ports[id] = port.DeviceID + " has it by now"
		}
	}
	return found
}
