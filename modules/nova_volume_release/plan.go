package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/orphan"
)

// kind is what a step does.
type kind string

const (
	preserve       kind = "preserve" // let Nova keep a volume
	detach         kind = "detach"   // delete an attachment
	reset          kind = "reset"    // make a volume available
	deleteSnapshot kind = "delete_snapshot"
	deleteVolume   kind = "delete_volume" // the root disk
	unbind         kind = "unbind"        // a port that the user made
	deletePort     kind = "delete_port"   // a port that Nova made
)

// action is one write.
type action struct {
	kind kind
	id   string // of the volume, attachment, snapshot or port
	// volume is the attachment's.
	volume string
	text   string
}

func (s action) same(other action) bool { return s.kind == other.kind && s.id == other.id }

// plan is what is to be done, and what stays as it is all the same.
type plan struct {
	steps []action
	// foreseen is what Nova itself does later.
	foreseen []string
	// remains is what is left of the instance, each with the reason, and with what a
	// person can do about it.
	remains []string
}

func (p *plan) add(kind kind, id, volume, format string, values ...any) {
	p.steps = append(p.steps, action{kind, id, volume, fmt.Sprintf(format, values...)})
}

func (p *plan) addRemaining(format string, values ...any) {
	p.remains = append(p.remains, fmt.Sprintf(format, values...))
}

// decide gives the plan, or the refusal.
func decide(e evidence, p parameters) (plan, error) {
	var against orphan.Refusal
	if e.judgement.Refuses() {
		against.Add("instance %s is %s", e.instance, e.judgement.Verdict)
		against = append(against, e.judgement.Reasons...)
	}
	if e.noCinder && len(e.mappings) > 0 {
		against.Add("nova gives the instance the volumes %s, but keystone's catalog has no volumev3: cannot tell what cinder has",
			listVolumes(e.mappings))
	}
	if e.noNeutron && len(e.made) > 0 && p.Ports == release {
		against.Add("nova gives the instance %d ports, but keystone's catalog has no network: cannot tell what neutron has (ports: keep "+
			"leaves them)", len(e.made))
	}
	var made plan
	made.preserve(e, p, &against)
	made.detach(e)
	made.reset(e, p)
	made.deleteSnapshots(e, p)
	made.deleteRoot(e, p, &against)
	made.releasePorts(e, p)
	made.spare(e)
	if len(against) > 0 {
		return plan{}, against
	}
	return made, nil
}

// inventory is what there is, for who only wants to see it.
func inventory(e evidence, p parameters) []string {
	found := plan{remains: []string{}}
	for _, a := range e.attachments {
		found.addRemaining("attachment %s gives the instance volume %s (%s)", a.ID, e.volume(a.VolumeID), a.Status)
	}
	found.preserve(e, p, &orphan.Refusal{})
	found.reset(e, p)
	found.deleteSnapshots(e, p)
	found.spare(e)
	for _, port := range e.ports {
		found.addRemaining("port %s has the instance as its device", describePort(port))
	}
	return found.remains
}

func listVolumes(mappings []mapping) string {
	var ids []string
	for _, m := range mappings {
		ids = append(ids, m.VolumeID)
	}
	return strings.Join(ids, ", ")
}

// spare says of what Nova's rows still name, and somebody else has by now, that it is left to him.
func (p *plan) spare(e evidence) {
	for _, v := range slices.Concat(e.volumes, e.former) {
		if len(v.all) > 0 && !e.attached(v.id) {
			p.addRemaining("volume %s is untouched: others have it by now: %s", v, listInstances(v.all))
		}
	}
	for _, port := range e.formerPorts {
		if port.DeviceID != "" {
			p.addRemaining("port %s is untouched: it is of %s by now (%s)", describePort(port), port.DeviceID, port.DeviceOwner)
		}
	}
}

// acts says that Nova still does something with the instance's mappings.
func acts(verdict orphan.Verdict) bool {
	return verdict != orphan.Archived && verdict != orphan.Lost && verdict != orphan.Absent
}

