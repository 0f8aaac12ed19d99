package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
)

// novaAPI looks for Nova only when it is asked something. It decodes the few
// fields that are judged: gophercloud's list of migrations ends with the first
// page, and its types refuse a whole page for one odd field.
type novaAPI struct {
	cloud  *openstack.Cloud
	client *gophercloud.ServiceClient
}

func (n *novaAPI) get(ctx context.Context, path string, into any) error {
	if n.client == nil {
		client, err := n.cloud.Compute()
		if err != nil {
			return err
		}
		n.client = client
	}
	_, err := n.client.Get(ctx, n.client.ServiceURL(path), into, nil)
	return err
}

// Server implements witness. A server that has lost its mapping is in no other answer
// than that of the list, which asks every cell (nova/compute/api.py _get_instance).
func (n *novaAPI) Server(ctx context.Context, uuid string) (*server, error) {
	var answer struct {
		Server *server `json:"server"`
	}
	err := n.get(ctx, "servers/"+uuid, &answer)
	switch {
	case gophercloud.ResponseCodeIs(err, http.StatusNotFound):
		return n.listed(ctx, uuid)
	case err != nil:
		return nil, err
	case answer.Server == nil:
		return nil, fmt.Errorf("read server %s: the answer has no server", uuid)
	}
	return answer.Server, nil
}

func (n *novaAPI) listed(ctx context.Context, uuid string) (*server, error) {
	var answer struct {
		Servers *[]server `json:"servers"`
	}
	err := n.get(ctx, "servers/detail?all_tenants=True&uuid="+uuid, &answer)
	switch {
	case err != nil:
		return nil, err
	case answer.Servers == nil:
		return nil, fmt.Errorf("list server %s: the answer has no servers", uuid)
	case len(*answer.Servers) == 0:
		return nil, nil
	case (*answer.Servers)[0].ID != uuid: // to whom the policy allow_all_filters is not granted
		return nil, fmt.Errorf("list server %s: Nova ignores that filter for this user", uuid)
	}
	return &(*answer.Servers)[0], nil
}

// SeesAllProjects implements witness. That all_tenants is granted is not enough: a
// server of another project is 404 to each user who is no administrator by the policy
// context_is_admin, whatever else is granted. Only to such a one does Nova list deleted
// servers (nova/api/openstack/compute/servers.py _get_servers).
func (n *novaAPI) SeesAllProjects(ctx context.Context) error {
	// No server has this uuid, so that the list is short.
	const none = "00000000-0000-0000-0000-000000000000"
	return n.get(ctx, "servers?all_tenants=True&status=deleted&limit=1&uuid="+none, nil)
}

// pageSize is what Nova itself cuts pages to by default ([api]max_limit).
const pageSize = 1000

// Migrations implements witness. Nova gives a link to the next page with each page
// that is full (nova/api/openstack/common.py ViewBuilder._get_collection_links).
func (n *novaAPI) Migrations(ctx context.Context, instance string) ([]migration, error) {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if instance != "" {
		query.Set("instance_uuid", instance)
	}
	var all []migration
	for {
		var page struct {
			Migrations *[]migration `json:"migrations"`
			Links      []any        `json:"migrations_links"`
		}
		if err := n.get(ctx, "os-migrations?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		if page.Migrations == nil {
			return nil, errors.New("read migrations: the answer has no migrations")
		}
		all = append(all, *page.Migrations...)
		if len(*page.Migrations) == 0 || len(page.Links) == 0 {
			return all, nil
		}
		last := all[len(all)-1].UUID
		if last == "" || last == query.Get("marker") {
			return nil, fmt.Errorf("read migrations: the page after %q does not go on", query.Get("marker"))
		}
		query.Set("marker", last)
	}
}
