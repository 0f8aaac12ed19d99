package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/orphan"
)

// evidence is all that was read about an instance.
type evidence struct {
	instance string
	novaEvidence
	// apiKnows says that Nova's API has the server; asked only where that decides.
	apiKnows    bool
	attachments []cinder.Attachment
	volumes     []volume
	snapshots   []cinder.Snapshot
	images      []image
	ports       []neutron.Port
	// former are the volumes that the instance gave back before it was deleted, and formerPorts
	// those of its ports that have another device by now, or none; only to be told.
	former      []volume
	formerPorts []neutron.Port
	gonePorts   []string
	// earlier is what this module's backups tell.
	earlier earlierBackups
	// What the cloud does not have.
	noCinder, noNeutron, noGlance bool
}

// volume is a volume that either side gives to the instance.
type volume struct {
	id string
	// cinder is nil for a volume that Cinder no longer has.
	cinder *cinder.Volume
	// mapping is nil for a volume of which Nova does not know.
	mapping *mapping
	// all are its attachments, whoever has it.
	all []cinder.Attachment
}

// others are the attachments of the volume to other instances, or to a host.
func (v volume) others(instance string) []cinder.Attachment {
	return slices.DeleteFunc(slices.Clone(v.all), func(a cinder.Attachment) bool { return a.Instance == instance })
}

// hasNoAttachment says that no attachment explains the volume's status, and that Cinder
// leaves it so: in the other statuses between (attaching, reserved) somebody may just
// now be getting it in the old way, hasNoAttachment an attachment of his own.
func (v volume) hasNoAttachment() bool {
	return v.cinder != nil && len(v.all) == 0 && slices.Contains([]string{"in-use", "detaching"}, v.cinder.Status)
}

// attached says that Cinder gives the volume to the instance now.
func (e evidence) attached(volume string) bool {
	return slices.ContainsFunc(e.attachments, func(a cinder.Attachment) bool { return a.VolumeID == volume })
}

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

// seen are the volumes, or ports, of which this call knows that they are the instance's: when
// the attachment is gone, nothing may say so any more.
type seen []string

// earlierBackups are the volumes of which a backup, of an earlier call or of this one, says that they
// were the instance's: what was begun and not finished.
type earlierBackups map[string]remembered

type remembered struct {
	// snapshots are those that the volume had.
	snapshots []string
	// attached are those that it had while Cinder gave it to the instance, and wasAttached says
	// that Cinder did.
	attached    []string
	wasAttached bool
}

func (m earlierBackups) add(earlier record) {
	ofVolume := map[string][]string{}
	for _, s := range earlier.Snapshots {
		ofVolume[s.VolumeID] = append(ofVolume[s.VolumeID], s.ID)
	}
	for _, v := range earlier.Volumes {
		known := m[v.ID]
		known.snapshots = append(known.snapshots, ofVolume[v.ID]...)
		if slices.ContainsFunc(earlier.Attachments, func(a attachment) bool { return a.VolumeID == v.ID }) {
			known.attached, known.wasAttached = append(known.attached, ofVolume[v.ID]...), true
		}
		if !v.Former {
			m[v.ID] = known
		}
	}
}

// loadEarlierBackups reads the backups of earlier calls.
func (t *task) loadEarlierBackups() error {
	files, err := backup.Earlier(t.BackupDir, t.instance, name)
	if err != nil {
		return err
	}
	t.earlier = earlierBackups{}
	for _, file := range files {
		var earlier record
		if err := backup.Read(file, name, t.instance, &earlier); err != nil {
			return err
		}
		t.earlier.add(earlier)
		// Nova's rows may have lost a port that is somebody else's by now; what became of it is told all the same.
		for _, port := range earlier.Ports {
			t.seenPorts.add(port.ID)
		}
	}
	return nil
}

func (s *seen) add(id string) {
	if id != "" && !slices.Contains(*s, id) {
		*s = append(*s, id)
	}
}

