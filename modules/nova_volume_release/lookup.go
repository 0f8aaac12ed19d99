package main

import (
	"context"
	"fmt"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/shared"
	"nova-orphan/internal/step"
)

// novaLookup tells what Nova knows of an instance. An error is "cannot tell".
type novaLookup interface {
	Lookup(ctx context.Context, uuid string) (novaEvidence, error)
}

// novaEvidence is what Nova knows.
type novaEvidence struct {
	judgement orphan.Judgement
	mappings  []mapping
	// untraced says that Nova's databases know nothing of the instance, so that it may be another cloud's that has the
	// same Cinder or Neutron. Nova's API cannot tell; but Cinder itself asks it before it detaches for no service of Nova's.
	untraced bool
	// mapped says that mappings is all there is: Nova was asked where it keeps them.
	mapped bool
	// made says of each port of the info cache whether Nova made it.
	made map[string]bool
	// deletedAt is when the instance was deleted; zero if it was not, or if nobody tells.
	deletedAt time.Time
	// given are the volumes of all of Nova's rows, the deleted ones, too, each with the time at
	// which it was given back, and portIDs the ports; see nova.Given.
	given   []nova.GivenVolume
	portIDs []string
}

// mapping is Nova's record that an instance has a volume.
type mapping struct {
	VolumeID            string `json:"volume_id"`
	AttachmentID        string `json:"attachment_id,omitempty"`
	Device              string `json:"device"`
	Root                bool   `json:"root"`
	DeleteOnTermination bool   `json:"delete_on_termination"`
}

// fromDatabases asks Nova's databases, and judges as nova_instance_purge does.
type fromDatabases struct {
	databases interface {
		FindAll(ctx context.Context, uuids []string) (map[string]nova.Finding, error)
	}
	policy step.Policy
	// found is asked for all instances that are looked at at the same time.
	found shared.Questions[string, nova.Finding]
}

// Lookup implements novaLookup.
func (d *fromDatabases) Lookup(ctx context.Context, uuid string) (novaEvidence, error) {
	finding, err := d.found.Ask(ctx, uuid, d.databases.FindAll)
	if err != nil {
		return novaEvidence{judgement: orphan.Judgement{Verdict: orphan.Unknown}}, err
	}
	said := novaEvidence{judgement: orphan.Judge(finding.Evidence(d.policy.Judging(uuid))), made: map[string]bool{}}
	said.untraced = said.judgement.Verdict == orphan.Absent
	all := finding.Given()
	said.given, said.deletedAt = all.Volumes, all.DeletedAt
	for _, port := range all.Ports {
		if said.portIDs = append(said.portIDs, port.ID); port.PreserveOnDelete != nil {
			said.made[port.ID] = !*port.PreserveOnDelete
		}
	}
	instance := finding.Instance(said.judgement)
	if said.mapped = instance != nil; !said.mapped {
		return said, nil
	}
	for _, v := range instance.Volumes {
		if v.Detached {
			continue // if Cinder has an attachment of it all the same, that tells the volume
		}
		said.mappings = append(said.mappings, mapping{v.VolumeID, v.AttachmentID, v.Device, v.Root, v.DeleteOnTermination})
	}
	return said, nil
}

// fromAPI asks Nova's API, which knows less: it shows no row that is deleted in
// whatever way, and not who made a port.
type fromAPI struct {
	api    novaAPI
	policy step.Policy
}

type novaAPI interface {
	Find(ctx context.Context, uuid string) (server *compute.Server, unmapped bool, err error)
	Migrations(ctx context.Context, instance string) ([]compute.Migration, error)
	Devices(ctx context.Context, uuid string) (map[string]string, error)
}

// Lookup implements novaLookup.
func (a fromAPI) Lookup(ctx context.Context, uuid string) (novaEvidence, error) {
	unknown := novaEvidence{judgement: orphan.Judgement{Verdict: orphan.Unknown}}
	server, unmapped, err := a.api.Find(ctx, uuid)
	if err != nil {
		return unknown, fmt.Errorf("cannot tell whether %s is alive: %w", uuid, err)
	}
	if server == nil {
		return novaEvidence{judgement: orphan.Judgement{Verdict: orphan.Absent,
			Reasons: []string{"API: no server has this UUID, in any project, and none is listed"}}}, nil
	}
	migrations, err := a.api.Migrations(ctx, uuid)
	if err != nil {
		return unknown, fmt.Errorf("ask nova about the migrations of %s: %w", uuid, err)
	}
	devices := map[string]string{}
	if !unmapped && len(server.Volumes) > 0 {
		if devices, err = a.api.Devices(ctx, uuid); err != nil {
			return unknown, fmt.Errorf("ask nova about the volumes of %s: %w", uuid, err)
		}
	}
	said := novaEvidence{judgement: orphan.Judge(server.Evidence(unmapped, migrations, a.policy.Judging(uuid))), mapped: true}
	for _, v := range server.Volumes {
		device := devices[v.ID]
		said.mappings = append(said.mappings, mapping{
			VolumeID: v.ID, Device: device, Root: device != "" && device == server.RootDevice, DeleteOnTermination: v.DeleteOnTermination,
		})
	}
	return said, nil
}
