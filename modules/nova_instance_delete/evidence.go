package main

import (
	"context"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/orphan"
)

// evidence is what Nova's API knows of the instance at one time.
type evidence struct {
	uuid   string
	server *compute.Server // nil: none, and that is certain
	// unmapped says that the server is listed, but not found by its UUID, so that no
	// request reaches it.
	unmapped   bool
	migrations []compute.Migration
}

// read reads all that is judged. What is not read is an error, never absence.
func (t *task) read(ctx context.Context) (evidence, error) {
	s := evidence{uuid: t.InstanceUUID}
	var err error
	if s.server, s.unmapped, err = t.nova.Find(ctx, t.InstanceUUID); err != nil || s.server == nil {
		return s, err
	}
	if s.server.Locked {
		if s.server.LockedReason, err = t.nova.LockedReason(ctx, t.InstanceUUID); err != nil {
			return s, err
		}
	}
	s.migrations, err = t.nova.Migrations(ctx, t.InstanceUUID)
	return s, err
}

// evidence puts it in the form that package orphan judges.
func (s evidence) evidence(policy orphan.Policy) orphan.Evidence {
	return s.server.Evidence(s.unmapped, s.migrations, policy)
}