// read reads all of it. With an error, the verdict is unknown.
func (t *task) read(ctx context.Context) (e evidence, err error) {
	defer func() {
		if err != nil {
			e.judgement.Verdict = orphan.Unknown
		}
	}()
	e = evidence{instance: t.instance, noCinder: t.volumes == nil, noNeutron: t.ports == nil, noGlance: t.images == nil}
	if e.novaEvidence, err = t.lookup.Lookup(ctx, t.instance); err != nil {
		return e, err
	}
	if err = t.readVolumes(ctx, &e); err != nil {
		return e, err
	}
	if t.images != nil {
		if e.images, err = t.images.MadeFrom(ctx, t.instance, e.snapshots); err != nil {
			return e, err
		}
	}
	if err = t.readPorts(ctx, &e); err != nil {
		return e, err
	}
	if t.PreserveVolumes && slices.ContainsFunc(e.mappings, func(m mapping) bool { return m.DeleteOnTermination }) {
		found, err := t.nova.Server(ctx, t.instance)
		if err != nil {
			return e, err
		}
		e.apiKnows = found != nil
	}
	return e, nil
}

func (t *task) readPorts(ctx context.Context, e *evidence) (err error) {
	if t.ports == nil {
		return nil
	}
	if e.ports, err = t.ports.Ports(ctx, t.instance); err != nil {
		return err
	}
	for _, id := range e.portIDs {
		t.seenPorts.add(id)
	}
	for _, port := range e.ports {
		t.seenPorts.add(port.ID)
	}
	for _, id := range t.seenPorts {
		if slices.ContainsFunc(e.ports, func(p neutron.Port) bool { return p.ID == id }) {
			continue
		}
		port, err := t.ports.Port(ctx, id)
		switch {
		case err != nil:
			return err
		case port == nil:
			e.gonePorts = append(e.gonePorts, id)
		default:
			e.formerPorts = append(e.formerPorts, *port)
		}
	}
	return nil
}

func (t *task) readVolumes(ctx context.Context, e *evidence) (err error) {
	if t.volumes == nil {
		return nil
	}
	if !t.seesAll.Load() {
		if err = t.volumes.SeesAllProjects(ctx); err != nil {
			return err
		}
		t.seesAll.Store(true)
	}
	if e.attachments, err = t.volumes.Attachments(ctx, t.instance); err != nil {
		return err
	}
	for _, m := range e.mappings {
		t.seen.add(m.VolumeID)
	}
	for _, a := range e.attachments {
		t.seen.add(a.VolumeID)
	}
	for _, id := range t.seen {
		v, snapshots, err := t.readVolume(ctx, id)
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(e.mappings, func(m mapping) bool { return m.VolumeID == id }); at >= 0 {
			v.mapping = &e.mappings[at]
		}
		e.volumes, e.snapshots = append(e.volumes, v), append(e.snapshots, snapshots...)
	}
	for _, id := range slices.Sorted(maps.Keys(t.earlier)) {
		if slices.Contains(t.seen, id) {
			continue
		}
		v, snapshots, err := t.readVolume(ctx, id)
		if err != nil {
			return err
		}
		if v.cinder == nil || len(v.all) > 0 {
			continue // it is gone, or somebody else's by now
		}
		// What its owner has made of it since is his.
		snapshots = slices.DeleteFunc(snapshots, func(s cinder.Snapshot) bool { return !slices.Contains(t.earlier[id].snapshots, s.ID) })
		e.volumes, e.snapshots = append(e.volumes, v), append(e.snapshots, snapshots...)
	}
	e.earlier = t.earlier
	return t.readFormer(ctx, e)
}

// readFormer reads the volumes that only Nova's deleted rows still name.
func (t *task) readFormer(ctx context.Context, e *evidence) error {
	for _, given := range e.given {
		if slices.ContainsFunc(e.volumes, func(v volume) bool { return v.id == given.ID }) {
			continue
		}
		v, _, err := t.readVolume(ctx, given.ID)
		if err != nil {
			return err
		}
		e.former = append(e.former, v)
	}
	return nil
}

func (t *task) readVolume(ctx context.Context, id string) (v volume, snapshots []cinder.Snapshot, err error) {
	v.id = id
	if v.cinder, err = t.volumes.Volume(ctx, id); err != nil || v.cinder == nil {
		return v, nil, err
	}
	if v.all, err = t.volumes.AttachmentsOf(ctx, id); err != nil {
		return v, nil, err
	}
	snapshots, err = t.volumes.Snapshots(ctx, id)
	return v, snapshots, err
}
