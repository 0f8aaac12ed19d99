package cinder

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

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
	return c.attachments(ctx, "attachments/detail", "instance_id", instance, func(a Attachment) bool { return a.Instance == instance })
}

// AttachmentsOf lists those of a volume, to whatever instance. The volume itself shows
// only those whose status is attached (cinder/api/v3/views/volumes.py _get_attachments).
func (c *Client) AttachmentsOf(ctx context.Context, volume string) ([]Attachment, error) {
	return c.attachments(ctx, "attachments/detail", "volume_id", volume, func(a Attachment) bool { return a.VolumeID == volume })
}

// few is how many instances and volumes are asked about one by one, which takes two requests each. With more, all
// attachments of the cloud are listed, a thousand in a request (osapi_max_limit).
const few = 50

// AttachmentsOfAny lists those of the instances and those of the volumes, each once.
func (c *Client) AttachmentsOfAny(ctx context.Context, instances, volumes []string) ([]Attachment, error) {
	if len(instances)+len(volumes) > few {
		wanted := map[string]bool{}
		for _, id := range slices.Concat(instances, volumes) {
			wanted[id] = true
		}
		// Without details, of which a connection is most.
		return c.attachments(ctx, "attachments", "all_tenants", "1", func(a Attachment) bool { return wanted[a.Instance] || wanted[a.VolumeID] })
	}
	found, err := openstack.InParallel(instances, 1, func(one []string) ([]Attachment, error) { return c.Attachments(ctx, one[0]) })
	if err != nil {
		return nil, err
	}
	ofVolumes, err := openstack.InParallel(volumes, 1, func(one []string) ([]Attachment, error) { return c.AttachmentsOf(ctx, one[0]) })
	if err != nil {
		return nil, err
	}
	for _, a := range ofVolumes {
		if !slices.ContainsFunc(found, func(known Attachment) bool { return known.ID == a.ID }) {
			found = append(found, a)
		}
	}
	return found, nil
}

// attachments filters once more: a filter that is dropped on the way must not make
// others' attachments ours.
func (c *Client) attachments(ctx context.Context, path, filter, value string, ours func(Attachment) bool) (found []Attachment, err error) {
	err = openstack.EachPage(ctx, c.service, path, ofAllProjects(filter, value), func(a Attachment) string { return a.ID },
		func(page []Attachment) {
			for _, a := range page {
				if ours(a) {
					found = append(found, a)
				}
			}
		})
	if err == nil && slices.ContainsFunc(found, func(a Attachment) bool { return a.VolumeID == "" }) {
		err = errors.New("the answer has an attachment without its volume")
	}
	if err != nil {
		return nil, fmt.Errorf("list the attachments with %s %s: %w", filter, value, err)
	}
	return found, nil
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
	return openstack.Pages(ctx, c.service, path, ofAllProjects(filter, value), id)
}

func ofAllProjects(filter, value string) url.Values {
	return url.Values{"all_tenants": {"1"}, filter: {value}}
}

// AttachmentExists says whether there still is such an attachment.
func (c *Client) AttachmentExists(ctx context.Context, attachment string) (bool, error) {
	return openstack.Found(attachments.Get(ctx, c.service, attachment).Err, "read attachment %s", attachment)
}

// Volumes gives those of the volumes that Cinder knows. Of an admin it takes a list of ids, in Python's notation
// (cinder/volume/api.py check_volume_filters, cinder/db/sqlalchemy/api.py _process_volume_filters), since Pike at the
// latest, though no document says so: one that is not in the answer is asked about by itself.
func (c *Client) Volumes(ctx context.Context, ids ...string) ([]Volume, error) {
	found, err := openstack.InParallel(ids, openstack.InQuery, func(some []string) ([]Volume, error) {
		all, err := list(ctx, c, "volumes/detail", "id", "['"+strings.Join(some, "','")+"']", func(v Volume) string { return v.ID })
		if err != nil {
			return nil, fmt.Errorf("list the volumes with id %s: %w", openstack.Briefly(some), err)
		}
		return slices.DeleteFunc(all, func(v Volume) bool { return !slices.Contains(some, v.ID) || !whole(v) }), nil
	})
	if err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(found, func(v Volume) bool { return v.ID == id })
	})
	rest, err := openstack.InParallel(missing, 1, func(one []string) ([]Volume, error) {
		volume, failure := c.Volume(ctx, one[0])
		if volume == nil {
			return nil, failure
		}
		return []Volume{*volume}, nil
	})
	if err != nil {
		return nil, err
	}
	return append(found, rest...), nil
}

func whole(v Volume) bool { return v.Status != "" && v.Attachments != nil }

// Volume is nil for a volume that Cinder does not know.
func (c *Client) Volume(ctx context.Context, id string) (*Volume, error) {
	volume, err := volumes.Get(ctx, c.service, id).Extract()
	if err == nil && (volume.ID != id || !whole(*volume)) {
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
