package cinder

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
)

// Client asks one Cinder service, as a user who sees all projects.
type Client struct {
	service *gophercloud.ServiceClient
}

// New makes a Client of gophercloud's, whose microversion must be at least 3.27
// (see openstack.BlockStorageMicroversion).
func New(service *gophercloud.ServiceClient) *Client { return &Client{service} }

func (c *Client) get(ctx context.Context, path string, into any) error {
	_, err := c.service.Get(ctx, c.service.ServiceURL(path), into, nil)
	return err
}

func missing(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusNotFound) }

// SeesAllProjects is an error for a user from whom Cinder hides other projects'
// attachments: it ignores all_tenants from him rather than refuse it
// (cinder/api/v3/attachments.py _items), so that nothing found would prove nothing.
// Only an admin may list the services.
func (c *Client) SeesAllProjects(ctx context.Context) error {
	if err := c.get(ctx, "os-services?binary=cinder-scheduler", nil); err != nil {
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

// AttachmentExists says whether there still is such an attachment.
func (c *Client) AttachmentExists(ctx context.Context, attachment string) (bool, error) {
	err := c.get(ctx, "attachments/"+attachment, nil)
	if err != nil && !missing(err) {
		return false, fmt.Errorf("read attachment %s: %w", attachment, err)
	}
	return err == nil, nil
}

// Volume is nil for a volume that Cinder does not know.
func (c *Client) Volume(ctx context.Context, id string) (*Volume, error) {
	var answer struct {
		Volume *Volume `json:"volume"`
	}
	err := c.get(ctx, "volumes/"+id, &answer)
	switch {
	case missing(err):
		return nil, nil
	case err == nil && (answer.Volume == nil || answer.Volume.ID != id || answer.Volume.Status == "" || answer.Volume.Attachments == nil):
		err = errors.New("the answer has no such volume with its status and attachments")
	}
	if err != nil {
		return nil, fmt.Errorf("read volume %s: %w", id, err)
	}
	return answer.Volume, nil
}

// Snapshots lists those of a volume.
func (c *Client) Snapshots(ctx context.Context, volume string) ([]Snapshot, error) {
	all, err := list(ctx, c, "snapshots/detail", "volume_id", volume, func(s Snapshot) string { return s.ID })
	if err != nil {
		return nil, fmt.Errorf("list the snapshots of volume %s: %w", volume, err)
	}
	return slices.DeleteFunc(all, func(s Snapshot) bool { return s.VolumeID != volume }), nil
}

// Snapshot is nil for a snapshot that Cinder does not know.
func (c *Client) Snapshot(ctx context.Context, id string) (*Snapshot, error) {
	var answer struct {
		Snapshot *Snapshot `json:"snapshot"`
	}
	err := c.get(ctx, "snapshots/"+id, &answer)
	switch {
	case missing(err):
		return nil, nil
	case err == nil && (answer.Snapshot == nil || answer.Snapshot.ID != id):
		err = errors.New("the answer has no such snapshot")
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", id, err)
	}
	return answer.Snapshot, nil
}

// list lists those of all projects.
func list[T any](ctx context.Context, c *Client, path, filter, value string, id func(T) string) ([]T, error) {
	return openstack.Pages(ctx, c.service, path, url.Values{"all_tenants": {"1"}, filter: {value}}, id)
}
