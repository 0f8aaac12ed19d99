package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
)

// write does one step and waits until it shows. It says whether this call has
// changed something, as far as it knows, also beside an error.
func (t *task) write(ctx context.Context, s action) (bool, error) {
	switch s.kind {
	case preserve:
		err := t.nova.KeepVolume(ctx, t.instance, s.id)
		return err == nil, err
	case detach:
		return t.detach(ctx, s)
	case deleteSnapshot:
		return t.deleteSnapshot(ctx, s)
	default:
		return t.releasePort(ctx, s)
	}
}

// detachGrace is how long a volume may take to become free after its last attachment is
// gone. Cinder sets its status with the same request, so that it is soon clear what stays.
// A fake Cinder does it at once or never, so that tests against it make this and firstLook shorter.
var detachGrace = 3 * time.Second

// firstLook is the pause between the first two looks of await.
var firstLook = 100 * time.Millisecond

func (t *task) detach(ctx context.Context, s action) (bool, error) {
	token, err := t.serviceToken(ctx)
	if err != nil {
		return false, fmt.Errorf("get a token of nova's service user: %w", err)
	}
	deleted, err := t.volumes.DeleteAttachment(ctx, s.id, token)
	if err != nil {
		return false, explain(err, token != "")
	}
	err = await(ctx, func() (bool, error) {
		attached, failure := t.volumes.AttachmentExists(ctx, s.id)
		return !attached, failure
	})
	if err != nil {
		return deleted, fmt.Errorf("read back: attachment %s: %w", s.id, err)
	}
	brief, cancel := context.WithTimeout(ctx, detachGrace)
	defer cancel()
	err = await(brief, func() (bool, error) {
		v, failure := t.volumes.Volume(brief, s.volume)
		return v == nil || v.Status != "detaching", failure
	})
	if brief.Err() != nil && ctx.Err() == nil {
		err = nil // what stays is for the next look
	}
	return deleted, err
}

// explain adds what Cinder's own words leave out.
func explain(err error, byService bool) error {
	switch {
	case gophercloud.ResponseCodeIs(err, http.StatusConflict) && !byService:
		return fmt.Errorf("%w: since CVE-2023-2088 cinder lets only nova itself delete an attachment that nova still knows: give nova_conf, "+
			"whose [service_user] with send_service_user_token = true says that it is nova who asks, or finish the instance's deletion first "+
			"(nova_instance_purge) and run the module again", err)
	case gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) && byService:
		return fmt.Errorf("%w: the roles of [service_user] must be among service_token_roles of cinder's [keystone_authtoken]", err)
	}
	return err
}

// deleteSnapshot waits until it is gone. Cinder sets the status deleting before it answers,
// so that any other one says that it gave up.
func (t *task) deleteSnapshot(ctx context.Context, s action) (bool, error) {
	deleted, err := t.volumes.DeleteSnapshot(ctx, s.id)
	if err != nil {
		return false, err
	}
	err = await(ctx, func() (bool, error) {
		left, failure := t.volumes.Snapshot(ctx, s.id)
		if left != nil && left.Status != "deleting" {
			failure = fmt.Errorf("cinder did not delete it: it is %s (see the log of cinder-volume)", left.Status)
		}
		return left == nil, failure
	})
	if err != nil {
		return deleted, fmt.Errorf("%s: %w", s.text, err)
	}
	return deleted, nil
}

func (t *task) releasePort(ctx context.Context, s action) (bool, error) {
	port, err := t.ports.Port(ctx, s.id)
	// One that is another's by now is not ours to touch.
	if err != nil || port == nil || port.DeviceID != t.instance {
		return false, err
	}
	if s.kind == deletePort {
		return t.ports.Delete(ctx, *port)
	}
	if err = t.ports.Unbind(ctx, *port); gophercloud.ResponseCodeIs(err, http.StatusForbidden) {
		err = fmt.Errorf("%w: since 2024.1 neutron lets only the role service write what a host has to do with a port (binding:profile): "+
			"give nova_conf, whose [neutron] has the account by which nova itself does it, and that account the role", err)
	}
	return err == nil, err
}

// await looks until it is done, ever more seldom, as long as the context lasts.
func await(ctx context.Context, look func() (done bool, err error)) error {
	for wait := firstLook; ; wait = min(2*wait, 2*time.Second) {
		done, err := look()
		if done || err != nil {
			return err
		}
		if err := openstack.Sleep(ctx, wait); err != nil {
			return fmt.Errorf("it is still there: %w", err)
		}
	}
}