// preserve takes delete_on_termination from the mappings, or says what will come of it.
func (p *plan) preserve(e evidence, want parameters, against *orphan.Refusal) {
	for _, v := range e.volumes {
		if v.mapping == nil || !v.mapping.DeleteOnTermination || v.cinder == nil || !acts(e.judgement.Verdict) {
			continue
		}
		switch {
		case want.DeleteRoot && v.mapping.Root: // goes anyway
		case !want.PreserveVolumes:
			if len(v.all) > 0 && !e.attached(v.id) {
				p.addRemaining("nova is to delete volume %s with the instance: its delete_on_termination is set; cinder does not, while others have it",
					v)
				continue
			}
			line := fmt.Sprintf("nova DELETES volume %s when it deletes the instance: its delete_on_termination is set (preserve_volumes: true "+
				"takes that from it)", v)
			if e.judgement.Verdict == orphan.Deleted {
				line = fmt.Sprintf("nova-compute DELETES volume %s if it has still to reap the instance: its delete_on_termination is set", v)
			}
			p.foreseen = append(p.foreseen, "afterwards "+line)
			p.remains = append(p.remains, line)
		case e.apiKnows:
			p.add(preserve, v.id, v.id, "keep volume %s when nova deletes the instance: clear its delete_on_termination", v)
		default:
			against.Add("preserve_volumes cannot be granted to volume %s: nova's API, which alone takes delete_on_termination from it, does "+
				"not know the instance. Only the row can be changed: UPDATE block_device_mapping SET delete_on_termination = 0 WHERE instance_uuid "+
				"= '%s' AND volume_id = '%s' (leave preserve_volumes out if nova has nothing left to delete)",
				v, e.instance, v.id)
		}
	}
}

func (v volume) String() string {
	if v.cinder != nil && v.cinder.Name != "" {
		return v.id + " (" + v.cinder.Name + ")"
	}
	return v.id
}

// detach is for every attachment of the instance, whatever its status.
func (p *plan) detach(e evidence) {
	for _, a := range e.attachments {
		v, what := e.volume(a.VolumeID), ""
		if v.mapping != nil && v.mapping.Root {
			what = "the root disk, "
		}
		if v.mapping == nil && e.mapped {
			what += "of which nova does not know, "
		}
		p.add(detach, a.ID, a.VolumeID, "detach volume %s: delete its attachment %s (%s%s)", v, a.ID, what, a.Status)
	}
	for _, v := range e.volumes {
		if v.mapping != nil && v.cinder == nil && !e.judgement.Verdict.Gone() {
			p.addRemaining("nova still maps volume %s, which cinder no longer has: nova forgets it with the instance", v.id)
		}
	}
}

func (e evidence) volume(id string) volume {
	for _, v := range e.volumes {
		if v.id == id {
			return v
		}
	}
	return volume{id: id}
}

// reset is for volumes that Cinder has left between.
func (p *plan) reset(e evidence, want parameters) {
	for _, v := range e.volumes {
		switch command := "openstack volume set --state available --detached " + v.id; {
		case !v.hasNoAttachment():
			if v.cinder != nil && len(v.all) == 0 && slices.Contains([]string{"attaching", "reserved", "error_attaching", "error_detaching"},
				v.cinder.Status) {
				p.addRemaining("volume %s is %s without an attachment: if nobody is attaching it, %s", v, v.cinder.Status, command)
			}
		case v.cinder.Multiattach:
			// Somebody else could attach it at the same time, and the reset would undo that.
			p.addRemaining("volume %s is %s without an attachment; since it takes several, it is not reset here: %s", v, v.cinder.Status, command)
		case want.ResetVolumes:
			p.add(reset, v.id, v.id, "reset volume %s, which is %s without an attachment, to available", v, v.cinder.Status)
		default:
			p.addRemaining("volume %s is %s without an attachment: reset_volumes: true, or %s", v, v.cinder.Status, command)
		}
	}
}

// kept says why a snapshot is not deleted even if that is asked for.
func (e evidence) kept(s cinder.Snapshot, instance string) string {
	for _, i := range e.images {
		if slices.Contains(i.Snapshots, s.ID) {
			return fmt.Sprintf("the server image %s (%s) consists of it", i.ID, i.Name)
		}
	}
	if others := e.volume(s.VolumeID).others(instance); len(others) > 0 {
		return "others have its volume: " + listInstances(others)
	}
	if !slices.Contains([]string{"available", "error", "error_deleting"}, s.Status) {
		return "it is " + s.Status
	}
	return e.unproven(s)
}

