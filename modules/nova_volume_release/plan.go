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
	deleteSnapshot kind = "delete_snapshot"
	unbind         kind = "unbind"      // a port that the user made
	deletePort     kind = "delete_port" // a port that Nova made
)

// of is the key of such a step.
func (k kind) of(id string) string { return string(k) + " " + id }

// action is one write.
type action struct {
	kind kind
	id   string // of the volume, attachment, snapshot or port
	// volume is the attachment's.
	volume string
	text   string
}

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

func (p plan) lines() (lines []string) {
	if len(p.steps) == 0 {
		return nil
	}
	for _, s := range p.steps {
		lines = append(lines, s.text)
	}
	return append(lines, p.foreseen...)
}

// notAnOrphan is the refusal of what the judgement protects; nil if it does not.
func notAnOrphan(instance string, j orphan.Judgement, when string) orphan.Refusal {
	if !j.Refuses() {
		return nil
	}
	return append(orphan.Refusal{fmt.Sprintf("instance %s is %s%s", instance, j.Verdict, when)}, j.Reasons...)
}

// decide gives the plan, or the refusal.
func decide(e evidence, p parameters) (plan, error) {
	against := notAnOrphan(e.instance, e.judgement, "")
	if e.noCinder && len(e.mappings) > 0 {
		var volumes []string
		for _, m := range e.mappings {
			volumes = append(volumes, m.VolumeID)
		}
		against.Add("nova gives the instance the volumes %s, but keystone's catalog has no volumev3: cannot tell what cinder has",
			strings.Join(volumes, ", "))
	}
	if e.noNeutron && len(e.made) > 0 && p.Ports == release {
		against.Add("nova gives the instance %d ports, but keystone's catalog has no network: cannot tell what neutron has (ports: keep "+
			"leaves them)", len(e.made))
	}
	if e.untraced {
		return leaveUntraced(e, p), nil
	}
	var made plan
	made.preserve(e, p, &against)
	made.detach(e)
	made.leaveBetween(e)
	made.deleteSnapshots(e, p)
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
	for _, a := range e.Attachments {
		found.addRemaining("attachment %s gives the instance volume %s (%s)", a.ID, e.volume(a.VolumeID), a.Status)
	}
	found.preserve(e, p, &orphan.Refusal{})
	found.leaveBetween(e)
	found.deleteSnapshots(e, p)
	found.spare(e)
	for _, p := range e.Ports {
		if e.owns(p) {
			found.addRemaining("port %s has the instance as its device", p)
		}
	}
	return found.remains
}

// spare says of what Nova's rows still name, and somebody else has by now, that it is left to him.
func (p *plan) spare(e evidence) {
	for _, v := range e.Volumes {
		if len(v.AttachedTo) > 0 && !e.attached(v.ID) {
			p.addRemaining("volume %s is untouched: others have it by now: %s", v, strings.Join(v.AttachedTo, ", "))
		}
	}
	for _, port := range e.Ports {
		if port.DeviceID != "" && !e.owns(port) {
			p.addRemaining("port %s is untouched: it is of %s by now (%s)", port, port.DeviceID, port.DeviceOwner)
		}
	}
}

// preserve takes delete_on_termination from the mappings, or says what will come of it.
func (p *plan) preserve(e evidence, want parameters, against *orphan.Refusal) {
	if slices.Contains([]orphan.Verdict{orphan.Archived, orphan.Lost, orphan.Absent}, e.judgement.Verdict) {
		return // nova does nothing with the mappings any more
	}
	for _, v := range e.Volumes {
		switch {
		case !v.DeleteOnTermination || v.Gone:
		case want.PreserveVolumes && e.apiKnows:
			p.add(preserve, v.ID, v.ID, "keep volume %s when nova deletes the instance: clear its delete_on_termination", v)
		case want.PreserveVolumes:
			against.Add("preserve_volumes cannot be granted to volume %s: nova's API, which alone takes delete_on_termination from it, does "+
				"not know the instance. Only the row can be changed: UPDATE block_device_mapping SET delete_on_termination = 0 WHERE instance_uuid "+
				"= '%s' AND volume_id = '%s' (leave preserve_volumes out if nova has nothing left to delete)",
				v, e.instance, v.ID)
		case len(v.AttachedTo) > 0 && !e.attached(v.ID):
			p.addRemaining("nova is to delete volume %s with the instance: its delete_on_termination is set; cinder does not, while others have it",
				v)
		default:
			line := fmt.Sprintf("nova DELETES volume %s when it deletes the instance: its delete_on_termination is set (preserve_volumes: true "+
				"takes that from it)", v)
			if e.judgement.Verdict == orphan.Deleted {
				line = fmt.Sprintf("nova-compute DELETES volume %s if it has still to reap the instance: its delete_on_termination is set", v)
			}
			p.foreseen = append(p.foreseen, "afterwards "+line)
			p.remains = append(p.remains, line)
		}
	}
}

