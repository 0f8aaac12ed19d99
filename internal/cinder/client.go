package cinder

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/attachments"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/snapshots"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"

	"nova-orphan/internal/openstack"
)

// Client asks one Cinder service, as a user who sees all projects.
type Client struct {
	service *gophercloud.ServiceClient
}

// New makes a Client of gophercloud's, whose microversion must be at least 3.27
// (see openstack.BlockStorageMicroversion).
func New(service *gophercloud.ServiceClient) *Client { return &Client{service} }

// SeesAllProjects is an error for a user from whom Cinder hides other projects'
// attachments: it ignores all_tenants from him rather than refuse it
// (cinder/api/v3/attachments.py _items), so that nothing found would prove nothing.
// Only an admin may list the services.
func (c *Client) SeesAllProjects(ctx context.Context) error {
	if _, err := c.service.Get(ctx, c.service.ServiceURL("os-services?binary=cinder-scheduler"), nil, nil); err != nil {
		return fmt.Errorf("ask cinder whether it shows all projects: %w", err)
	}
	return nil
}

// Attachments lists those of an instance, whatever their status.
func (c *Client) Attachments(ctx context.Context, instance string) ([]Attachment, error) {
	return c.attachments(ctx, "instance_id", instance, func(a Attachment) bool { return a.Instance == instance })
}

// AttachmentsOf lists those of a volume, to whatever instance. The volume itself shows
// only those whose status is attached (cinder/api/v3/views/volumes.py _get_attachments).
func (c *Client) AttachmentsOf(ctx context.Context, volume string) ([]Attachment, error) {
	return c.attachments(ctx, "volume_id", volume, func(a Attachment) bool { return a.VolumeID == volume })
}

// attachments filters once more: a filter that is dropped on the way must not make
// others' attachments ours.
func (c *Client) attachments(ctx context.Context, filter, value string, ours func(Attachment) bool) ([]Attachment, error) {
	all, err := list(ctx, c, "attachments/detail", filter, value, func(a Attachment) string { return a.ID })
	all = slices.DeleteFunc(all, func(a Attachment) bool { return !ours(a) })
	if err == nil && slices.ContainsFunc(all, func(a Attachment) bool { return a.VolumeID == "" }) {
		err = errors.New("the answer has an attachment without its volume")
	}
	if err != nil {
		return nil, fmt.Errorf("list the attachments with %s %s: %w", filter, value, err)
	}
	return all, nil
}

// Snapshots lists those of a volume.
func (c *Client) Snapshots(ctx context.Context, volume string) ([]Snapshot, error) {
	all, err := list(ctx, c, "snapshots/detail", "volume_id", volume, func(s Snapshot) string { return s.ID })
	if err != nil {
		return nil, fmt.Errorf("list the snapshots of volume %s: %w", volume, err)
	}
	return slices.DeleteFunc(all, func(s Snapshot) bool { return s.VolumeID != volume }), nil
}

// list lists those of all projects.
func list[T any](ctx context.Context, c *Client, path, filter, value string, id func(T) string) ([]T, error) {
	return openstack.Pages(ctx, c.service, path, url.Values{"all_tenants": {"1"}, filter: {value}}, id)
}

// AttachmentExists says whether there still is such an attachment.
func (c *Client) AttachmentExists(ctx context.Context, attachment string) (bool, error) {
	return openstack.Found(attachments.Get(ctx, c.service, attachment).Err, "read attachment %s", attachment)
}

// Volume is nil for a volume that Cinder does not know.
func (c *Client) Volume(ctx context.Context, id string) (*Volume, error) {
	volume, err := volumes.Get(ctx, c.service, id).Extract()
	if err == nil && (volume.ID != id || volume.Status == "" || volume.Attachments == nil) {
		err = errors.New("the answer has no such volume with its status and attachments")
	}
	found, err := openstack.Found(err, "read volume %s", id)
	if !found {
		return nil, err
	}
	return volume, nil
}

// Snapshot is nil for a snapshot that Cinder does not know.
func (c *Client) Snapshot(ctx context.Context, id string) (*Snapshot, error) {
	var snapshot Snapshot
	err := snapshots.Get(ctx, c.service, id).ExtractIntoStructPtr(&snapshot, "snapshot")
	if err == nil && snapshot.ID != id {
		err = errors.New("the answer has no such snapshot")
	}
	found, err := openstack.Found(err, "read snapshot %s", id)
	if !found {
		return nil, err
	}
	return &snapshot, nil
}

// DeleteAttachment detaches: Cinder ends the host's connection and gives the volume
// back, if nothing else is attached to it. With serviceToken, if it is not empty, it
// is Nova who asks (see openstack.ServiceToken). It is false for one that is gone already.
func (c *Client) DeleteAttachment(ctx context.Context, attachment, serviceToken string) (bool, error) {
	service := *c.service
	if serviceToken != "" {
		service.MoreHeaders = map[string]string{"X-Service-Token": serviceToken}
	}
	return openstack.Found(attachments.Delete(ctx, &service, attachment).Err, "delete attachment %s", attachment)
}

// DeleteSnapshot begins to delete a snapshot. It is false for one that is gone already.
func (c *Client) DeleteSnapshot(ctx context.Context, snapshot string) (bool, error) {
	return openstack.Found(snapshots.Delete(ctx, c.service, snapshot).Err, "delete snapshot %s", snapshot)
}