// unproven says why a snapshot may have been made when the volume had gone back to its owner,
// whose it is then. It was not if Cinder still gives the volume to the instance, or did so
// when a backup listed the snapshot. That the rows were deleted later proves nothing: a purge
// deletes rows whose volumes have long been somebody else's.
func (e evidence) unproven(s cinder.Snapshot) string {
	end, known := e.returned(s.VolumeID), e.earlier[s.VolumeID]
	made, err := time.Parse("2006-01-02T15:04:05.999999", s.CreatedAt)
	switch {
	case !end.IsZero() && (err != nil || made.After(end)):
		return fmt.Sprintf("it was made at %s, after the instance was deleted or gave its volume back (%s)", s.CreatedAt,
			end.Format(time.RFC3339))
	case e.attached(s.VolumeID) || slices.Contains(known.attached, s.ID):
		return ""
	case known.wasAttached:
		return "it was made after a backup of this module that lists the others, and its volume has been given back since"
	}
	return "nothing proves that it was made while the volume was the instance's: cinder does not give it the volume, and no backup of this " +
		"module lists it from when it did"
}

func listInstances(attachments []cinder.Attachment) string {
	var names []string
	for _, a := range attachments {
		if name := attachedTo(a); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// attachedTo is a server, or else a host.
func attachedTo(a cinder.Attachment) string {
	if a.Instance == "" {
		return "a host, by attachment " + a.ID
	}
	return a.Instance
}

func (p *plan) deleteSnapshots(e evidence, want parameters) {
	for _, s := range e.snapshots {
		switch kept := e.kept(s, e.instance); {
		case !want.DeleteSnapshots:
			p.addRemaining("snapshot %s (%s) of volume %s stays: delete_snapshots: true deletes it", s.ID, s.Name, s.VolumeID)
		case kept != "":
			p.addRemaining("snapshot %s (%s) of volume %s stays: %s", s.ID, s.Name, s.VolumeID, kept)
		default:
			p.add(deleteSnapshot, s.ID, s.VolumeID, "delete snapshot %s (%s) of volume %s", s.ID, s.Name, s.VolumeID)
		}
	}
	for _, i := range e.images {
		p.addRemaining("server image %s (%s) was made from the instance: it stays", i.ID, i.Name)
	}
}

// deleteRoot deletes only what is certain to be the root disk, and nobody else's.
func (p *plan) deleteRoot(e evidence, want parameters, against *orphan.Refusal) {
	if !want.DeleteRoot {
		return
	}
	if len(e.mappings) == 0 && len(e.attachments) > 0 {
		against.Add("delete_root_volume cannot be granted: nova has no mapping that says which of the volumes is the root disk")
	}
	for _, v := range e.volumes {
		if v.mapping == nil || !v.mapping.Root || v.cinder == nil {
			continue
		}
		if v.cinder.Status == "deleting" {
			p.addRemaining("volume %s is being deleted", v)
			continue
		}
		if others := v.others(e.instance); len(others) > 0 {
			against.Add("the root disk, volume %s, is not deleted: others have it: %s (without delete_root_volume it is only detached)", v,
				listInstances(others))
		}
		if v.hasNoAttachment() && (!want.ResetVolumes || v.cinder.Multiattach) {
			against.Add("the root disk, volume %s, is %s without an attachment, and cannot be deleted so (reset_volumes: true)", v,
				v.cinder.Status)
		}
		if !e.attached(v.id) && !e.earlier[v.id].wasAttached && e.returned(v.id).IsZero() {
			against.Add("the root disk, volume %s, is not deleted: nothing proves that it is still the instance's: cinder does not give it "+
				"the volume, and nova does not say when it gave it back (openstack volume delete %s, if you know)", v, v.id)
		}
		for _, s := range e.snapshots {
			if s.VolumeID != v.id {
				continue
			}
			if kept := e.kept(s, e.instance); !want.DeleteSnapshots {
				against.Add("the root disk, volume %s, is not deleted while it has the snapshot %s (%s) (delete_snapshots: true)", v, s.ID, s.Name)
			} else if kept != "" {
				against.Add("the root disk, volume %s, is not deleted while it has the snapshot %s (%s), which stays: %s", v, s.ID, s.Name, kept)
			}
		}
		p.add(deleteVolume, v.id, v.id, "DELETE volume %s, the root disk", v)
	}
}
