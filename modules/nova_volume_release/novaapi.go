package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
)

// novaClient looks for Nova only when it is asked something.
type novaClient struct {
	cloud  *openstack.Cloud
	client *gophercloud.ServiceClient
}

// server is what is judged of a server.
type server struct {
	Status    string    `json:"status"`
	VMState   string    `json:"OS-EXT-STS:vm_state"`
	TaskState string    `json:"OS-EXT-STS:task_state"`
	Host      string    `json:"OS-EXT-SRV-ATTR:host"`
	Root      string    `json:"OS-EXT-SRV-ATTR:root_device_name"`
	Created   time.Time `json:"created"`
	Updated   time.Time `json:"updated"`
	// Now is the time of the answer, by the clock of the API's host.
	Now time.Time `json:"-"`
}

type migration struct {
	UUID      string `json:"uuid"`
	Status    string `json:"status"`
	Instance  string `json:"instance_uuid"`
	UpdatedAt string `json:"updated_at"`
}

// at is Nova's client at a microversion.
func (n *novaClient) at(microversion string) (*gophercloud.ServiceClient, error) {
	if n.client == nil {
		client, err := n.cloud.Compute()
		if err != nil {
			return nil, err
		}
		n.client = client
	}
	client := *n.client
	client.Microversion = microversion
	return &client, nil
}

func (n *novaClient) get(ctx context.Context, microversion, path string, into any) (*http.Response, error) {
	client, err := n.at(microversion)
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, client.ServiceURL(path), into, nil)
}

// Server implements novaAPI; it is nil for a uuid that the API does not know, or
// that it hides.
func (n *novaClient) Server(ctx context.Context, uuid string) (*server, error) {
	var answer struct {
		Server *server `json:"server"`
	}
	response, err := n.get(ctx, openstack.ComputeMicroversion, "servers/"+uuid, &answer)
	switch {
	case gophercloud.ResponseCodeIs(err, http.StatusNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case answer.Server == nil || answer.Server.Status == "":
		return nil, fmt.Errorf("read server %s: the answer has no server with its status", uuid)
	}
	if at, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		answer.Server.Now = at
	}
	return answer.Server, nil
}

// SeesAllProjects implements novaAPI. To a user who may not see all projects, Nova
// answers 404 for a server that runs (nova/db/main/api.py _build_instance_get,
// project_only), so the 404 must be earned; it refuses all_tenants to him.
func (n *novaClient) SeesAllProjects(ctx context.Context) error {
	_, err := n.get(ctx, openstack.ComputeMicroversion, "servers?all_tenants=True&limit=1", nil)
	return err
}

// Migrations implements novaAPI; those of one instance fit into a page.
func (n *novaClient) Migrations(ctx context.Context, instance string) ([]migration, error) {
	var answer struct {
		Migrations *[]migration `json:"migrations"`
		Links      []any        `json:"migrations_links"`
	}
	query := url.Values{"instance_uuid": {instance}, "limit": {"1000"}}
	if _, err := n.get(ctx, openstack.ComputeMicroversion, "os-migrations?"+query.Encode(), &answer); err != nil {
		return nil, err
	}
	if answer.Migrations == nil || len(answer.Links) > 0 {
		return nil, errors.New("read migrations: the answer does not have all migrations")
	}
	return *answer.Migrations, nil
}

// Volumes implements novaAPI.
func (n *novaClient) Volumes(ctx context.Context, instance string) ([]mapping, error) {
	var answer struct {
		Attachments *[]struct {
			Volume              string `json:"volumeId"`
			Device              string `json:"device"`
			DeleteOnTermination bool   `json:"delete_on_termination"`
		} `json:"volumeAttachments"`
	}
	if _, err := n.get(ctx, openstack.VolumeAttachmentsMicroversion, "servers/"+instance+"/os-volume_attachments", &answer); err != nil {
		return nil, err
	}
	if answer.Attachments == nil {
		return nil, errors.New("read the volumes of the server: the answer has none")
	}
	var mappings []mapping
	for _, a := range *answer.Attachments {
		mappings = append(mappings, mapping{VolumeID: a.Volume, Device: a.Device, DeleteOnTermination: a.DeleteOnTermination})
	}
	return mappings, nil
}

// Preserve implements novaAPI: a deletion by Nova is to keep the volume. The volume's
// own id in the body says that it is not to be swapped (nova/api/openstack/compute/
// volume_attachments.py update).
func (n *novaClient) Preserve(ctx context.Context, instance, volume string) error {
	client, err := n.at(openstack.PreserveVolumeMicroversion)
	if err != nil {
		return err
	}
	body := map[string]any{"volumeAttachment": map[string]any{"volumeId": volume, "delete_on_termination": false}}
	_, err = client.Put(ctx, client.ServiceURL("servers", instance, "os-volume_attachments", volume), body, nil,
		&gophercloud.RequestOpts{OkCodes: []int{http.StatusAccepted}})
	return err
}
