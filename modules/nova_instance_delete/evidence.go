package main

import (
	"context"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/orphan"
)

// sighting is what Nova's API knows of the instance at one time.
type sighting struct {
	uuid   string
	server *compute.Server // nil: none, and that is certain
	// unmapped says that the server is listed, but not found by its UUID, so that no
	// request reaches it.
	unmapped   bool
	migrations []compute.Migration
}

// look reads all that is judged. What is not read is an error, never absence.
func (t *task) look(ctx context.Context) (sighting, error) {
	s := sighting{uuid: t.InstanceUUID}
	var err error
	if s.server, s.unmapped, err = t.find(ctx); err != nil || s.server == nil {
		return s, err
	}
	s.migrations, err = t.nova.Migrations(ctx, t.InstanceUUID)
	return s, err
}

// find takes no 404 for an answer: Nova gives it also for a server that it hides from
// the user or that has lost its mapping (nova/compute/api.py _get_instance).
func (t *task) find(ctx context.Context) (server *compute.Server, unmapped bool, err error) {
	server, err = t.nova.Server(ctx, t.InstanceUUID)
	if err != nil || server != nil {
		return server, false, err
	}
	server, err = t.nova.Listed(ctx, t.InstanceUUID)
	return server, server != nil, err
}

// evidence puts it in the form that package orphan judges: the API is a cell that has
// the instance's row, which is not deleted, or else it would not show it.
func (s sighting) evidence(minAge time.Duration) orphan.Evidence {
	cell := orphan.Cell{Name: "API", Now: s.server.At}
	e := orphan.Evidence{UUID: s.uuid, MinAge: minAge}
	if !s.unmapped {
		e.Mapping = &orphan.Mapping{HasCell: true, CellKnown: true}
	}
	if s.server.VMState == "" {
		cell.Failure = "the server is shown only in part (status " + s.server.Status + "), as when its cell does not answer"
	}
	cell.Row = &orphan.Row{
		ID: 1, Host: s.server.Host, VMState: s.server.VMState, TaskState: s.server.TaskState,
		CreatedAt: parsed(s.server.Created), UpdatedAt: parsed(s.server.Updated),
	}
	for _, m := range s.migrations {
		cell.Migrations = append(cell.Migrations, orphan.Migration{UUID: m.UUID, ID: m.ID, Status: m.Status})
	}
	e.Cells = []orphan.Cell{cell}
	return e
}

// parsed is zero for what is no time.
func parsed(text string) time.Time {
	at, _ := time.Parse(time.RFC3339, text)
	return at
}
