package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/migrations"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"nova-orphan/internal/openstack"
)

// novaAPI looks for Nova only when it is asked something.
type novaAPI struct {
	cloud  *openstack.Cloud
	client *gophercloud.ServiceClient
}

func (n *novaAPI) compute() (*gophercloud.ServiceClient, error) {
	if n.client == nil {
		client, err := n.cloud.Compute()
		if err != nil {
			return nil, err
		}
		n.client = client
	}
	return n.client, nil
}

// Server implements witness.
func (n *novaAPI) Server(ctx context.Context, uuid string) (*server, error) {
	client, err := n.compute()
	if err != nil {
		return nil, err
	}
	var answer struct {
		Server *server `json:"server"`
	}
	result := servers.Get(ctx, client, uuid)
	if gophercloud.ResponseCodeIs(result.Err, http.StatusNotFound) {
		return nil, nil
	}
	if result.Err != nil {
		return nil, result.Err
	}
	if err := result.Result.ExtractInto(&answer); err != nil {
		return nil, fmt.Errorf("read server %s: %w", uuid, err)
	}
	if answer.Server == nil {
		return nil, fmt.Errorf("read server %s: the answer has no server", uuid)
	}
	return answer.Server, nil
}

// SeesAllProjects implements witness.
func (n *novaAPI) SeesAllProjects(ctx context.Context) error {
	client, err := n.compute()
	if err != nil {
		return err
	}
	// Nova refuses all_tenants to whom it does not grant it, rather than ignore it.
	_, err = client.Get(ctx, client.ServiceURL("servers")+"?all_tenants=True&limit=1", nil, nil)
	return err
}

// pageSize is what Nova itself cuts pages to by default ([api]max_limit).
const pageSize = 1000

// Migrations implements witness. gophercloud's list ends with the first page.
func (n *novaAPI) Migrations(ctx context.Context) ([]migration, error) {
	client, err := n.compute()
	if err != nil {
		return nil, err
	}
	var all []migration
	limit := pageSize
	options := migrations.ListOpts{Limit: &limit}
	for {
		page, err := migrations.List(client, options).AllPages(ctx)
		if err != nil {
			return nil, err
		}
		var found []migration
		if err := migrations.ExtractMigrationsInto(page, &found); err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		if len(found) == 0 {
			return all, nil
		}
		all = append(all, found...)
		options.Marker = &found[len(found)-1].UUID
	}
}
