package main

import (
	"context"
	"fmt"
	"time"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// witness tells what Nova knows of an instance. An error is "cannot tell".
type witness interface {
	Testify(ctx context.Context, uuid string) (testimony, error)
}

// testimony is what Nova knows.
type testimony struct {
	judgement orphan.Judgement
	mappings  []mapping
	// mapped says that mappings is all there is: Nova was asked where it keeps them.
	mapped bool
	// made says of each port of the info cache whether Nova made it.
	made map[string]bool
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
		Find(ctx context.Context, uuid string) (nova.Finding, error)
	}
	minAge time.Duration
}

// Testify implements witness.
func (d fromDatabases) Testify(ctx context.Context, uuid string) (testimony, error) {
	finding, err := d.databases.Find(ctx, uuid)
	if err != nil {
		return testimony{judgement: orphan.Judgement{Verdict: orphan.Unknown}}, err
	}
	said := testimony{judgement: orphan.Judge(finding.Evidence(d.minAge)), mapped: true, made: map[string]bool{}}
	instance := finding.Instance(said.judgement.Verdict)
	if instance == nil {
		return said, nil
	}
	for _, v := range instance.Volumes {
		said.mappings = append(said.mappings, mapping{v.VolumeID, v.AttachmentID, v.Device, v.Root, v.DeleteOnTermination})
	}
	for _, port := range instance.Ports {
		if port.PreserveOnDelete != nil {
			said.made[port.ID] = !*port.PreserveOnDelete
		}
	}
	return said, nil
}

// fromAPI asks Nova's API, which knows less: an instance that is not there may be a
// row of which the API sees nothing.
type fromAPI struct {
	api    novaAPI
	minAge time.Duration
}

// Testify implements witness.
func (a fromAPI) Testify(ctx context.Context, uuid string) (testimony, error) {
	unknown := testimony{judgement: orphan.Judgement{Verdict: orphan.Unknown}}
	found, err := a.api.Server(ctx, uuid)
	if err != nil {
		return unknown, fmt.Errorf("ask nova about %s: %w", uuid, err)
	}
	if found == nil {
		if err = a.api.SeesAllProjects(ctx); err != nil {
			return unknown, fmt.Errorf("cannot tell whether %s is alive: %w", uuid, err)
		}
		return testimony{judgement: orphan.Judgement{Verdict: orphan.Absent, Reasons: []string{"nova's API does not know the instance (with nova_conf, its databases are asked instead)"}}}, nil
	}
	migrations, err := a.api.Migrations(ctx, uuid)
	if err != nil {
		return unknown, fmt.Errorf("ask nova about the migrations of %s: %w", uuid, err)
	}
	said := testimony{judgement: a.judge(uuid, *found, migrations), mapped: true}
	if said.mappings, err = a.api.Volumes(ctx, uuid); err != nil {
		return unknown, fmt.Errorf("ask nova about the volumes of %s: %w", uuid, err)
	}
	for i := range said.mappings {
		said.mappings[i].Root = said.mappings[i].Device != "" && said.mappings[i].Device == found.Root
	}
	return said, nil
}

// judge puts what the API shows into the terms of the judge.
func (a fromAPI) judge(uuid string, s server, migrations []migration) orphan.Judgement {
	cell := orphan.Cell{Name: "nova's API", Now: s.Now, Row: &orphan.Row{
		ID: 1, Host: s.Host, VMState: s.VMState, TaskState: s.TaskState, CreatedAt: s.Created, UpdatedAt: s.Updated,
	}}
	for _, m := range migrations {
		cell.Migrations = append(cell.Migrations, orphan.Migration{UUID: m.UUID, Status: m.Status})
	}
	return orphan.Judge(orphan.Evidence{
		UUID: uuid, MinAge: a.minAge, Cells: []orphan.Cell{cell}, Mapping: &orphan.Mapping{HasCell: true, CellKnown: true},
	})
}
