package main

import (
	"context"
	"errors"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/openstack"
)

// volumes is the Cinder that this module needs.
type volumes interface {
	SeesAllProjects(ctx context.Context) error
	Attachments(ctx context.Context, instance string) ([]cinder.Attachment, error)
	AttachmentsOf(ctx context.Context, volume string) ([]cinder.Attachment, error)
	AttachmentExists(ctx context.Context, attachment string) (bool, error)
	Volume(ctx context.Context, id string) (*cinder.Volume, error)
	Snapshots(ctx context.Context, volume string) ([]cinder.Snapshot, error)
	Snapshot(ctx context.Context, id string) (*cinder.Snapshot, error)
	DeleteAttachment(ctx context.Context, attachment, serviceToken string) (bool, error)
	DeleteSnapshot(ctx context.Context, snapshot string) (bool, error)
	DeleteVolume(ctx context.Context, volume string) (bool, error)
	ResetVolume(ctx context.Context, volume string) error
}

// ports is the Neutron that this module needs.
type ports interface {
	Ports(ctx context.Context, instance string) ([]neutron.Port, error)
	Port(ctx context.Context, id string) (*neutron.Port, error)
	Unbind(ctx context.Context, port neutron.Port) error
	Delete(ctx context.Context, port neutron.Port) (bool, error)
}

// images is the Glance that this module needs.
type images interface {
	// MadeFrom lists the images made from the instance, and those made of a volume's
	// snapshot.
	MadeFrom(ctx context.Context, instance string, snapshots []cinder.Snapshot) ([]image, error)
}

// novaAPI is the Nova that this module needs.
type novaAPI interface {
	Server(ctx context.Context, uuid string) (*compute.Server, error)
	Find(ctx context.Context, uuid string) (server *compute.Server, unmapped bool, err error)
	Migrations(ctx context.Context, instance string) ([]compute.Migration, error)
	Devices(ctx context.Context, uuid string) (map[string]string, error)
	KeepVolume(ctx context.Context, uuid, volume string) error
}

// find finds the services; only Nova must be there.
func (t *task) find(ctx context.Context, cloud *openstack.Cloud) error {
	client, err := cloud.Compute()
	if err != nil {
		return err
	}
	t.nova = compute.New(client)
	ofNetwork, err := cloud.ForNetwork(ctx, t.Auth, t.call.Secret)
	if err != nil {
		return err
	}
	if client, err = cloud.BlockStorage(); err == nil {
		t.volumes = cinder.New(client)
	} else if !errors.Is(err, openstack.ErrNoService) {
		return err
	}
	if client, err = ofNetwork.Network(); err == nil {
		t.ports = neutron.New(client)
	} else if !errors.Is(err, openstack.ErrNoService) {
		return err
	}
	if client, err = cloud.Image(); err == nil {
		t.images = &glance{client}
	} else if !errors.Is(err, openstack.ErrNoService) {
		return err
	}
	return nil
}
