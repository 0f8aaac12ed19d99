package main

import (
	"context"
	"slices"
	"time"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// evidence is all that was read about an instance.
type evidence struct {
	instance string
	novaEvidence
	// apiKnows says that Nova's API has the server; asked only where that decides.
	apiKnows bool
	holdings
	// earlier is what this module's backups tell.
	earlier []record
	// What the cloud does not have.
	noCinder, noNeutron bool
}

// owns says that the instance is the port's device.
func (e evidence) owns(p port) bool { return p.DeviceID == e.instance }

// returned is when the instance gave the volume back: the earliest time that Nova's rows
// say, zero if they say none.
func (e evidence) returned(volume string) time.Time {
	at := e.deletedAt
	for _, v := range e.given {
		if v.ID == volume && !v.Returned.IsZero() && (at.IsZero() || v.Returned.Before(at)) {
			at = v.Returned
		}
	}
	return at
}

// loadEarlierBackups reads the backups of earlier calls.
func (t *task) loadEarlierBackups() error {
	files, err := backup.Earlier(t.BackupDir, t.instance, name)
	if err != nil {
		return err
	}
	for _, file := range files {
		var earlier record
		if err := backup.Read(file, name, t.instance, &earlier); err != nil {
			return err
		}
		t.earlier = append(t.earlier, earlier)
	}
	return nil
}

// read reads all of it. With an error, the verdict is unknown.
func (t *task) read(ctx context.Context) (e evidence, err error) {
	e = evidence{instance: t.instance, earlier: t.earlier, noCinder: t.volumes == nil, noNeutron: t.ports == nil, holdings: nothing()}
	e.novaEvidence, err = t.lookup.Lookup(ctx, t.instance)
	t.trace(&e)
	for _, read := range []func(context.Context, *evidence) error{t.readVolumes, t.readImages, t.readPorts, t.readServer} {
		if err == nil {
			err = read(ctx, &e)
		}
	}
	if err != nil {
		e.judgement.Verdict = orphan.Unknown
	}
	return e, err
}

func (t *task) readVolumes(ctx context.Context, e *evidence) error {
	if t.volumes == nil {
		return nil
	}
	own, err := t.volumes.Attachments(ctx, t.instance)
	if err != nil {
		return err
	}
	for _, m := range e.mappings {
		t.seen = appendNew(t.seen, m.VolumeID)
	}
	for _, a := range own {
		t.seen = appendNew(t.seen, a.VolumeID)
		e.Attachments = append(e.Attachments, attachment{
			ID: a.ID, VolumeID: a.VolumeID, Status: a.Status, Mode: a.Mode, AttachedAt: a.AttachedAt, Connection: a.Connection,
		})
	}
	begun := t.begun()
	volumes := appendNew(slices.Clone(t.seen), begun...)
	for _, v := range e.given {
		volumes = appendNew(volumes, v.ID)
	}
	for _, id := range volumes {
		v, err := t.readVolume(ctx, e, id)
		if err != nil {
			return err
		}
		ours := slices.Contains(t.seen, id)
		switch {
		case ours:
		case slices.Contains(begun, id) && !v.Gone && len(v.AttachedTo) == 0: // else it is gone, or somebody else's by now
		case slices.ContainsFunc(e.given, func(given nova.GivenVolume) bool { return given.ID == id }):
			v.Former = true
		default:
			continue
		}
		e.Volumes = append(e.Volumes, v)
		if v.Gone || v.Former {
			continue
		}
		snapshots, err := t.volumes.Snapshots(ctx, id)
		if err != nil {
			return err
		}
		for _, s := range snapshots {
			// What its owner has made of one that he got back is his.
			if ours || slices.ContainsFunc(t.earlier, func(r record) bool { return r.hasSnapshot(s.ID) }) {
				e.Snapshots = append(e.Snapshots, s)
			}
		}
	}
	return nil
}

// begun are the volumes of which a backup says that they were the instance's: what was begun and perhaps not finished.
func (t *task) begun() (volumes []string) {
	for _, r := range t.earlier {
		for _, v := range r.Volumes {
			if !v.Former {
				volumes = appendNew(volumes, v.ID)
			}
		}
	}
	slices.Sort(volumes)
	return volumes
}

func (t *task) readVolume(ctx context.Context, e *evidence, id string) (volume, error) {
	v := volume{ID: id, OtherServers: []string{}, AttachedTo: []string{}}
	if at := slices.IndexFunc(e.mappings, func(m mapping) bool { return m.VolumeID == id }); at >= 0 {
		m := e.mappings[at]
		v.Mapped, v.Device, v.Root, v.DeleteOnTermination = true, m.Device, m.Root, m.DeleteOnTermination
	}
	found, err := t.volumes.Volume(ctx, id)
	if v.Gone = found == nil; err != nil || v.Gone {
		return v, err
	}
	v.Name, v.Status, v.Size, v.ProjectID = found.Name, found.Status, found.Size, found.TenantID
	v.Multiattach, v.Bootable = found.Multiattach, found.Bootable == "true"
	for _, shown := range found.Attachments {
		for i := range e.Attachments {
			if a := &e.Attachments[i]; a.ID == shown.AttachmentID {
				a.Device, a.Host = shown.Device, shown.HostName
			}
		}
	}
	attachments, err := t.volumes.AttachmentsOf(ctx, id)
	for _, a := range attachments {
		name := a.Instance
		if name == "" {
			name = "a host, by attachment " + a.ID
		}
		v.AttachedTo = appendNew(v.AttachedTo, name)
		if name != t.instance {
			v.OtherServers = appendNew(v.OtherServers, name)
		}
	}
	return v, err
}

func (t *task) readImages(ctx context.Context, e *evidence) error {
	if t.images == nil {
		return nil
	}
	found, err := t.images.MadeFrom(ctx, t.instance, e.Snapshots)
	e.Images = append(e.Images, found...)
	return err
}

func (t *task) readPorts(ctx context.Context, e *evidence) error {
	if t.ports == nil {
		return nil
	}
	own, err := t.ports.PortsOf(ctx, t.instance)
	if err != nil {
		return err
	}
	for _, p := range own {
		e.Ports = append(e.Ports, port{Port: p})
	}
	// Nova's rows may have lost a port that is somebody else's by now; what became of it is told all the same.
	known := appendNew(nil, e.portIDs...)
	for _, r := range t.earlier {
		for _, p := range r.Ports {
			known = appendNew(known, p.ID)
		}
	}
	for _, id := range known {
		if slices.ContainsFunc(own, func(p neutron.Port) bool { return p.ID == id }) {
			continue
		}
		found, err := t.ports.Port(ctx, id)
		switch {
		case err != nil:
			return err
		case found == nil:
			e.Ports = append(e.Ports, port{Port: neutron.Port{ID: id}, Gone: true})
		default:
			e.Ports = append(e.Ports, port{Port: *found})
		}
	}
	for i := range e.Ports {
		if byNova, known := e.made[e.Ports[i].ID]; known {
			e.Ports[i].MadeByNova = &byNova
		}
	}
	return nil
}

// readServer asks Nova's API, which alone takes delete_on_termination from a volume.
func (t *task) readServer(ctx context.Context, e *evidence) error {
	if !t.PreserveVolumes || !slices.ContainsFunc(e.mappings, func(m mapping) bool { return m.DeleteOnTermination }) {
		return nil
	}
	found, err := t.nova.Server(ctx, t.instance)
	e.apiKnows = found != nil
	return err
}
