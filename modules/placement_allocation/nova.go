package main

import (
	"context"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
)

// novaAPI looks for Nova only when it is asked something.
type novaAPI struct {
	cloud  *openstack.Cloud
	client *compute.Client
}

func (n *novaAPI) connect() (*compute.Client, error) {
	if n.client == nil {
		service, err := n.cloud.Compute()
		if err != nil {
			return nil, err
		}
		n.client = compute.New(service)
	}
	return n.client, nil
}

// Server implements witness. A server that has lost its mapping is in no other answer
// than that of the list.
func (n *novaAPI) Server(ctx context.Context, uuid string) (*compute.Server, error) {
	nova, err := n.connect()
	if err != nil {
		return nil, err
	}
	found, err := nova.Server(ctx, uuid)
	if err != nil || found != nil {
		return found, err
	}
	// Not Find, which would ask for each consumer whether the user sees all projects.
	return nova.Listed(ctx, uuid)
}

// SeesAllProjects implements witness.
func (n *novaAPI) SeesAllProjects(ctx context.Context) error {
	nova, err := n.connect()
	if err != nil {
		return err
	}
	return nova.SeesAllProjects(ctx)
}

// Migrations implements witness.
func (n *novaAPI) Migrations(ctx context.Context, instance string) ([]compute.Migration, error) {
	nova, err := n.connect()
	if err != nil {
		return nil, err
	}
	return nova.Migrations(ctx, instance)
}
