package cinder

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"
)

// DeleteAttachment detaches: Cinder ends the host's connection and gives the volume
// back, if nothing else is attached to it. With serviceToken, if it is not empty, it
// is Nova who asks (see openstack.ServiceToken). It is false for one that is gone already.
func (c *Client) DeleteAttachment(ctx context.Context, attachment, serviceToken string) (bool, error) {
	options := &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusNotFound}}
	if serviceToken != "" {
		options.MoreHeaders = map[string]string{"X-Service-Token": serviceToken}
	}
	return c.delete(ctx, "attachments", attachment, options)
}

// DeleteSnapshot begins to delete a snapshot. It is false for one that is gone already.
func (c *Client) DeleteSnapshot(ctx context.Context, snapshot string) (bool, error) {
	return c.delete(ctx, "snapshots", snapshot, &gophercloud.RequestOpts{OkCodes: []int{http.StatusAccepted, http.StatusNotFound}})
}

// DeleteVolume begins to delete a volume. It is false for one that is gone already.
func (c *Client) DeleteVolume(ctx context.Context, volume string) (bool, error) {
	return c.delete(ctx, "volumes", volume, &gophercloud.RequestOpts{OkCodes: []int{http.StatusAccepted, http.StatusNotFound}})
}

func (c *Client) delete(ctx context.Context, kind, id string, options *gophercloud.RequestOpts) (bool, error) {
	response, err := c.service.Delete(ctx, c.service.ServiceURL(kind, id), options)
	if err != nil {
		return false, fmt.Errorf("delete %s %s: %w", kind[:len(kind)-1], id, err)
	}
	return response.StatusCode != http.StatusNotFound, nil
}

// ResetVolume makes a volume available and detached in Cinder's database, and does
// nothing else. It removes every attachment that the volume still has, also one that
// was made a moment ago (cinder/api/contrib/admin_actions.py _reset_status).
func (c *Client) ResetVolume(ctx context.Context, volume string) error {
	body := map[string]any{"os-reset_status": map[string]any{"status": "available", "attach_status": "detached"}}
	options := &gophercloud.RequestOpts{OkCodes: []int{http.StatusAccepted}}
	if _, err := c.service.Post(ctx, c.service.ServiceURL("volumes", volume, "action"), body, nil, options); err != nil {
		return fmt.Errorf("reset volume %s: %w", volume, err)
	}
	return nil
}
