package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/shared"
)

// image is a server image. Snapshots are those of volumes of which it consists.
type image struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Status    string   `json:"status"`
	CreatedAt string   `json:"created_at"`
	Instance  string   `json:"instance_uuid,omitempty"`
	Mapping   string   `json:"block_device_mapping,omitempty"`
	Snapshots []string `json:"snapshots,omitempty"`
}

// glance lists server images. Those made of volumes it lists once for all instances that ask at the
// same time, and for none that asked later: an image may be made of a snapshot at any time.
type glance struct {
	client    *gophercloud.ServiceClient
	ofVolumes shared.Question[[]image]
}

// MadeFrom lists the images made from the instance, and those made of a volume's snapshot. An
// image that Nova makes of a disk has the property instance_uuid; one that it makes of a server
// booted from volume has only a list of snapshots (nova/compute/utils.py create_image;
// nova/compute/api.py snapshot_volume_backed).
func (g *glance) MadeFrom(ctx context.Context, instance string, snapshots []cinder.Snapshot) ([]image, error) {
	found, err := g.list(ctx, url.Values{"instance_uuid": {instance}})
	found = slices.DeleteFunc(found, func(i image) bool { return i.Instance != instance })
	if err != nil || len(snapshots) == 0 {
		return found, err
	}
	ofVolumes, err := g.ofVolumes.Ask(ctx, func(ctx context.Context) ([]image, error) {
		return g.list(ctx, url.Values{"bdm_v2": {"True"}})
	})
	for _, i := range ofVolumes {
		if slices.ContainsFunc(snapshots, func(s cinder.Snapshot) bool { return slices.Contains(i.Snapshots, s.ID) }) &&
			!slices.ContainsFunc(found, func(known image) bool { return known.ID == i.ID }) {
			found = append(found, i)
		}
	}
	return found, err
}

func (g *glance) list(ctx context.Context, query url.Values) ([]image, error) {
	query.Set("limit", "1000")
	found, err := openstack.Pages(ctx, g.client, "images", query, func(i image) string { return i.ID })
	if err != nil {
		return nil, fmt.Errorf("list the server images: %w", err)
	}
	for i := range found {
		for _, id := range gjson.Get(found[i].Mapping, "#.snapshot_id").Array() {
			found[i].Snapshots = appendNew(found[i].Snapshots, id.String())
		}
		found[i].Mapping = ""
	}
	return found, nil
}