// detach is for every attachment of the instance, whatever its status.
func (p *plan) detach(e evidence) {
	for _, a := range e.Attachments {
		v, what := e.volume(a.VolumeID), ""
		if v.Root {
			what = "the root disk, "
		}
		if !v.Mapped && e.mapped {
			what += "of which nova does not know, "
		}
		p.add(detach, a.ID, a.VolumeID, "detach volume %s: delete its attachment %s (%s%s)", v, a.ID, what, a.Status)
	}
	for _, v := range e.Volumes {
		if v.Mapped && v.Gone && !e.judgement.Verdict.Gone() {
			p.addRemaining("nova still maps volume %s, which cinder no longer has: nova forgets it with the instance", v)
		}
	}
}

// leaveBetween is for volumes that Cinder has left between: no attachment explains their status. They are
// not reset here: somebody may just now be getting one, in the old way without an attachment of his own.
func (p *plan) leaveBetween(e evidence) {
	statuses := []string{"in-use", "detaching", "attaching", "reserved", "error_attaching", "error_detaching"}
	for _, v := range e.Volumes {
		if v.Former || v.Gone || len(v.AttachedTo) > 0 || !slices.Contains(statuses, v.Status) {
			continue
		}
		unless := ""
		if v.Multiattach || !slices.Contains(statuses[:2], v.Status) {
			unless = "if nobody is attaching it, "
		}
		p.addRemaining("volume %s is %s without an attachment: %sopenstack volume set --state available --detached %s", v, v.Status, unless, v.ID)
	}
}

func (p *plan) deleteSnapshots(e evidence, want parameters) {
	for _, s := range e.Snapshots {
		switch kept := e.kept(s); {
		case !want.DeleteSnapshots:
			p.addRemaining("snapshot %s (%s) of volume %s stays: delete_snapshots: true deletes it", s.ID, s.Name, s.VolumeID)
		case kept != "":
			p.addRemaining("snapshot %s (%s) of volume %s stays: %s", s.ID, s.Name, s.VolumeID, kept)
		default:
			p.add(deleteSnapshot, s.ID, s.VolumeID, "delete snapshot %s (%s) of volume %s", s.ID, s.Name, s.VolumeID)
		}
	}
	for _, i := range e.Images {
		p.addRemaining("server image %s (%s) was made from the instance: it stays", i.ID, i.Name)
	}
}

// kept says why a snapshot is not deleted even if that is asked for.
func (e evidence) kept(s cinder.Snapshot) string {
	for _, i := range e.Images {
		if slices.Contains(i.Snapshots, s.ID) {
			return fmt.Sprintf("the server image %s (%s) consists of it", i.ID, i.Name)
		}
	}
	if others := e.volume(s.VolumeID).OtherServers; len(others) > 0 {
		return "others have its volume: " + strings.Join(others, ", ")
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
	end := e.returned(s.VolumeID)
	made, err := time.Parse("2006-01-02T15:04:05.999999", s.CreatedAt)
	if !end.IsZero() && (err != nil || made.After(end)) {
		return fmt.Sprintf("it was made at %s, after the instance was deleted or gave its volume back (%s)", s.CreatedAt,
			end.Format(time.RFC3339))
	}
	if e.attached(s.VolumeID) {
		return ""
	}
	why := "nothing proves that it was made while the volume was the instance's: cinder does not give it the volume, and no backup of this " +
		"module lists it from when it did"
	for _, r := range e.earlier {
		if !r.attached(s.VolumeID) {
			continue
		}
		if r.hasSnapshot(s.ID) {
			return ""
		}
		why = "it was made after a backup of this module that lists the others, and its volume has been given back since"
	}
	return why
}
